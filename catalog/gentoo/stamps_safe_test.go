package gentoo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distkeep/catalog/regular"
)

// A stampCase changes a tree that has stamps. The tree has the packages a/x and a/y, and
// a master; a/x uses an eclass and a mirror group.
type stampCase struct {
	name string
	// change changes the tree at dir, its master, or the options.
	change func(t *testing.T, dir, master string, o *Options)
	// stamped is how many of the two are still taken from stamps.
	stamped int
	// same: the scan says the same as before.
	same bool
}

const stampManifest, stampEbuild, stampEntry = "a/x/Manifest", "a/x/x-1.ebuild", cacheDir + "/a/x-1"

// inPlace writes to a file in place, which keeps its inode, its size and its time.
func inPlace(t *testing.T, path, old, text string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), old) || len(old) != len(text) {
		t.Fatalf("%s has no %q, or %q is longer: %v", path, old, text, err)
	}
	check(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, text)), 0o644), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// replaced makes another file of the same size and time, and puts it in the place of one
// with put.
func replaced(t *testing.T, path, old, text string, put func(from, to string) error) {
	t.Helper()
	fi, err := os.Stat(path)
	check(t, err)
	b, err := os.ReadFile(path)
	check(t, err)
	other := filepath.Join(t.TempDir(), "other")
	check(t, os.WriteFile(other, []byte(strings.ReplaceAll(string(b), old, text)), 0o644), os.Chtimes(other, fi.ModTime(), fi.ModTime()), put(other, path))
}

