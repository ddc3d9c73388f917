package failures

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/report"
)

func TestOutage(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	silent := func(n int) (hs []report.Host) {
		for i := range n {
			hs = append(hs, report.Host{Host: fmt.Sprint("h", i), Failures: 1})
		}
		return hs
	}
	var none map[string]bool
	for _, c := range []struct {
		what  string
		hosts []report.Host
		dead  map[string]bool
		last  *report.Outage
		want  *report.Outage
	}{
		{"nobody was asked", []report.Host{{Host: "proxy", Connections: 1}}, none, nil, nil},
		{"two may be dead", silent(2), none, nil, nil},
		{"three are too many", silent(3), none, nil, &report.Outage{Since: now, Hosts: 3}},
		{"one of many answers", append(silent(9), report.Host{Host: "x", Requests: 1, Answered: true}), none, nil, nil},
		{"spared ones count", append(silent(2), report.Host{Host: "x", Spared: 4}), none, nil, &report.Outage{Since: now, Hosts: 3}},
		{"a quiet hour: all are known to be dead", silent(3), map[string]bool{"h0": true, "h1": true, "h2": true}, nil, nil},
		{"one of the dead is new", silent(4), map[string]bool{"h0": true, "h1": true, "h3": true}, nil, nil},
		{"it goes on", silent(1), map[string]bool{"h0": true}, &report.Outage{Since: ago(23)}, &report.Outage{Since: ago(23), Hosts: 1}},
		{"it went on for a day: so they are dead", silent(1), map[string]bool{"h0": true}, &report.Outage{Since: ago(24)}, nil},
		{"and another begins", silent(3), none, &report.Outage{Since: ago(24)}, &report.Outage{Since: now, Hosts: 3}},
		{"it is over", []report.Host{{Host: "x", Requests: 1, Answered: true}}, none, &report.Outage{Since: ago(1)}, nil},
	} {
		var got *report.Outage
		if allSilent(c.hosts) {
			got = outage(c.hosts, c.dead, c.last, now)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.what, diff)
		}
	}
}
