package requests

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/catalog"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "requests")
	warnings := 0
	take := func(do string) (rs []*Request) {
		t.Helper()
		if err := Obey(dir, do, func(string, ...any) { warnings++ }, func(r *Request) error { rs = append(rs, r); return nil }); err != nil {
			t.Fatal(err)
		}
		return rs
	}
	if rs := take(Undo); rs != nil || warnings > 0 {
		t.Errorf("before the first: %v, %d warnings", rs, warnings)
	}
	day := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	put := func(n int, r *Request) {
		t.Helper()
		if err := Put(dir, r, day.Add(time.Duration(n))); err != nil {
			t.Fatal(err)
		}
	}
	put(2, &Request{Undo, []catalog.Name{"b\xff"}})
	put(1, &Request{Undo, []catalog.Name{"a", "a"}})
	put(3, &Request{Retry, nil})
	for name, text := range map[string]string{
		"1-undo.json": "x", "2-undo.json": `{"do":"undo","names":["Li4veA=="]}`, "3-undo.json": `{"do":"undo"}`, "4-undo.json": `{"do":"retry","names":["eA=="]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A run that is killed, or fails, leaves what it has not carried out.
	failed := errors.New("failed")
	if err := Obey(dir, Undo, t.Logf, func(*Request) error { return failed }); err != failed {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff([]*Request{{Undo, []catalog.Name{"a"}}, {Undo, []catalog.Name{"b\xff"}}, {Undo, nil}}, take(Undo)); diff != "" || warnings != 3 {
		t.Errorf("%d warnings; -want +got:\n%s", warnings, diff)
	}
	if rs := take(Undo); rs != nil {
		t.Errorf("taken twice: %v", rs)
	}
	if diff := cmp.Diff([]*Request{{Retry, nil}}, take(Retry)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
