package plan

import (
	"io/fs"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestMake: what is done to get what is wanted.
func TestMake(t *testing.T) {
	t.Parallel()
	const gone = "gone" // a class that is tried seldom
	denied := layout.File{Size: -1, Err: fs.ErrPermission}
	hashed := parsed(t, "filename-hash BLAKE2B 8")
	for name, c := range map[string]struct {
		set  func(w *world)
		want string
	}{
		"nothing": {func(*world) {}, ""},
		"held": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
		}, "held 1"},
		"held, and nothing to hold against it": {func(w *world) {
			w.wants("a", "x").Digests = nil
			w.held("a", "x")
		}, "held 1"},
		"its name is gone": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
			delete(w.files, "a")
		}, "held 1, relink a"},
		"the name of what nobody wants is gone": {func(w *world) {
			w.held("a", "x")
			delete(w.files, "a")
		}, "relink a"},
		"something else has its place": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
			w.files["a"] = layout.File{Size: 9, ModTime: long}
		}, "held 1, relink a"},
		"lost": {func(w *world) {
			w.wants("a", "x")
			w.recorded("a", "x")
		}, "lost a, fetch a"},
		"lost, and nobody wants it": {func(w *world) { w.recorded("a", "x") }, "lost a"},
		"lost, and its place is stuck": {func(w *world) {
			w.wants("a", "x")
			w.Stuck[w.recorded("a", "x").Key()] = true
		}, ""},
		"a directory cannot be read": {func(w *world) {
			w.wants("a", "x")
			w.files[cipher(w.recorded("a", "x"))] = denied
		}, "fail a local, unsure a"},
		"a directory cannot be read of what nobody wants": {func(w *world) {
			w.files[cipher(w.recorded("a", "x"))] = denied
		}, "fail a local, unsure a"},
		"the file cannot be read": {func(w *world) {
			w.wants("a", "x")
			w.recorded("a", "x")
			w.files["a"] = layout.File{Size: 1, ModTime: t0.Add(-time.Hour)}
			w.read("a")
			w.Failed["a"] = fs.ErrPermission
		}, "fail a local, unsure a"},
		"it has another time": {func(w *world) {
			w.wants("a", "x")
			w.recorded("a", "x")
			w.files["a"] = layout.File{Size: 1, ModTime: t0.Add(-time.Hour)}
		}, "read a /a/distfiles/a"},
		"it has another time, and was read": {func(w *world) {
			w.wants("a", "x")
			w.recorded("a", "x")
			w.files["a"] = layout.File{Size: 1, ModTime: t0.Add(-time.Hour)}
			w.read("a")
		}, "lost a, fetch a"},
		"somebody is writing to it": {func(w *world) {
			w.wants("a", "xyz")
			w.recorded("a", "xyz")
			w.files["a"] = layout.File{Size: 1, ModTime: t0.Add(-time.Second)}
		}, "fail a local, unsure a"},
		"under another name": {func(w *world) {
			w.wants("a", "x")
			w.held("b", "x")
		}, "link a b"},
		"under another name in a layout by content": {func(w *world) {
			w.Shelf.Layouts = layout.Conf{blake}
			w.wants("a", "x")
			w.held("b", "x")
		}, "link a b"},
		"held without its name": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x").Named = false
			delete(w.files, "a")
		}, "link a a"},
		"in recycle": {func(w *world) {
			w.wants("a", "x")
			w.recycled("a", "x", long)
		}, "restore a"},
		"in recycle under another name": {func(w *world) {
			w.wants("a", "x")
			w.recycled("b", "x", long)
		}, "restore a"},
		"gone from recycle": {func(w *world) {
			w.wants("a", "x")
			delete(w.recycle, w.recycled("a", "x", long))
		}, "fetch a"},
		"recycle cannot be read": {func(w *world) {
			w.wants("a", "x")
			w.Unread[w.recycled("a", "x", long).Key()] = true
		}, "fetch a"},
		"missing": {func(w *world) { w.wants("a", "x") }, "fetch a"},
		"two contents that cannot be compared": {func(w *world) {
			w.wants("a", "x")
			w.incomparable("a", "x")
		}, "fetch a, compare a"},
		"two contents that cannot be compared, and the first has failed": {func(w *world) {
			w.Tried[NewWant(w.wants("a", "x"), true).Key()] = true
			w.incomparable("a", "x")
		}, "fetch a, fail a conflict"},
		"two contents that turned out to be one": {func(w *world) {
			w.wants("a", "x")
			d := w.incomparable("a", "x")
			held := w.held("a", "x")
			held.Digests = held.Digests.Union(d.Digests)
		}, "held 1"},
		"two contents, and it is not known whether the held one is both": {func(w *world) {
			w.wants("a", "x")
			w.incomparable("a", "x")
			w.held("a", "x")
		}, "held 1, read a /a/distfiles/a, fail a conflict"},
		"missing under two names": {func(w *world) {
			w.wants("a", "x")
			w.wants("b", "x")
		}, "fetch a, fetch b"},
		"re-rolled": {func(w *world) {
			w.wants("a", "new")
			w.held("a", "old")
		}, "fetch a"},
		"failed, and not due": {func(w *world) {
			w.failed(w.wants("a", "x"), gone, long, later, "asked")
		}, "wait a"},
		"failed, and due": {func(w *world) {
			w.failed(w.wants("a", "x"), gone, long, t0, "asked")
		}, "fetch a"},
		"failed, and asked for another thing": {func(w *world) {
			w.failed(w.wants("a", "x"), gone, long, later, "another")
		}, "fetch a"},
		"failed for a while": {func(w *world) {
			w.failed(w.wants("a", "x"), "http", long, later, "asked")
		}, "fetch a"},
		"failed at a time to come": {func(w *world) {
			w.failed(w.wants("a", "x"), gone, later, later.Add(day), "asked")
		}, "fetch a"},
		"failed as another content": {func(w *world) {
			w.failed(w.wants("a", "old"), gone, long, later, "asked")
			w.scan.Distfiles = nil
			w.wants("a", "new")
		}, "fetch a"},
		"a name that the archive needs": {func(w *world) { w.wants("distinfo", "x") }, "fail distinfo policy"},
		"a name in the directory of a view": {func(w *world) {
			w.wants("extra/a", "x")
			w.Dirs = map[string]bool{"extra": true}
		}, "fail extra/a policy"},
		"a directory in its place": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: -1, Blocked: layout.ByDir}
		}, "fail a local"},
		"a file in the place of its directory": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: -1, Blocked: layout.ByFile}
		}, "fail a local"},
		"no digest": {func(w *world) { w.wants("a", "x").Digests = nil }, "fail a digest"},
		"two contents of a name": {func(w *world) {
			w.wants("a", "x")
			w.wants("a", "y")
		}, "fetch a, fetch a, fail a conflict"},
		"two contents of a name, held": {func(w *world) {
			w.wants("a", "x")
			w.wants("a", "y")
			w.held("a", "x")
			w.held("a", "y").Named = false
		}, "held 2, fail a conflict"},
		"a file that the ledger does not know": {func(w *world) {
			w.files["a"] = layout.File{Size: 1, ModTime: long}
		}, "read a /a/distfiles/a"},
		"a file that somebody is writing": {func(w *world) {
			w.files["a"] = layout.File{Size: 1, ModTime: t0}
		}, ""},
		"a file in the place of what is wanted": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: 1, ModTime: long}
		}, "read a /a/distfiles/a"},
		"a file in the place of what is wanted, that cannot be read": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: 1, ModTime: long}
			w.read("a")
			w.Failed["a"] = fs.ErrPermission
		}, "fail a local"},
		"a file of another size in the place of what is wanted": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: 2, ModTime: long}
		}, "fetch a, misfit a"},
		"a file of another size in the place of what is wanted, that is growing": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: 2, ModTime: t0}
		}, "fetch a"},
		"other bytes in the place of what is wanted": {func(w *world) {
			w.wants("a", "x")
			w.files["a"] = layout.File{Size: 1, ModTime: long}
			w.read("a")
			w.Wrong["a"] = "no"
		}, "fetch a, misfit a"},
		"other bytes in one place of what is wanted": {func(w *world) {
			w.wants("a", "x")
			w.Shelf.Layouts = layout.Conf{hashed, layout.Flat()}
			w.files["a"] = layout.File{Size: 1, ModTime: long}
			w.files[(&layout.Content{Name: "a"}).Path(hashed)] = layout.File{Size: 2, ModTime: long}
		}, "read a /a/distfiles/a, misfit " + (&layout.Content{Name: "a"}).Path(hashed)},
		"a content of old in the place of what is wanted, and the ledger is new": {func(w *world) {
			w.wants("a", "new")
			d := record("a", "x")
			w.Ciphers = []Cipher{{Key: d.Key(), Rel: cipher(&d), Size: 1, Inode: layout.Inode{Ino: 7}}}
			w.files["a"] = layout.File{Size: 1, ModTime: long, Inode: layout.Inode{Ino: 7}}
			w.files[cipher(&d)] = w.files["a"]
		}, "read a /a/distfiles/a, fetch a"},
		"links of one file that the ledger does not know": {func(w *world) {
			w.Shelf.Layouts = layout.Conf{hashed, layout.Flat()}
			for _, rel := range []string{"a", (&layout.Content{Name: "a"}).Path(hashed)} {
				w.files[rel] = layout.File{Size: 1, ModTime: long, Inode: layout.Inode{Ino: 7}, Links: 2}
			}
			w.wants("a", "x")
		}, "read a /a/distfiles/" + (&layout.Content{Name: "a"}).Path(hashed)},
		"two names of one content, in one place": {func(w *world) {
			w.wants("a", "x")
			w.wants("b", "x")
			w.files["b"] = layout.File{Size: 1, ModTime: long}
		}, "read b /a/distfiles/b, fetch a"},
		"elsewhere, under its name and another": {func(w *world) {
			w.wants("a", "x")
			w.lies("/old/b", 1)
			w.lies("/old/a", 1)
		}, "read a /old/a"},
		"elsewhere, under another name": {func(w *world) {
			w.wants("a", "x")
			w.lies("/old/b", 1)
			w.lies("/old/c", 2)
		}, "read a /old/b"},
		"elsewhere, and of no known size": {func(w *world) {
			w.wants("a", "x").Size = -1
			w.lies("/old/b", 1)
			w.lies("/old/a", 2)
		}, "read a /old/a"},
		"elsewhere, and not due": {func(w *world) {
			w.failed(w.wants("a", "x"), gone, long, later, "asked")
			w.lies("/old/a", 1)
		}, "read a /old/a"},
		"elsewhere, and held": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
			w.lies("/old/a", 1)
		}, "held 1"},
		"below by_cipher, and the ledger is new": {func(w *world) {
			d := record("a", "x")
			w.Ciphers = []Cipher{{Key: d.Key(), Rel: cipher(&d), Size: 1}}
			w.files[cipher(&d)] = layout.File{Size: 1, ModTime: long}
		}, "read a /a/distfiles/" + layout.ByCipher(digest.SHA256.Sum([]byte("x")), "a")},
		"the part of an interrupted commit": {func(w *world) {
			want := NewWant(w.wants("a", "x"), true).Key()
			w.Part = func(k ledger.FailureKey) bool { return k == want }
		}, "read a /a/distfiles"},
		"a layout needs another digest": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
			w.Shelf.Layouts = layout.Conf{parsed(t, "content-hash SHA512 8")}
			w.Shelf.Former = []layout.Layout{layout.Flat()}
		}, "read a /a/distfiles/a, stale a"},
		"a layout was added": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
			w.Shelf.Layouts = append(w.Shelf.Layouts, hashed)
		}, "held 1, relink a"},
		"a layout was removed": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "x")
			w.Shelf.Layouts, w.Shelf.Former = layout.Conf{hashed}, []layout.Layout{layout.Flat()}
		}, "held 1, relink a, stale a"},
		"a layout was removed, and a content lost its name": {func(w *world) {
			w.wants("a", "x")
			w.held("a", "old").Named = false
			w.Shelf.Layouts = layout.Conf{hashed}
			w.held("a", "x")
			w.Shelf.Former = []layout.Layout{layout.Flat()}
		}, "held 1, stale a"},
		"at a path by content, and nobody wants it": {func(w *world) {
			w.Shelf.Layouts = layout.Conf{blake}
			w.held("a", "x")
			w.strange("y")
		}, "unnamed " + byContent("y")},
		"at a path by content, and another program knew its name": {func(w *world) {
			w.Shelf.Layouts = layout.Conf{blake}
			w.Remembered = map[string]catalog.Name{w.strange("y"): "b"}
		}, "read b /a/distfiles/" + byContent("y")},
		"at a path by content that nobody wants, before the wanted is known": {func(w *world) {
			w.Shelf.Layouts = layout.Conf{blake}
			w.wants("a", "x")
			w.strange("x")
			w.strange("y")
		}, "read a /a/distfiles/" + byContent("x")},
		"at a path by content, and not what is wanted there": {func(w *world) {
			w.Shelf.Layouts = layout.Conf{blake}
			d := w.wants("a", "x")
			rel := w.strange("x")
			w.Read[(&Reading{Rel: rel, ModTime: long, Want: NewWant(d, true)}).Key()] = true
			w.Wrong[rel] = "it is not"
		}, "fetch a, misfit " + byContent("x")},
		"in the drop box": {func(w *world) {
			w.wants("a", "x")
			w.drops("a", 1, "")
		}, "read a /drop/a"},
		"in the drop box, and refused": {func(w *world) {
			d := w.wants("a", "x")
			r := w.drops("a", 1, "y")
			r.Want, r.Refused = NewWant(d, true).ID(), "no"
		}, "fetch a, fail a local"},
		"in the drop box, and not readable": {func(w *world) {
			w.wants("a", "x")
			w.drops("a", 1, "")
			w.Read[(&Reading{Drop: w.Drops["a"], Name: "a", Want: NewWant(w.scan.Distfiles[0], true)}).Key()] = true
			w.FailedDrops["a"] = fs.ErrPermission
		}, "fetch a, fail a local"},
		"in the drop box, and must not be mirrored": {func(w *world) {
			w.wants("a", "x").Restrict = catalog.RestrictMirror
			w.drops("a", 1, "")
		}, "fail a local"},
		"in the drop box, and one package allows it": {func(w *world) {
			w.wants("a", "x").Restrict = catalog.RestrictMirror
			w.wants("a", "x")
			w.drops("a", 1, "")
		}, "read a /drop/a"},
		"in the drop box, and a person may publish it": {func(w *world) {
			w.wants("a", "x").Restrict = catalog.RestrictFetch
			w.drops("a", 1, "")
		}, "read a /drop/a"},
		"in the drop box, and PMS says that fetch implies mirror": {func(w *world) {
			d := w.wants("a", "x")
			d.Restrict, d.Kind = catalog.RestrictFetch, catalog.Gentoo
			w.drops("a", 1, "")
		}, "fail a local"},
		"in the drop box, and nobody wants it": {func(w *world) { w.drops("a", 1, "") }, "read a /drop/a"},
		"in the drop box, and taken": {func(w *world) {
			w.held("a", "x")
			w.drops("a", 1, "x")
		}, ""},
		"in the drop box, and its transfer is not due": {func(w *world) {
			w.wants("a", "x")
			w.drops("a", 1, "")
			w.failed(w.scan.Distfiles[0], gone, long, later, "asked")
		}, "read a /drop/a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c.set(w)
			f := w.facts()
			for range 2 { // planning changes nothing
				if got := outline(f, Make(f)); got != c.want {
					t.Errorf("planned %q, want %q", got, c.want)
				}
			}
		})
	}
}

