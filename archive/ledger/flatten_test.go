package ledger

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/ledger/flat"
)

// closed makes a ledger with records of every kind and closes it.
func closed(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ledger")
	l := open(t, dir)
	full(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sameAsBadger compares what Load returns with what badger has, and reports whether
// Load was content with the flat files.
func sameAsBadger(t testing.TB, dir string) (flat bool) {
	t.Helper()
	l := open(t, dir)
	got, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	flat = l.db == nil
	want, err := l.loadAll()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want.Distfiles, byKey)
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("-badger +loaded:\n%s", diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return flat
}

// TestFlat: a closed ledger is read without badger, and what has changed is written in a
// file of its own.
func TestFlat(t *testing.T) {
	t.Parallel()
	dir := closed(t)
	if !sameAsBadger(t, dir) {
		t.Error("badger was opened to read a closed ledger")
	}
	before := flats(t, dir)
	if len(before) != len(loaded) {
		t.Errorf("flat files: %v", before)
	}
	l := open(t, dir)
	var b Batch
	b.PutNotes(new(Notes), &Notes{Clock: t0})
	b.PutRun(&Run{t0, []byte("{}")})
	if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
		t.Fatal(err)
	}
	for name, fi := range flats(t, dir) {
		if name != recentFile && !os.SameFile(before[name], fi) {
			t.Errorf("after a note, %s is another file", name)
		}
	}
	if !sameAsBadger(t, dir) {
		t.Error("badger was opened after a change")
	}
	seal := Seal(dir)
	l = open(t, dir)
	if _, err := l.Load(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil || Seal(dir) != seal {
		t.Errorf("reading has changed the seal, %v", err)
	}
}

// flats are the flat files of a ledger.
func flats(t testing.TB, dir string) map[string]os.FileInfo {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.flat*"))
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]os.FileInfo)
	for _, p := range paths {
		if m[filepath.Base(p)], err = os.Lstat(p); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestFlatNotBelieved: whatever is in a flat file, what is loaded is what badger has,
// and the next time there is a good one.
func TestFlatNotBelieved(t *testing.T) {
	t.Parallel()
	name := flatName(prefixDistfile)
	text := func(change func([]byte) []byte) func(t *testing.T, dir string) error {
		return func(t *testing.T, dir string) error {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, change(b), 0o644)
		}
	}
	for what, damage := range map[string]func(t *testing.T, dir string) error{
		"gone":      func(t *testing.T, dir string) error { return os.Remove(filepath.Join(dir, name)) },
		"empty":     text(func([]byte) []byte { return nil }),
		"cut off":   text(func(b []byte) []byte { return b[:len(b)-1] }),
		"a bit off": text(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }),
		"longer":    text(func(b []byte) []byte { return append(b, b[len(b)-100:]...) }),
		"a directory": func(t *testing.T, dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, name)), os.Mkdir(filepath.Join(dir, name), 0o755))
		},
		"of another kind": func(t *testing.T, dir string) error {
			return os.Rename(filepath.Join(dir, flatName(prefixRecycled)), filepath.Join(dir, name))
		},
		"of another ledger": func(t *testing.T, dir string) error {
			other := filepath.Join(t.TempDir(), "other")
			l := open(t, other)
			var b Batch
			b.PutDistfile(sample("a", "content"))
			return errors.Join(l.Commit(&b, nil), l.Close(), os.Rename(filepath.Join(other, name), filepath.Join(dir, name)))
		},
		// These have the sum that the seal has.
		"forged: no record":  forge(prefixDistfile, "d/a", "x"),
		"forged: a bad name": forge(prefixDistfile, string(contentKey(prefixDistfile, content("../../a", ""))), string(write(sample("a", "")))),
		"forged: a note":     forge(prefixDistfile, "m/clock", "\x01\"2026-01-02T03:04:05Z\""),
		"forged: no key":     forge(prefixDistfile, "", ""),
		"forged: no schema":  forge(prefixMeta, "m/clock", "\x01\"2026-01-02T03:04:05Z\""),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := closed(t)
			if err := damage(t, dir); err != nil {
				t.Fatal(err)
			}
			if sameAsBadger(t, dir) {
				t.Error("it was believed")
			}
			if what != "a directory" && !sameAsBadger(t, dir) {
				t.Error("no good one was made")
			}
		})
	}
}

