// Package metrics writes what a run did, and what the archive holds after it, as
// Prometheus reads it: a file for the textfile collector of node_exporter.
//
// Every metric is a gauge, and every run writes all of them, with zeros where there is
// nothing to count: an alert rule never meets a series that is not there. Times are
// seconds since 1970, and zero for never. alerts.yml beside this file has rules for
// them, and dashboard.json a dashboard for Grafana.
package metrics

import (
	"io"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"distkeep/archive/report"
	"distkeep/fetch/failure"
)

// A Sample is what is written of one run.
type Sample struct {
	// Summary is that of the run, or of the last one that had any.
	*report.Summary
	// Ran is when the run began, Exit its exit status.
	Ran  time.Time
	Exit int
}

// maxDays is how far ahead deletions are told by day.
const maxDays = 31

// Write writes the metrics of a run as text.
func Write(w io.Writer, s *Sample) error {
	r := registry{prometheus.NewRegistry()}
	r.run(s)
	r.holdings(s.Summary)
	r.trouble(s.Summary)
	r.deletions(s.Summary, s.Ran)
	families, err := r.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}

type registry struct{ *prometheus.Registry }

// gauge registers one number.
func (r registry) gauge(name, help string, value float64) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "distkeep", Name: name, Help: help})
	g.Set(value)
	r.MustRegister(g)
}

// gauges registers one number by a label.
func (r registry) gauges(name, help, label string) func(value string, n float64) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "distkeep", Name: name, Help: help}, []string{label})
	r.MustRegister(g)
	return func(value string, n float64) { g.WithLabelValues(value).Add(n) }
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (r registry) run(s *Sample) {
	r.gauge("last_run_timestamp_seconds", "When the last run began.", seconds(s.Ran))
	r.gauge("last_complete_run_timestamp_seconds", "When the last run began that came to its end and understood every tree.", seconds(s.LastComplete))
	r.gauge("last_successful_run_timestamp_seconds", "When the last complete run began that could ask for files and delete what it should.", seconds(s.LastSuccess))
	r.gauge("run_duration_seconds", "How long the last run took.", s.Took.Seconds())
	r.gauge("run_exit_status", "The exit status of the last run.", float64(s.Exit))
	r.gauge("scan_complete", "1 when the last run understood every tree.", truth(s.Complete))
	r.gauge("guard", "1 when a guard stopped the deletions of the last run.", truth(s.Guard != ""))
	r.gauge("outage", "1 when no host answered in the last run.", truth(s.Outage != nil))
	tree := r.gauges("tree_timestamp_seconds", "When a tree was made, where it says so.", "repository")
	for _, t := range s.Repositories {
		if !t.Timestamp.IsZero() {
			tree(t.Name, seconds(t.Timestamp))
		}
	}
}

func (r registry) holdings(s *report.Summary) {
	files := r.gauges("files", "Files by what they are.", "state")
	bytes := r.gauges("bytes", "Bytes by what they are.", "state")
	for _, c := range []struct {
		state string
		files int
		bytes int64
	}{
		{"archive", s.Archive.Files, s.Archive.Bytes}, {"wanted", s.Wanted.Files, s.Wanted.Bytes},
		{"scheduled", s.Pending.Files, s.Pending.Bytes}, {"recycle", s.Recycle.Files, s.Recycle.Bytes},
		{"quarantine", s.Rooms.Quarantine.Files, s.Rooms.Quarantine.Bytes}, {"parts", s.Rooms.Parts.Files, s.Rooms.Parts.Bytes},
		{"added", s.Added().Files, s.Added().Bytes}, {"deleted", s.Deleted.Files, s.Deleted.Bytes}, {"parked", s.Parked.Files, s.Parked.Bytes},
	} {
		files(c.state, float64(c.files))
		bytes(c.state, float64(c.bytes))
	}
	free := r.gauges("free_bytes", "Bytes that may still be written.", "of")
	free("distfiles", float64(s.Rooms.Free))
	free("state", float64(s.Rooms.StateFree))
	r.gauge("min_free_bytes", "Bytes that transfers leave free.", float64(s.Rooms.MinFree))
	r.gauge("oldest_verified_timestamp_seconds", "Every byte of the archive was read and found right since.", seconds(s.Ages.Oldest))
}

func (r registry) trouble(s *report.Summary) {
	failures := r.gauges("failures", "Wanted files that the archive does not have, by class.", "class")
	for _, c := range failure.Classes() {
		failures(string(c), 0)
	}
	for c, n := range s.Failures {
		failures(string(c), float64(n.New+n.Known))
	}
	r.gauge("new_failures", "Failures that the run before the last had not.", float64(s.NewFailures()))
	r.gauge("damaged_files", "Files of the archive that are damaged or cannot be read.", float64(s.Damaged+s.Gone))
	r.gauge("protected_packages", "Packages that cannot be known, whose files are kept.", float64(len(s.Unknown)))
	r.gauge("protected_files", "Files that are kept because of them alone.", float64(s.Protected))
	hosts := r.gauges("hosts", "Hosts that the last run asked: well, in trouble, or given up.", "state")
	received := r.gauges("host_received_bytes", "Bytes that came from hosts that are well, in trouble, or given up.", "state")
	for _, state := range []string{"well", "trouble", "dead"} {
		hosts(state, 0)
		received(state, 0)
	}
	for _, h := range s.Hosts {
		if h.Requests+h.Failures+h.Spared == 0 {
			continue
		}
		state := "well"
		switch {
		case h.Dead != "":
			state = "dead"
		case h.Failures > 0:
			state = "trouble"
		}
		hosts(state, 1)
		received(state, float64(h.Bytes))
	}
}

// deletions tells what is scheduled by the days from the run on, so that there are as
// many series each day.
func (r registry) deletions(s *report.Summary, ran time.Time) {
	files := r.gauges("scheduled_files", "Files that may be deleted in so many days; the last are all beyond.", "days")
	bytes := r.gauges("scheduled_bytes", "Bytes that may be deleted in so many days; the last are all beyond.", "days")
	for d := range maxDays + 1 {
		files(strconv.Itoa(d), 0)
		bytes(strconv.Itoa(d), 0)
	}
	today := ran.UTC().Truncate(24 * time.Hour)
	for _, d := range s.Due {
		day, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			continue
		}
		n := strconv.Itoa(min(max(int(day.Sub(today)/(24*time.Hour)), 0), maxDays))
		files(n, float64(d.Files))
		bytes(n, float64(d.Bytes))
	}
}
