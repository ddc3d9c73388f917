package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestCloseWithoutRoom: a ledger that must not be written to any more is left as
// it is, and has all that was committed.
func TestCloseWithoutRoom(t *testing.T) {
	t.Parallel()
	dir, full := filepath.Join(t.TempDir(), "ledger"), false
	l, err := Open(dir, Options{Room: func(int64) error {
		if full {
			return syscall.ENOSPC
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := sample("a", "text")
	var b Batch
	b.PutDistfile(d)
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	full = true
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if tables, err := filepath.Glob(filepath.Join(dir, "*.sst")); err != nil || len(tables) > 0 {
		t.Errorf("a table was written: %v, %v", tables, err)
	}
	// This process still has the database open, which is no damage.
	if _, err := Open(dir, Options{}); !errors.Is(err, errHeld) || errors.Is(err, ErrDamaged) {
		t.Errorf("open again: %v, want errHeld", err)
	}
	other := filepath.Join(t.TempDir(), "ledger")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	l = open(t, other)
	s, err := l.Load()
	if err != nil || s.Distfiles.Get(d.Key()) == nil {
		t.Errorf("the record is gone: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestCause: badger's errors are texts.
func TestCause(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"open x: no space left on device": syscall.ENOSPC,
		"open x: permission denied":       os.ErrPermission,
		"sync x: input/output error":      ErrDamaged,
		"open x: too many open files":     syscall.EMFILE,
		"checksum mismatch":               ErrDamaged,
	} {
		if got := cause(errors.New(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
