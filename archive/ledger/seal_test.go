package ledger

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSeal: every batch that is committed makes another seal, and what commits nothing
// keeps it. While the ledger is open, and after a process that did not close it, there
// is none.
func TestSeal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	if s := Seal(dir); s != "" {
		t.Fatalf("a ledger that does not exist has the seal %s", s)
	}
	d := sample("a", "text")
	note := func(text string) func(*Batch) { return func(b *Batch) { b.putNote("dirty", text, nil) } }
	seen := make(map[string]int)
	var last string
	for i, step := range []func(*Batch){
		func(*Batch) {}, // the schema is the first batch
		func(b *Batch) { b.PutDistfile(d) },
		func(b *Batch) { b.PutDistfile(d) }, // the same once more
		func(b *Batch) { b.DropDistfile(d.Key()) },
		func(b *Batch) { b.PutDistfile(d) }, // what it was two batches ago
		func(b *Batch) { b.PutRun(&Run{t0, []byte("{}")}) },
		note("yes"), note(""), note("yes"), note(""),
	} {
		l := open(t, dir)
		var b Batch
		step(&b)
		if err := l.Commit(&b, nil); err != nil {
			t.Fatal(err)
		}
		if s := Seal(dir); s != "" {
			t.Errorf("step %d: the seal of a ledger that is open, or whose process was killed, is %s", i, s)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		last = Seal(dir)
		if before, ok := seen[last]; ok || last == "" {
			t.Errorf("step %d: the seal is %q, as after step %d", i, last, before)
		}
		seen[last] = i
	}
	for range 3 {
		l := open(t, dir)
		_, err := l.Load()
		if err := errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		if s := Seal(dir); s != last {
			t.Errorf("the seal is %q after nothing was committed, was %s", s, last)
		}
	}
	for name, damage := range map[string]func(path string) error{
		manifestName: func(path string) error { return os.Truncate(path, 20) },
		sealName:     os.Remove,
	} {
		broken := filepath.Join(t.TempDir(), "broken")
		if err := errors.Join(os.CopyFS(broken, os.DirFS(dir)), damage(filepath.Join(broken, name))); err != nil {
			t.Fatal(err)
		}
		if s := Seal(broken); s != "" {
			t.Errorf("without its %s the ledger has the seal %s", name, s)
		}
	}
}

// TestOpenWhileForking: a process that is being started when the ledger is closed does
// not keep it from being opened. It is alone: that would be so for all of them.
func TestOpenWhileForking(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	ctx, stop := context.WithCancel(t.Context())
	var forks sync.WaitGroup
	for range 2 {
		forks.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("/nowhere").Run()
			}
		})
	}
	defer forks.Wait()
	defer stop()
	for i := range 8 {
		l, err := Open(dir, Options{})
		if err == nil {
			var b Batch
			b.PutRun(&Run{t0, []byte("{}")})
			err = errors.Join(l.Commit(&b, nil), l.Close())
		}
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
}

// TestSealRewritten: a table that was written to since it was looked at is read again for
// the list.
func TestSealRewritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(manifestName, "manifest")
	put("1.sst", "table")
	s := &seal{tables: make(map[string]sealed), flats: make(map[byte]string)}
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	s, err := checkSeal(dir)
	if err != nil || s.tables["1.sst"].sum == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	put("1.sst", "other")
	at := time.Now().Add(time.Hour)
	if err := errors.Join(os.Chtimes(filepath.Join(dir, "1.sst"), at, at), s.write(dir)); err != nil {
		t.Fatal(err)
	}
	if now, err := checkSeal(dir); err != nil || now.tables["1.sst"].sum == s.tables["1.sst"].sum {
		t.Errorf("%+v, %v", now, err)
	}
}

// TestReadSeal: a line that is none of a list, or that names what is not in the ledger's
// directory, is damage.
func TestReadSeal(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0", 64)
	for text, ok := range map[string]bool{
		"":                                     true,
		sum + " MANIFEST\n":                    true,
		sum + " MANIFEST\n" + sum + " 1.sst\n": true,
		sum + " ../MANIFEST\n":                 false,
		sum + " /etc/passwd\n":                 false,
		sum[1:] + " MANIFEST\n":                false,
		sum + "\n":                             false,
	} {
		path := filepath.Join(t.TempDir(), sealName)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readSeal(path); (err == nil) != ok || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
