package snapshot

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func snapshots(t *testing.T, names string) (list []Snapshot) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		at, label, ok := parseName(name)
		if !ok {
			t.Fatalf("bad name %s", name)
		}
		list = append(list, Snapshot{Name: name, Time: at, Label: label})
	}
	return list
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	const year = `
		2025-12-28T230000Z 2025-12-29T010000Z 2025-12-31T235959Z
		2026-01-01T000000Z 2026-01-01T000001Z 2026-01-04T120000Z 2026-01-05T120000Z`
	for _, c := range []struct {
		name   string
		policy Policy
		list   string
		want   string
	}{
		{"last", Policy{Last: 2}, year, `
			2026-01-04T120000Z last
			2026-01-05T120000Z last`},
		{"last of few", Policy{Last: 9}, "2026-01-05T120000Z 2026-01-04T120000Z", `
			2026-01-04T120000Z last
			2026-01-05T120000Z last`},
		{"hourly", Policy{Hourly: 3}, "2026-01-01T005959Z 2026-01-01T000000Z 2026-01-01T020000Z 2026-01-01T010000Z 2026-01-01T010001Z", `
			2026-01-01T005959Z hourly
			2026-01-01T010001Z hourly
			2026-01-01T020000Z hourly`},
		{"the newest of each day", Policy{Daily: 3}, year, `
			2026-01-01T000001Z daily
			2026-01-04T120000Z daily
			2026-01-05T120000Z daily`},
		{"days without snapshots do not count, the oldest fills up", Policy{Daily: 7}, "2026-01-01T000000Z 2026-01-01T010000Z 2026-01-09T000000Z", `
			2026-01-01T000000Z oldest daily
			2026-01-01T010000Z daily
			2026-01-09T000000Z daily`},
		{"weeks are those of ISO 8601", Policy{Weekly: 2}, year, `
			2026-01-04T120000Z weekly
			2026-01-05T120000Z weekly`},
		{"a week of two years is one", Policy{Weekly: 3}, year, `
			2025-12-28T230000Z weekly
			2026-01-04T120000Z weekly
			2026-01-05T120000Z weekly`},
		{"monthly", Policy{Monthly: 2}, year, `
			2025-12-31T235959Z monthly
			2026-01-05T120000Z monthly`},
		{"yearly and all", Policy{Yearly: -1}, year, `
			2025-12-28T230000Z oldest yearly
			2025-12-31T235959Z yearly
			2026-01-05T120000Z yearly`},
		{"several", Policy{Last: 1, Daily: 2, Yearly: 2}, year, `
			2025-12-31T235959Z yearly
			2026-01-04T120000Z daily
			2026-01-05T120000Z last, daily, yearly`},
		{"labels are kept and not counted", Policy{Last: 1}, "2020-01-01T000000Z.first 2026-01-01T000000Z 2026-01-02T000000Z 2026-01-03T000000Z.x", `
			2020-01-01T000000Z.first label
			2026-01-02T000000Z last
			2026-01-03T000000Z.x label`},
		{"the oldest is the oldest without a label", Policy{Daily: 3}, "2020-01-01T000000Z.first 2026-01-01T000000Z 2026-01-01T000001Z 2026-01-01T000002Z", `
			2020-01-01T000000Z.first label
			2026-01-01T000000Z oldest daily
			2026-01-01T000002Z daily`},
		{"none", Policy{Last: 1}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ds, err := c.policy.Apply(snapshots(t, c.list))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range ds {
				if d.Keep != (len(d.Reasons) > 0) {
					t.Errorf("%+v", d)
				}
				if d.Keep {
					got = append(got, d.Name+" "+strings.Join(d.Reasons, ", "))
				}
			}
			var want []string
			for line := range strings.Lines(c.want) {
				if line = strings.TrimSpace(line); line != "" {
					want = append(want, line)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for _, p := range []Policy{{}, {Last: -2}, {Last: 1, Yearly: -3}} {
		if _, err := p.Apply(nil); !errors.Is(err, errPolicy) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	var all []string
	for range 3 {
		all = append(all, w.create(CreateOptions{}).Name)
	}
	if _, _, err := w.d.Prune(t.Context(), Policy{}); !errors.Is(err, errPolicy) {
		t.Errorf("keep nothing: %v", err)
	}
	if _, err := w.d.Decide(Policy{Last: 1}); err != nil || len(listDir(t, w.dir)) != 3+2 {
		t.Errorf("a decision removed something: %v", err)
	}
	ds, removed, err := w.d.Prune(t.Context(), Policy{Last: 1})
	w.check(err)
	if len(ds) != 3 || len(removed) != 2 {
		t.Errorf("%v, %v", ds, removed)
	}
	if diff := cmp.Diff([]string{all[2], "latest", "lock"}, listDir(t, w.dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNameRoundTrip(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	name, err := Name(time.Date(2026, 1, 2, 0, 0, 0, 0, zone), "a.b-c_d+1")
	if err != nil || name != "2026-01-01T230000Z.a.b-c_d+1" {
		t.Errorf("%q, %v", name, err)
	}
	at, label, ok := parseName(name)
	if !ok || label != "a.b-c_d+1" || !at.Equal(time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("%v %q %v", at, label, ok)
	}
}