// forge makes a flat file with one pair, and the seal say that it is the right one.
func forge(prefix byte, k, v string) func(t *testing.T, dir string) error {
	return func(t *testing.T, dir string) error {
		l := open(t, dir)
		sum, err := flat.Write(filepath.Join(dir, flatName(prefix)), nil, func(put func(k, v []byte) error) error { return put([]byte(k), []byte(v)) })
		l.seal.flats[prefix] = sum
		return errors.Join(err, l.seal.write(dir), l.Close())
	}
}

// TestRecentNotBelieved: so it is with the file of what has changed.
func TestRecentNotBelieved(t *testing.T) {
	t.Parallel()
	change := func(t *testing.T, dir, reason string) {
		l := open(t, dir)
		var b Batch
		b.PutFailure(&Failure{Name: "a", Want: "0123456789abcdef", Reason: reason})
		b.DropDistfile(content("b", "content"))
		if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	forged := func(k, v string) func(t *testing.T, dir string) error {
		return func(t *testing.T, dir string) (err error) {
			l := open(t, dir)
			l.seal.recent, err = flat.Write(filepath.Join(dir, recentFile), nil, func(put func(k, v []byte) error) error { return put([]byte(k), []byte(v)) })
			return errors.Join(err, l.seal.write(dir), l.Close())
		}
	}
	text := func(change func([]byte) []byte) func(t *testing.T, dir string) error {
		return func(t *testing.T, dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, recentFile))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, recentFile), change(b), 0o644))
		}
	}
	for what, damage := range map[string]func(t *testing.T, dir string) error{
		"gone":      func(t *testing.T, dir string) error { return os.Remove(filepath.Join(dir, recentFile)) },
		"empty":     text(func([]byte) []byte { return nil }),
		"cut off":   text(func(b []byte) []byte { return b[:len(b)-1] }),
		"a bit off": text(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
		"older": func(t *testing.T, dir string) error {
			old, err := os.ReadFile(filepath.Join(dir, recentFile))
			change(t, dir, "third")
			return errors.Join(err, os.WriteFile(filepath.Join(dir, recentFile), old, 0o644))
		},
		"forged: no record":    forged("d/a", "x"),
		"forged: a success":    forged("s/a", "x"),
		"forged: another kind": forged("?/a", "x"),
		"forged: no key":       forged("", ""),
		"forged: no schema":    forged("m/schema", ""),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := closed(t)
			change(t, dir, "first")
			change(t, dir, "second")
			if !sameAsBadger(t, dir) {
				t.Fatal("the changes are not read")
			}
			if err := damage(t, dir); err != nil {
				t.Fatal(err)
			}
			if sameAsBadger(t, dir) {
				t.Error("it was believed")
			}
			if !sameAsBadger(t, dir) {
				t.Error("no good one was made")
			}
		})
	}
}