// read notes that rel was read, for whoever may want it.
func (w *world) read(rel string) {
	r := &Reading{Rel: rel, Name: catalog.Name(rel), ModTime: w.files[rel].ModTime}
	w.Read[r.Key()] = true
	for _, d := range w.scan.Distfiles {
		r.Want = NewWant(d, true)
		w.Read[r.Key()] = true
	}
}

func parsed(t *testing.T, spec string) layout.Layout {
	t.Helper()
	l, err := layout.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestVanished: an archive most of which is gone is not forgotten.
func TestVanished(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		held, gone int
		set        func(w *world)
		fails      bool
	}{
		"few":         {0, 9, func(*world) {}, false},
		"all":         {0, 10, func(*world) {}, true},
		"half":        {5, 5, func(*world) {}, false},
		"most":        {5, 6, func(*world) {}, true},
		"other bytes": {5, 6, func(w *world) { w.there = true }, false},
		"not readable": {5, 6, func(w *world) {
			for _, d := range w.Index.Distfiles {
				if _, ok := w.files[cipher(d)]; !ok {
					w.files[cipher(d)] = layout.File{Size: -1, Err: fs.ErrPermission}
				}
			}
			w.there = true
		}, true},
	} {
		w := newWorld()
		for i := range c.held {
			w.held(catalog.Name("h"+string(rune('a'+i))), "x")
		}
		for i := range c.gone {
			w.recorded(catalog.Name("g"+string(rune('a'+i))), "x")
		}
		c.set(w)
		if err := w.facts().Vanished(); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMissed: whether anybody counts on what is lost.
func TestMissed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(w *world)
		want bool
	}{
		"nobody":                {func(*world) {}, false},
		"the whitelist":         {func(w *world) { w.white = []catalog.Name{"a"} }, true},
		"an unknown tree":       {func(w *world) { w.unknown(catalog.WholeTree) }, true},
		"an unknown package":    {func(w *world) { w.unknown(catalog.OnePackage, "a") }, true},
		"another's package":     {func(w *world) { w.unknown(catalog.OnePackage, "b") }, false},
		"who was not asked for": {func(w *world) { w.Partial = true }, true},
	} {
		w := newWorld()
		c.set(w)
		d := record("a", "x")
		if f := w.facts().Missed(d.Failure(ledger.Lost), d.Owner); (f != nil) != c.want {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestRefuge: a link of a former layout goes only when the content has another
// place, and nothing else has its place there.
func TestRefuge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(w *world, d *ledger.Distfile)
		want string
	}{
		"in every layout":            {func(*world, *ledger.Distfile) {}, "a"},
		"not in one layout":          {func(w *world, _ *ledger.Distfile) { delete(w.files, "a") }, ""},
		"not below by_cipher":        {func(w *world, d *ledger.Distfile) { w.alone(d, "a") }, ""},
		"without a name":             {func(_ *world, d *ledger.Distfile) { d.Named = false }, "by_cipher"},
		"without a name or any file": {func(w *world, d *ledger.Distfile) { d.Named = false; delete(w.files, cipher(d)) }, ""},
	} {
		w := newWorld()
		d := w.held("a", "x")
		c.set(w, d)
		want := c.want
		if want == "by_cipher" {
			want = cipher(d)
		}
		f := w.facts()
		if got := f.Refuge(d); got != want {
			t.Errorf("%s: stays at %q, want %q", name, got, want)
		}
		if got := f.LayoutPaths(); got["a"] != d.Named {
			t.Errorf("%s: claimed are %v", name, got)
		}
	}
}

// alone takes all links of d away but rel.
func (w *world) alone(d *ledger.Distfile, rel string) {
	delete(w.files, cipher(d))
	w.files[rel] = layout.File{Size: d.Size, ModTime: d.ModTime, Links: 1}
}
