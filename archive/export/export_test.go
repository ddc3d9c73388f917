package export

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"

	"distkeep/catalog/regular"
)

// TestRefresh: what is exported comes from the ledger. A status that somebody has
// changed, or that is gone, changes nothing of the last run and of its delays.
func TestRefresh(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	distfiles, state := vault.Dirs(t.TempDir())
	if err := vault.Init(distfiles, state, nil, start); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(vault.Options{Distfiles: distfiles, State: state, What: "test", Now: func() time.Time { return start.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := v.Store.ReportDir()
	load := func() (s report.Summary) {
		t.Helper()
		if err := Refresh(v, "undo"); err != nil {
			t.Fatal(err)
		}
		if err := report.LoadStatus(dir, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := load(); s.Command != "undo" || !s.Start.Equal(v.Now) {
		t.Errorf("before any run: %+v", s)
	}
	text, err := json.Marshal(&report.Summary{Command: "mirror", Start: start, DeletionDelay: time.Hour, Relinked: 7, Archive: layout.Count{Files: 9}})
	if err != nil {
		t.Fatal(err)
	}
	var b ledger.Batch
	b.PutRun(&ledger.Run{Start: start, Summary: text})
	if err := v.Commit(&b); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func() error{
		"removed": func() error { return os.Remove(dir + "/status.json") },
		"changed": func() error { return report.WriteStatus(dir, &report.Summary{Command: "mirror"}, regular.Replace) },
		"garbage": func() error { return os.WriteFile(dir+"/status.json", []byte("x"), 0o644) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if s := load(); !s.Start.Equal(start) || s.DeletionDelay != time.Hour || s.Relinked != 7 || s.Archive.Files != 0 {
			t.Errorf("%s: %+v, want the last run with the totals of now", what, s)
		}
	}
}