// TestFlatWithoutRoom: a disk that has room for badger alone is none to complain about.
func TestFlatWithoutRoom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what  string
		bytes int // of the changes
		room  int // for so many files
		left  []string
	}{
		{"no room for what has changed", 0, 0, []string{"distfile.flat", "dropped.flat", "failure.flat", "meta.flat", "recycled.flat", "deletion.flat"}},
		{"much has changed", maxRecent + 1, 1, []string{flatName(loaded[0])}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			dir, asked := closed(t), 0
			l, err := Open(dir, Options{Spare: func(need int64) error {
				if asked++; asked > tc.room {
					return syscall.ENOSPC
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			full(t, l)
			l.since.bytes += tc.bytes
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			left := slices.Sorted(maps.Keys(flats(t, dir)))
			if slices.Sort(tc.left); !slices.Equal(left, tc.left) {
				t.Errorf("flat files: %v, want %v", left, tc.left)
			}
			if sameAsBadger(t, dir) {
				t.Error("flat files were read that were not written")
			}
			if !sameAsBadger(t, dir) {
				t.Error("no flat files were made once there was room")
			}
		})
	}
}

// TestFlatFollows: whatever is committed, flat files are made that have what badger has,
// of the files before where not too much has changed.
func TestFlatFollows(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	names := []string{"a", "a-", "a.b", "a/b", "a0", "b", "b.sig"} // a "/" follows a name in a key
	r := rand.New(rand.NewPCG(1, 2))
	for session := range 24 {
		l := open(t, dir)
		for range r.IntN(4) {
			var b Batch
			for range r.IntN(12) {
				name := names[r.IntN(len(names))]
				d := sample(name, fmt.Sprint(r.IntN(3)))
				d.Size = r.Int64N(1 << 40)
				f := &Failure{Name: d.Name, Want: "0123456789abcdef", Reason: fmt.Sprint(d.Size)}
				x := &Deletion{Key: d.Key(), Since: t0, Size: d.Size}
				[]func(){
					func() { b.PutDistfile(d) }, func() { b.DropDistfile(d.Key()) },
					func() { b.PutFailure(f) }, func() { b.DropFailure(f.Key()) },
					func() { b.PutDeletion(x) }, func() { b.DropDeletion(x.Key) },
					func() { b.PutNotes(new(Notes), &Notes{Clock: t0.Add(time.Duration(d.Size) * time.Second)}) },
				}[r.IntN(7)]()
			}
			if err := l.Commit(&b, nil); err != nil {
				t.Fatal(err)
			}
		}
		if session%5 == 4 { // too much to be kept
			l.since.bytes = maxChanges
			var b Batch
			b.PutFailure(&Failure{Name: "long", Want: "0123456789abcdef", Size: int64(session)})
			if err := l.Commit(&b, nil); err != nil || len(l.since.values) > 0 {
				t.Fatalf("%d changes are kept, %v", len(l.since.values), err)
			}
		}
		if session%4 == 2 {
			l.since.bytes += maxRecent // too much for a file of its own
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, is := flats(t, dir)[recentFile]; is != (len(l.since.values) > 0) {
			t.Errorf("session %d: %d changes are in a file of their own: %v", session, len(l.since.values), is)
		}
		if !sameAsBadger(t, dir) {
			t.Errorf("session %d: no flat files", session)
		}
	}
}

// TestFlatAfterFailedCommit: what badger did not take is in no flat file.
func TestFlatAfterFailedCommit(t *testing.T) {
	t.Parallel()
	dir := closed(t)
	l := open(t, dir)
	b := Batch{ops: []op{{key: contentKey(prefixDeletion, content("a", "")), value: write(new(Deletion))}, {key: make([]byte, 1<<20)}}}
	b.ops[1].key[0] = prefixFailure
	if err := l.Commit(&b, nil); err == nil {
		t.Fatal("badger took a key of a MiB")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !sameAsBadger(t, dir) {
		t.Error("no flat files")
	}
}

// TestNewerSchema: a ledger of a newer program is not read, by flat files neither.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	dir := closed(t)
	l := open(t, dir)
	var b Batch
	b.putNote(schemaKey, "2", nil)
	if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(dir, Options{}); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "schema") {
		t.Errorf("%v, %v", l, err)
	}
}

// TestCheck: damage that the flat files hide is found.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := closed(t)
	l := open(t, dir)
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	k := contentKey(prefixDistfile, content("a", ""))
	if err := l.Commit(&Batch{ops: []op{{key: k, value: []byte{versionBinary}}}}, nil); err != nil {
		t.Fatal(err)
	}
	l.since = changes{} // as if it had gone bad since
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	defer l.Close()
	if _, err := l.Load(); err != nil {
		t.Errorf("Load: %v", err)
	}
	if err := l.Check(); !errors.Is(err, ErrDamaged) || !errors.Is(err, errRecord) {
		t.Errorf("Check: %v", err)
	}
}
