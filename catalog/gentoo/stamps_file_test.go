package gentoo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"distkeep/catalog"
)

// lying changes what the stamps of o say of the packages, as if no ID had told of the
// change.
func lying(t *testing.T, o Options, old, text string) {
	t.Helper()
	b, err := os.ReadFile(o.Stamps)
	check(t, err)
	n := binary.Size(stampHeader{})
	out := bytes.NewBuffer(bytes.Clone(b[:n]))
	w := bufio.NewWriter(out)
	for c := (cursor{rest: string(b[n:])}); ; {
		r, _ := c.unframe()
		if c.bad {
			break
		}
		frame(w, []byte(strings.ReplaceAll(r, old, text)))
	}
	check(t, w.Flush(), os.WriteFile(o.Stamps, out.Bytes(), 0o644))
}

// TestFullScan: what no stamp shows is found by the scan that reads everything, and
// known from then on, also when nothing can have a stamp any more.
func TestFullScan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string, o *Options)
		after  int // packages out of stamps afterwards
	}{
		"asked for":               {func(*testing.T, string, *Options) {}, 2},
		"and no package is right": {func(t *testing.T, dir string, _ *Options) { check(t, os.RemoveAll(filepath.Join(dir, cacheDir))) }, 0},
		"and there is no room":    {func(_ *testing.T, _ string, o *Options) { o.Room = func(int64) error { return errors.New("full") } }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, o := stampTree(t)
			want := scan(t, dir, o)
			lying(t, o, "example.org", "example.com")
			if lie := scan(t, dir, o); lie.Stamped != 2 || difference(want, lie) == "" {
				t.Fatal("the stamps are not used")
			}
			c.change(t, dir, &o)
			r, err := Open(dir, o)
			check(t, err)
			full, err := r.FullScan(t.Context())
			check(t, err)
			bare := o
			bare.Stamps = ""
			want = scan(t, dir, bare)
			if d := difference(want, full); d != "" || full.Stamped != 0 {
				t.Errorf("%d packages of the full scan come from stamps:\n%s", full.Stamped, d)
			}
			got := scan(t, dir, o)
			if d := difference(want, got); d != "" || got.Stamped != c.after {
				t.Errorf("%d packages come from stamps after it, want %d:\n%s", got.Stamped, c.after, d)
			}
		})
	}
}

// TestStampsAreDoubted: a file of stamps that is damaged, or another kind of file, costs
// time only. Bytes that are changed one at a time are noticed in each place.
func TestStampsAreDoubted(t *testing.T) {
	t.Parallel()
	dir, _, o := stampTree(t)
	want := scan(t, dir, o)
	good, err := os.ReadFile(o.Stamps)
	check(t, err)
	o.ReadOnly = true
	same := func(what any, b []byte) {
		t.Helper()
		check(t, os.WriteFile(o.Stamps, b, 0o644))
		if d := difference(want, scan(t, dir, o)); d != "" {
			t.Errorf("%v:\n%s", what, d)
		}
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x20
		same(i, b)
		same(i, good[:i])
	}
	same("twice", append(bytes.Clone(good), good...))
	same("garbage behind it", append(bytes.Clone(good), strings.Repeat("\xff", 100)...))
	for what, put := range map[string]func() error{
		"FIFO":      func() error { return syscall.Mkfifo(o.Stamps, 0o644) },
		"directory": func() error { return os.Mkdir(o.Stamps, 0o755) },
		"link":      func() error { return os.Symlink("/dev/zero", o.Stamps) },
		"huge": func() error {
			return errors.Join(os.WriteFile(o.Stamps, good, 0o644), os.Truncate(o.Stamps, maxStamps+1<<20))
		},
	} {
		check(t, os.Remove(o.Stamps), put())
		if got := scan(t, dir, o); difference(want, got) != "" || got.Stamped != 0 {
			t.Errorf("%s: %d packages come from stamps", what, got.Stamped)
		}
	}
}

