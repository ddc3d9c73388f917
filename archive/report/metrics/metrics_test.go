package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// healthy is the run at an hour of a week in the life of a large mirror: with 1,475
// failures, ten dead hosts, new ones now and then, deletions, and packages that
// cannot be known.
func healthy(hour int) *Sample {
	ran := time.Unix(int64(hour)*3600, 0).UTC()
	s := &report.Summary{
		Start: ran, Complete: true, LastComplete: ran, LastSuccess: ran, Took: time.Duration(5+hour*7%50) * time.Minute,
		Repositories: []catalog.RepoStats{{Name: "gentoo", Timestamp: ran.Add(-time.Duration(20+hour%40) * time.Minute)}, {Name: "overlay", Commit: time.Unix(1, 0)}},
		Wanted:       layout.Count{Files: 60000 + hour, Bytes: 400 << 30}, Archive: layout.Count{Files: 61000 + hour, Bytes: 420 << 30},
		Pending: layout.Count{Files: 200, Bytes: 1 << 30}, Recycle: layout.Count{Files: 900, Bytes: 3 << 30},
		Unknown: []string{"a", "b"}[:hour%3%2], Protected: hour % 3,
		Failures: map[failure.Class]report.FailureCount{failure.Gone: {New: hour * 13 % 40, Known: 1200 + hour%9}, failure.DNS: {Known: 275}},
		Due:      []report.Due{{Day: ran.Format(time.DateOnly), Count: layout.Count{Files: 3, Bytes: 5}}, {Day: ran.AddDate(0, 0, 13).Format(time.DateOnly), Count: layout.Count{Files: 1, Bytes: 1}}},
		Rooms:    report.Rooms{Free: 900<<30 - int64(hour)<<28, StateFree: 50 << 30, MinFree: 1 << 30, Quarantine: layout.Count{Files: 40, Bytes: 1 << 30}},
		Ages:     report.Ages{Oldest: ran.AddDate(0, 0, -20)},
		Hosts:    []report.Host{{Host: "well", Requests: 100, Answered: true, Bytes: 1 << 20}, {Host: "bad", Requests: 9, Failures: 3, Bytes: 7}, {Host: "dead", Spared: 40, Dead: "dns"}, {Host: "proxy"}},
	}
	exit := 0
	if s.NewFailures() > 0 {
		exit = 1
	}
	if hour%50 == 49 {
		// One run without a network is no alarm, and delays no other.
		s.Outage, exit = &report.Outage{Since: ran, Hosts: 40}, 1
		s.LastSuccess = ran.Add(-time.Hour)
	}
	return &Sample{Summary: s, Ran: ran, Exit: exit}
}

// text renders a sample.
func text(t *testing.T, s *Sample) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// values are the numbers of a sample by series.
func values(t *testing.T, s *Sample) map[string]string {
	t.Helper()
	vs := make(map[string]string)
	for line := range strings.Lines(text(t, s)) {
		if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			vs[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return vs
}

func TestWrite(t *testing.T) {
	t.Parallel()
	got := values(t, healthy(30))
	for series, want := range map[string]string{
		"distkeep_last_run_timestamp_seconds":                   "108000",
		"distkeep_scan_complete":                                "1",
		"distkeep_run_exit_status":                              "1",
		`distkeep_failures{class="gone"}`:                       "1233",
		`distkeep_failures{class="tls"}`:                        "0",
		"distkeep_new_failures":                                 "30",
		`distkeep_hosts{state="well"}`:                          "1",
		`distkeep_hosts{state="dead"}`:                          "1",
		`distkeep_host_received_bytes{state="trouble"}`:         "7",
		`distkeep_scheduled_files{days="0"}`:                    "3",
		`distkeep_scheduled_files{days="13"}`:                   "1",
		`distkeep_scheduled_files{days="31"}`:                   "0",
		`distkeep_tree_timestamp_seconds{repository="gentoo"}`:  "105000",
		`distkeep_files{state="quarantine"}`:                    "40",
		"distkeep_oldest_verified_timestamp_seconds":            "-1.62e+06",
		`distkeep_tree_timestamp_seconds{repository="overlay"}`: "",
		"distkeep_last_successful_run_timestamp_seconds":        "108000",
		`distkeep_free_bytes{of="state"}`:                       "5.36870912e+10",
	} {
		if got[series] != want {
			t.Errorf("%s = %q, want %q", series, got[series], want)
		}
	}
	// Nothing comes and goes, and what is not known is zero.
	none := values(t, &Sample{Summary: new(report.Summary)})
	delete(got, `distkeep_tree_timestamp_seconds{repository="gentoo"}`)
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(none)); !slices.Equal(a, b) {
		t.Errorf("series %q, before any run %q", a, b)
	}
	if none["distkeep_last_complete_run_timestamp_seconds"] != "0" {
		t.Errorf("never is %q", none["distkeep_last_complete_run_timestamp_seconds"])
	}
}

// TestNames: the rules and the dashboard ask for what there is.
func TestNames(t *testing.T) {
	t.Parallel()
	have := text(t, healthy(1))
	for _, file := range []string{"alerts.yml", "dashboard.json"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`distkeep_[a-z_]+`).FindAllString(string(b), -1)
		if len(names) < 8 {
			t.Errorf("%s asks for %q", file, names)
		}
		for _, n := range names {
			if !strings.Contains(have, "# TYPE "+n+" gauge\n") {
				t.Errorf("%s asks for %s, which is not written", file, n)
			}
		}
		if file == "dashboard.json" && !json.Valid(b) {
			t.Errorf("%s is no JSON", file)
		}
	}
}