var stampCases = []stampCase{
	{"nothing", func(*testing.T, string, string, *Options) {}, 2, true},
	{"Manifest in place, of the same size and time", func(t *testing.T, dir, _ string, _ *Options) {
		inPlace(t, filepath.Join(dir, stampManifest), "d41d", "d41e")
	}, 1, false},
	{"ebuild in place", func(t *testing.T, dir, _ string, _ *Options) {
		inPlace(t, filepath.Join(dir, stampEbuild), "nowhere", "elsewhe")
	}, 1, false},
	{"cache entry in place", func(t *testing.T, dir, _ string, _ *Options) {
		inPlace(t, filepath.Join(dir, stampEntry), "example.org", "example.com")
	}, 1, false},
	{"Manifest renamed over", func(t *testing.T, dir, _ string, _ *Options) {
		replaced(t, filepath.Join(dir, stampManifest), "d41d", "d41e", os.Rename)
	}, 1, false},
	{"cache entry renamed over", func(t *testing.T, dir, _ string, _ *Options) {
		replaced(t, filepath.Join(dir, stampEntry), "example.org", "example.com", os.Rename)
	}, 1, false},
	{"hard link swapped", func(t *testing.T, dir, _ string, _ *Options) {
		replaced(t, filepath.Join(dir, stampManifest), "d41d", "d41e", func(from, to string) error {
			return errors.Join(os.Remove(to), os.Link(from, to))
		})
	}, 1, false},
	{"hard link more", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Link(filepath.Join(dir, stampManifest), filepath.Join(t.TempDir(), "link")))
	}, 1, true},
	{"mode", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Chmod(filepath.Join(dir, stampManifest), 0o600))
	}, 1, true},
	{"mode of the directory", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Chmod(filepath.Join(dir, "a/x"), 0o700))
	}, 1, true},
	{"time long ago", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Chtimes(filepath.Join(dir, stampEntry), time.Unix(1, 0), time.Unix(1, 0)))
	}, 1, true},
	{"no Manifest", func(t *testing.T, dir, _ string, _ *Options) { check(t, os.Remove(filepath.Join(dir, stampManifest))) }, 1, false},
	{"no ebuild", func(t *testing.T, dir, _ string, _ *Options) { check(t, os.Remove(filepath.Join(dir, stampEbuild))) }, 1, false},
	{"no cache entry", func(t *testing.T, dir, _ string, _ *Options) { check(t, os.Remove(filepath.Join(dir, stampEntry))) }, 1, false},
	{"no cache", func(t *testing.T, dir, _ string, _ *Options) { check(t, os.RemoveAll(filepath.Join(dir, cacheDir))) }, 0, false},
	{"no package", func(t *testing.T, dir, _ string, _ *Options) { check(t, os.RemoveAll(filepath.Join(dir, "a/x"))) }, 1, false},
	{"another ebuild", func(t *testing.T, dir, _ string, _ *Options) {
		write(t, filepath.Join(dir, "a/x/x-2.ebuild"), []byte("EAPI=8\nSRC_URI=https://example.org/x2\n"))
	}, 1, false},
	{"another package", func(t *testing.T, dir, _ string, _ *Options) {
		write(t, filepath.Join(dir, "a/w/w-1.ebuild"), []byte("EAPI=8\nSRC_URI=https://example.org/w\n"))
	}, 2, false},
	{"the package is a link to a copy", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Rename(filepath.Join(dir, "a/x"), filepath.Join(dir, "x")), os.Symlink("../x", filepath.Join(dir, "a/x")))
	}, 1, true},
	{"the Manifest is a link to one", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Rename(filepath.Join(dir, stampManifest), filepath.Join(dir, "M")), os.Symlink("../../M", filepath.Join(dir, stampManifest)))
	}, 1, true},
	{"the category is a link to another", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "former")), os.CopyFS(filepath.Join(dir, "b"), os.DirFS(filepath.Join(dir, "former"))),
			os.Symlink("b", filepath.Join(dir, "a")))
		inPlace(t, filepath.Join(dir, "b/x/Manifest"), "d41d", "d41e")
	}, 0, false},
	{"a copy of the tree in its place", func(t *testing.T, dir, _ string, _ *Options) {
		check(t, os.Rename(dir, dir+".old"), os.CopyFS(dir, os.DirFS(dir+".old")))
	}, 0, true},
	{"eclass in place", func(t *testing.T, dir, _ string, _ *Options) {
		inPlace(t, filepath.Join(dir, "eclass/nowhere.eclass"), "A=1", "A=2")
	}, 0, false},
	{"eclass of the master in the place of none", func(t *testing.T, dir, master string, _ *Options) {
		write(t, filepath.Join(master, "eclass/absent.eclass"), []byte("B=1\n"))
	}, 0, false},
	{"eclass hides that of the master", func(t *testing.T, dir, master string, _ *Options) {
		write(t, filepath.Join(dir, "eclass/theirs.eclass"), []byte("C=2\n"))
	}, 0, false},
	{"mirrors", func(t *testing.T, dir, _ string, _ *Options) {
		inPlace(t, filepath.Join(dir, "profiles/thirdpartymirrors"), "//one/", "//two/")
	}, 2, false},
	{"mirrors of the master", func(t *testing.T, _, master string, _ *Options) {
		inPlace(t, filepath.Join(master, "profiles/thirdpartymirrors"), "//their/", "//other/")
	}, 2, false},
	{"no mirrors", func(t *testing.T, dir, master string, _ *Options) {
		check(t, os.Remove(filepath.Join(dir, "profiles/thirdpartymirrors")), os.Remove(filepath.Join(master, "profiles/thirdpartymirrors")))
	}, 2, false},
	{"layout.conf", func(t *testing.T, dir, _ string, _ *Options) {
		write(t, filepath.Join(dir, "metadata/layout.conf"), []byte("masters =\nrepo-name = other\n"))
	}, 0, false},
	{"name", func(_ *testing.T, _, _ string, o *Options) { o.Name = "other" }, 0, false},
	{"exemptions", func(_ *testing.T, _, _ string, o *Options) { o.MirrorExemptions = []string{"group"} }, 0, true},
	{"skip", func(_ *testing.T, _, _ string, o *Options) { o.MirrorSkip = []string{"group"} }, 2, false},
	{"overrides", func(_ *testing.T, _, _ string, o *Options) {
		o.MirrorOverrides = map[string][]string{"group": {"https://three/"}}
	}, 2, false},
	{"no master", func(_ *testing.T, _, _ string, o *Options) { o.Masters = nil }, 0, false},
	{"another path", func(t *testing.T, dir, _ string, o *Options) {
		check(t, os.Rename(dir, dir+".old"), os.Symlink(filepath.Base(dir)+".old", dir))
	}, 2, true},
	{"program", func(_ *testing.T, _, _ string, o *Options) { o.Program = "another" }, 0, true},
	{"no program", func(_ *testing.T, _, _ string, o *Options) { o.Program = "" }, 0, true},
	{"full scan", func(_ *testing.T, _, _ string, o *Options) { o.FullScan = true }, 0, true},
	{"a day later", func(_ *testing.T, _, _ string, o *Options) { o.Now = func() time.Time { return later().Add(fullScan) } }, 0, true},
	{"less than a day later", func(_ *testing.T, _, _ string, o *Options) {
		o.Now = func() time.Time { return later().Add(fullScan - time.Minute) }
	}, 2, true},
	{"the clock of the program back", func(_ *testing.T, _, _ string, o *Options) {
		o.Now = func() time.Time { return later().Add(-time.Minute) }
	}, 0, true},
}