// TestStampsAreKept: who writes the file, and when. One that cannot be written is no
// failure.
func TestStampsAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, o *Options)
		kept   bool
	}{
		"mirror":   {func(*testing.T, *Options) {}, true},
		"a reader": {func(_ *testing.T, o *Options) { o.ReadOnly = true }, false},
		"no room":  {func(_ *testing.T, o *Options) { o.Room = func(int64) error { return syscall.ENOSPC } }, false},
		"a file in the place of the directory": {func(t *testing.T, o *Options) {
			check(t, os.WriteFile(filepath.Dir(o.Stamps), nil, 0o644))
		}, false},
		"a directory in the place of the file": {func(t *testing.T, o *Options) { write(t, filepath.Join(o.Stamps, "f"), nil) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, o := stampTree(t)
			c.change(t, &o)
			s := scan(t, dir, o)
			fi, err := os.Stat(o.Stamps)
			if kept := err == nil && fi.Mode().IsRegular(); kept != c.kept || len(s.Problems) > 0 {
				t.Errorf("kept: %v; problems %v", kept, s.Problems)
			}
		})
	}
}

// TestStampsAreWrittenForMany: a few packages that have changed are read again each
// time, until it is worth while to write the file.
func TestStampsAreWrittenForMany(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	generate(t, dir, 200)
	o := stamping(t, Options{})
	scan(t, dir, o)
	for i, want := range []int{199, 198, 197, 196, 199} { // the fourth writes it
		name := filepath.Join(dir, "cat-000", "some-package0000"+string(rune('0'+i)), "Manifest")
		inPlace(t, name, "BLAKE2B 0", "BLAKE2B 1")
		if got := scan(t, dir, o); got.Stamped != want {
			t.Errorf("after %d changes %d packages come from stamps, want %d", i+1, got.Stamped, want)
		}
	}
}

// FuzzRecord: no record does harm, and what one that is taken says can be written and
// taken again.
func FuzzRecord(f *testing.F) {
	dir := f.TempDir()
	generate(f, dir, 3)
	o := stamping(f, Options{})
	scan(f, dir, o)
	b, err := os.ReadFile(o.Stamps)
	if err != nil {
		f.Fatal(err)
	}
	for c := (cursor{rest: string(b[binary.Size(stampHeader{}):])}); ; {
		r, _ := c.unframe()
		if c.bad {
			break
		}
		f.Add(r)
	}
	take := func(record string) *unit {
		c := cursor{rest: record}
		r := c.record(nil)
		u := &unit{cat: r.cat, pn: r.pn, manifest: r.manifest == 1, stamp: stamp{record: record}}
		copy(u.stamp.sum[:], r.sum)
		w := newWorker(&tree{repo: &Repository{name: "r"}, stamps: &stamps{}})
		if w.unit = u; !w.takeRecord() {
			return nil
		}
		return u
	}
	f.Fuzz(func(t *testing.T, record string) {
		u := take(record)
		if u == nil {
			return
		}
		for _, d := range u.distfiles {
			if _, err := catalog.ParseName(string(d.Name)); err != nil || d.Size < -1 {
				t.Fatalf("took %q of %d bytes: %v", d.Name, d.Size, err)
			}
		}
		again := string(appendRecord(nil, u))
		v := take(again)
		if v == nil || string(appendRecord(nil, v)) != again {
			t.Fatalf("%q was written as %q, which is not taken", record, again)
		}
	})
}

// FuzzStamps: no file of stamps does harm.
func FuzzStamps(f *testing.F) {
	units := []unit{{cat: "a", pn: "x"}, {cat: "a", pn: "y"}}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	for i := range units {
		frame(w, appendRecord(nil, &units[i]))
	}
	if err := w.Flush(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		us := []unit{{cat: "a", pn: "x"}, {cat: "a", pn: "y"}}
		(&stamps{records: text}).assign(us)
		for i := range us {
			if r := us[i].stamp.record; len(r) > len(text) {
				t.Fatalf("a record of %d bytes", len(r))
			}
		}
	})
}
