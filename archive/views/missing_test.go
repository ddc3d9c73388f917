package views

import (
	"slices"
	"testing"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// TestMiss: a view is published without files only when that was asked for and
// each of them has been missing long enough.
func TestMiss(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		missing []catalog.Name
		publish bool
		known   map[catalog.Name]time.Time
		want    bool
		since   time.Time // of a
	}{
		"nothing":      {nil, false, nil, true, time.Time{}},
		"new":          {[]catalog.Name{"a"}, true, nil, false, now},
		"not asked":    {[]catalog.Name{"a"}, false, map[catalog.Name]time.Time{"a": now.Add(-9 * day)}, false, now.Add(-9 * day)},
		"too soon":     {[]catalog.Name{"a"}, true, map[catalog.Name]time.Time{"a": now.Add(-2*day + time.Second)}, false, now.Add(-2*day + time.Second)},
		"long":         {[]catalog.Name{"a"}, true, map[catalog.Name]time.Time{"a": now.Add(-2 * day)}, true, now.Add(-2 * day)},
		"one is new":   {[]catalog.Name{"a", "b"}, true, map[catalog.Name]time.Time{"a": now.Add(-9 * day)}, false, now.Add(-9 * day)},
		"clock behind": {[]catalog.Name{"a"}, true, map[catalog.Name]time.Time{"a": now.Add(day)}, false, now},
		"came back":    {nil, true, map[catalog.Name]time.Time{"a": now.Add(-9 * day)}, true, time.Time{}},
	} {
		vs := New(&vault.Vault{Now: now}, Options{PublishMissing: tc.publish, MissingGrace: 2 * day})
		v := &catalog.View{Dir: "d", Index: []catalog.IndexFile{{Name: "x.db"}}}
		p := &viewing{vs: vs, v: v, known: map[string]ledger.View{"d/x.db": {Missing: tc.known}}}
		got := p.miss(tc.missing)
		if got != tc.want || !p.since["a"].Equal(tc.since) {
			t.Errorf("%s: publish %v, missing since %v", name, got, p.since)
		}
		if got && !slices.Equal(p.without, tc.missing) || !got && p.state != report.ViewHeldBack {
			t.Errorf("%s: state %q, without %q", name, p.state, p.without)
		}
	}
}
