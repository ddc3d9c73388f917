package ledger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestFlatAfterCrash: whatever of a close was done before the process died, what is
// loaded is all that was committed.
func TestFlatAfterCrash(t *testing.T) {
	t.Parallel()
	for name, undone := range map[string][]string{
		"before the seal":       {sealName},
		"before the flat files": {sealName, "*" + flatExt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, d := closed(t), sample("new", "content")
			old := filepath.Join(t.TempDir(), "old")
			if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir)
			var b Batch
			b.PutDistfile(d)
			if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
				t.Fatal(err)
			}
			for _, pattern := range undone {
				files, err := filepath.Glob(filepath.Join(old, pattern))
				if err != nil || len(files) == 0 {
					t.Fatalf("no %s: %v", pattern, err)
				}
				for _, f := range files {
					if err := os.Rename(f, filepath.Join(dir, filepath.Base(f))); err != nil {
						t.Fatal(err)
					}
				}
			}
			l = open(t, dir)
			s, err := l.Load()
			if err := errors.Join(err, l.Close()); err != nil || s.Distfiles.Get(d.Key()) == nil {
				t.Errorf("the record is lost, %v", err)
			}
			if !sameAsBadger(t, dir) {
				t.Error("no flat files were made")
			}
		})
	}
	t.Run("before badger", func(t *testing.T) {
		t.Parallel()
		dir, d, full := closed(t), sample("new", "content"), false
		l, err := Open(dir, Options{Room: func(int64) error {
			if full {
				return syscall.ENOSPC
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		b.PutDistfile(d)
		if err := l.Commit(&b, nil); err != nil {
			t.Fatal(err)
		}
		full = true // it is left as by a process that was killed
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(t.TempDir(), "left")
		if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		l = open(t, left)
		s, err := l.Load()
		if err := errors.Join(err, l.Close()); err != nil || s.Distfiles.Get(d.Key()) == nil {
			t.Errorf("the record is lost, %v", err)
		}
	})
}

// TestKillInClose kills a process at each step of the flat files, of few changes and of
// many: they are read again only once they are whole.
func TestKillInClose(t *testing.T) {
	const at, many = "DISTKEEP_LEDGER_TEST_AT", "DISTKEEP_LEDGER_TEST_MANY"
	if dir := os.Getenv(childDir); dir != "" {
		last, err := strconv.Atoi(os.Getenv(at))
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, Options{Spare: func(int64) error {
			if last--; last < 0 {
				p.Kill()
				select {}
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		full(t, l)
		var b Batch
		b.PutDistfile(sample("new", "content"))
		if err := l.Commit(&b, nil); err != nil {
			t.Fatal(err)
		}
		if os.Getenv(many) != "" {
			l.since.bytes = maxRecent + 1
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	dir := closed(t)
	for _, all := range []string{"", "yes"} {
		killInClose(t, dir, at, many+"="+all, all != "")
	}
}

func killInClose(t *testing.T, dir, at, env string, all bool) {
	for n, done := 0, false; !done; n++ {
		if n > 99 {
			t.Fatal("it never comes to its end")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillInClose$")
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprint(at, "=", n), env)
		out, err := cmd.CombinedOutput()
		if done = err == nil; !done && cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("child: %v\n%s", err, out)
		}
		l := open(t, dir)
		s, err := l.Load()
		if err != nil || s.Distfiles.Get(sample("new", "content").Key()) == nil {
			t.Errorf("killed at step %d, the record is lost, %v", n, err)
		}
		if flat := l.db == nil; flat != done {
			t.Errorf("killed at step %d, flat files were read: %v", n, flat)
		}
		var b Batch
		b.DropDistfile(sample("new", "content").Key())
		if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
			t.Fatal(err)
		}
		if !sameAsBadger(t, dir) {
			t.Errorf("killed at step %d, no flat files were made", n)
		}
		if done && (n == 0 || all && n < len(loaded)) {
			t.Errorf("%d steps were all", n)
		}
	}
}