// stampTree makes the tree of stampCases, its master, and the options with stamps.
func stampTree(t *testing.T) (dir, master string, o Options) {
	dir, master = filepath.Join(t.TempDir(), "tree"), small(t)
	check(t, os.Rename(small(t), dir))
	write(t, filepath.Join(dir, "eclass/nowhere.eclass"), []byte("A=1\n"))
	write(t, filepath.Join(master, "eclass/theirs.eclass"), []byte("C=1\n"))
	write(t, filepath.Join(master, "profiles/repo_name"), []byte("master\n"))
	write(t, filepath.Join(dir, stampEntry), []byte("EAPI=8\nSRC_URI=https://example.org/x mirror://group/x mirror://masters/x\n"+
		"_eclasses_=nowhere\t"+md5Hex("A=1\n")+"\ttheirs\t"+md5Hex("C=1\n")+"\tabsent\t"+md5Hex("B=2\n")+"\n_md5_="+md5Hex("inherit nowhere\n")+"\n"))
	write(t, filepath.Join(dir, "profiles/thirdpartymirrors"), []byte("group https://one/\n"))
	write(t, filepath.Join(master, "profiles/thirdpartymirrors"), []byte("masters https://their/\n"))
	return dir, master, stamping(t, Options{Masters: []string{master}})
}

// TestStampsSeeChanges: whatever changes, the next scan says what one without stamps
// says, and reads what has changed.
func TestStampsSeeChanges(t *testing.T) {
	t.Parallel()
	for _, c := range stampCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, master, o := stampTree(t)
			before := scan(t, dir, o)
			if again := scan(t, dir, o); len(before.Problems) > 0 || again.Stamped != 2 {
				t.Fatalf("%d packages come from stamps; problems %v", again.Stamped, before.Problems)
			}
			c.change(t, dir, master, &o)
			got := scan(t, dir, o)
			if got.Stamped != c.stamped {
				t.Errorf("%d packages come from stamps, want %d", got.Stamped, c.stamped)
			}
			bare := o
			bare.Stamps = ""
			want := scan(t, dir, bare)
			if d := difference(want, got); d != "" {
				t.Errorf("-without stamps +with:\n%s", d)
			}
			if d := difference(before, got); (d == "") != c.same {
				t.Errorf("the change shows: %v\n%s", d != "", listing(got))
			}
			// What was read has a stamp that is right.
			if d := difference(want, scan(t, dir, o)); d != "" {
				t.Errorf("the scan after that:\n%s", d)
			}
		})
	}
}

// TestStampsAreOld: there is none of what has changed since two seconds before the
// scan, nor of what is from the future.
func TestStampsAreOld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  time.Duration // of the scan, since the last change
		future string        // a file that has a time of tomorrow
		want   int
	}{
		"just now":                {},
		"two seconds later":       {after: racy},
		"more":                    {after: racy + 1, want: 1},
		"an hour later":           {after: time.Hour, want: 1},
		"the clock is back":       {after: -time.Hour},
		"a time in the future":    {after: time.Hour, future: stampManifest},
		"an eclass of the future": {after: time.Hour, future: "eclass/nowhere.eclass"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, o := stampTree(t)
			check(t, os.RemoveAll(filepath.Join(dir, "a/y")))
			if c.future != "" {
				at := time.Now().Add(24 * time.Hour)
				check(t, os.Chtimes(filepath.Join(dir, c.future), at, at))
			}
			manifest := filepath.Join(dir, stampManifest)
			check(t, os.Chmod(manifest, 0o600))
			fi, err := os.Stat(manifest)
			check(t, err)
			now := time.Unix(0, regular.IDOf(fi).Changed).Add(c.after)
			o.Now = func() time.Time { return now }
			scan(t, dir, o)
			if got := scan(t, dir, o); got.Stamped != c.want || len(got.Problems) > 0 {
				t.Errorf("%d packages have a stamp, want %d; problems %v", got.Stamped, c.want, got.Problems)
			}
		})
	}
}