const week = 7 * 24

// TestAlerts simulates weeks: in a healthy one no alert fires, and each fault that lasts
// for some hours fires its own and no other.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool, of the package prometheus")
	}
	rules, err := filepath.Abs("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	fault := func(from, to int, f func(*Sample)) func(int) *Sample {
		return func(hour int) *Sample {
			s := healthy(hour)
			if from <= hour && hour < to {
				f(s)
			}
			return s
		}
	}
	for _, c := range []struct {
		name, alert string
		run         func(hour int) *Sample
	}{
		{"healthy", "", healthy},
		{"stopped", "DistkeepStopped", func(hour int) *Sample {
			if 52 <= hour && hour < 60 {
				s := healthy(51)
				s.Repositories = healthy(hour).Repositories // its age has a rule of its own
				return s
			}
			return healthy(hour)
		}},
		{"stale tree", "DistkeepTreeStale", fault(52, 80, func(s *Sample) { s.Repositories[0].Timestamp = time.Unix(52*3600, 0) })},
		{"incomplete", "DistkeepScanIncomplete", fault(52, 54, func(s *Sample) {
			s.Complete, s.Exit, s.LastComplete = false, 4, time.Unix(51*3600, 0)
		})},
		{"guard", "DistkeepGuard", fault(52, 54, func(s *Sample) { s.Guard, s.Exit, s.LastSuccess = "too many", 3, time.Unix(51*3600, 0) })},
		{"damaged", "DistkeepDamaged", fault(52, 54, func(s *Sample) { s.Damaged = 1 })},
		{"broken", "DistkeepDamaged", fault(52, 54, func(s *Sample) { s.Broken, s.Exit = "ledger", 5 })},
		{"nearly full", "DistkeepRoom", fault(52, 54, func(s *Sample) { s.Rooms.Free = 2 << 30 })},
		{"no network", "DistkeepOutage", fault(52, 56, func(s *Sample) { s.Outage = new(report.Outage) })},
		{"many new failures", "DistkeepManyNewFailures", fault(52, 53, func(s *Sample) { s.Failures[failure.Gone] = report.FailureCount{New: 300} })},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "test.yml")
			if err := os.WriteFile(file, []byte(ruleTest(t, rules, c.alert, c.run)), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(promtool, "test", "rules", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%.2000s", err, out)
			}
		})
	}
}

// ruleTest is a test of promtool: the alert alone has fired after the week, or none.
func ruleTest(t *testing.T, rules, alert string, run func(int) *Sample) string {
	t.Helper()
	asked, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	series := make(map[string]*strings.Builder)
	for hour := range week {
		for name, v := range values(t, run(hour)) {
			if metric, _, _ := strings.Cut(name, "{"); !bytes.Contains(asked, []byte(metric)) {
				continue
			}
			if series[name] == nil {
				series[name] = new(strings.Builder)
			}
			fmt.Fprintf(series[name], " %s+0x11", v) // every five minutes
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%q]\nevaluation_interval: 5m\ntests:\n- interval: 5m\n  input_series:\n", rules)
	for _, name := range slices.Sorted(maps.Keys(series)) {
		fmt.Fprintf(&b, "  - series: %q\n    values: %q\n", name, series[name].String()[1:])
	}
	fmt.Fprintf(&b, "  promql_expr_test:\n  - expr: count by (alertname) (count_over_time(ALERTS{alertstate=\"firing\"}[7d]))\n    eval_time: 167h\n")
	if alert == "" {
		b.WriteString("    exp_samples: []\n")
	} else {
		fmt.Fprintf(&b, "    exp_samples: [{labels: '{alertname=%q}', value: 1}]\n", alert)
	}
	return b.String()
}