// TestStampsDuringScan changes a package while the scan is in the middle of it, and one
// that it has read: the stamps are those of what was read.
func TestStampsDuringScan(t *testing.T) {
	t.Parallel()
	for _, pn := range []string{"x", "y"} {
		t.Run(pn, func(t *testing.T) {
			t.Parallel()
			dir := small(t)
			text := "EAPI=8\nnot_for_us\n" // a program has to be asked
			write(t, filepath.Join(dir, "a/y/y-1.ebuild"), []byte(text))
			check(t, os.Remove(filepath.Join(dir, cacheDir, "a/y-1")))
			made := t.TempDir()
			write(t, filepath.Join(made, "a/y-1"), []byte("EAPI=8\nSRC_URI=https://example.org/y\n_md5_="+md5Hex(text)+"\n"))
			asked := 0
			o := stamping(t, Options{Workers: 1, Cache: t.TempDir(), Generate: func(context.Context, string) (string, error) {
				asked++
				inPlace(t, filepath.Join(dir, "a", pn, "Manifest"), "d41d", "d41e")
				return made, nil
			}})
			if s := scan(t, dir, o); len(s.Problems) > 0 || asked != 1 {
				t.Fatalf("asked %d times: %v", asked, s.Problems)
			}
			got := scan(t, dir, o)
			o.Stamps = ""
			if d := difference(scan(t, dir, o), got); d != "" || got.Stamped != 1 {
				t.Errorf("%d packages come from stamps; -without +with:\n%s", got.Stamped, d)
			}
		})
	}
}

// TestStampsOfWorkedOut: what was worked out of an ebuild without a cache entry has a
// stamp as well, and what was kept of that stays for the scan that reads everything.
func TestStampsOfWorkedOut(t *testing.T) {
	t.Parallel()
	dir := small(t)
	check(t, os.RemoveAll(filepath.Join(dir, "metadata/md5-cache")))
	for _, pn := range []string{"x", "y"} {
		write(t, filepath.Join(dir, "a", pn, pn+"-1.ebuild"), []byte("EAPI=8\nSRC_URI=https://example.org/"+pn+"\ninherit xdg\n"))
	}
	o := stamping(t, Options{Cache: t.TempDir()})
	want := scan(t, dir, o)
	inPlace(t, filepath.Join(dir, "a/x/x-1.ebuild"), "org", "com")
	if got := scan(t, dir, o); got.Stamped != 1 || len(want.Problems)+len(got.Problems) > 0 || difference(want, got) == "" {
		t.Fatalf("%d packages come from stamps\n%s", got.Stamped, listing(got))
	}
	if _, err := os.Stat(filepath.Join(o.Cache, "test/a/y-1")); err != nil {
		t.Error(err)
	}
	// An eclass that was not at hand decides from now on.
	write(t, filepath.Join(dir, "eclass/xdg.eclass"), []byte("SRC_URI=https://example.org/other\n"))
	if got := scan(t, dir, o); got.Stamped != 0 || len(got.Problems) == 0 {
		t.Errorf("%d packages come from stamps\n%s", got.Stamped, listing(got))
	}
}

// TestStampsNotOfProblems: a package in trouble is read each time.
func TestStampsNotOfProblems(t *testing.T) {
	t.Parallel()
	dir, _, o := stampTree(t)
	write(t, filepath.Join(dir, "a/y/Manifest"), []byte("DIST another 1 MD5 d41d8cd98f00b204e9800998ecf8427e\n"))
	scan(t, dir, o)
	if got := scan(t, dir, o); got.Stamped != 1 || len(got.Problems) != 1 {
		t.Errorf("%d packages come from stamps, problems %v", got.Stamped, got.Problems)
	}
}

// TestStampsOfCache: a tree that has a metadata cache and no ebuilds has stamps as well,
// of packages whose entries are the same.
func TestStampsOfCache(t *testing.T) {
	t.Parallel()
	dir := small(t)
	for _, pn := range []string{"x", "y"} {
		check(t, os.Remove(filepath.Join(dir, "a", pn, pn+"-1.ebuild")))
	}
	o := stamping(t, Options{})
	scan(t, dir, o)
	if got := scan(t, dir, o); got.Stamped != 2 {
		t.Fatalf("%d packages come from stamps", got.Stamped)
	}
	write(t, filepath.Join(dir, cacheDir, "a/x-2"), []byte("EAPI=8\nSRC_URI=https://other.example/x\n"))
	got := scan(t, dir, o)
	o.Stamps = ""
	if d := difference(scan(t, dir, o), got); d != "" || got.Stamped != 1 {
		t.Errorf("%d packages come from stamps; -without +with:\n%s", got.Stamped, d)
	}
}
