package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// An emirrordist leaves files behind as that program does. Its databases, which have
// the days of deletions, are imported elsewhere.
type emirrordist struct {
	t       *testing.T
	dir     string
	layouts layout.Conf
}

// path is where a layout has name.
func (e *emirrordist) path(l layout.Layout, name string) string {
	return filepath.Join(e.dir, (&layout.Content{Name: catalog.Name(name)}).Path(l))
}

func (e *emirrordist) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// put writes a file that is months old.
func (e *emirrordist) put(path string, data []byte) {
	e.t.Helper()
	e.check(os.MkdirAll(filepath.Dir(path), 0o755))
	e.check(os.WriteFile(path, data, 0o644))
	long := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	e.check(os.Chtimes(path, long, long))
}

// fetched is a file that was published in the first layout and linked from the others,
// by symbolic links with --symlinks.
func (e *emirrordist) fetched(name string, data []byte, symlinks bool) {
	e.t.Helper()
	first := e.path(e.layouts[0], name)
	e.put(first, data)
	for _, l := range e.layouts[1:] {
		path, link, target := e.path(l, name), os.Link, first
		e.check(os.MkdirAll(filepath.Dir(path), 0o755))
		if symlinks {
			rel, err := filepath.Rel(filepath.Dir(path), first)
			e.check(err)
			link, target = os.Symlink, rel
		}
		e.check(link(target, path))
	}
}

// watchPaths reports every path that is missing at any moment until the function that it
// returns is called.
func watchPaths(t *testing.T, paths []string) (stop func()) {
	var ended atomic.Bool
	done := make(chan int)
	go func() {
		rounds := 0
		for ; !ended.Load(); rounds++ {
			for _, p := range paths {
				if _, err := os.Stat(p); err != nil {
					t.Errorf("in round %d: %v", rounds, err)
					ended.Store(true)
				}
			}
		}
		done <- rounds
	}()
	return func() {
		ended.Store(true)
		if n := <-done; n < 10 {
			t.Errorf("looked only %d times", n)
		}
	}
}

// TestOldMirror: the first run takes over what emirrordist has left. Nothing is
// fetched, nothing is published wrong, and no path is missing at any moment.
func TestOldMirror(t *testing.T) {
	t.Parallel()
	files := smallFiles(60)
	s := newSite(t, files, nil)
	e := &emirrordist{t: t, dir: filepath.Join(s.dir, "old")}
	conf := "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n2=filename-hash SHA512 8:8\n"
	e.put(filepath.Join(e.dir, "layout.conf"), []byte(conf))
	var err error
	e.layouts, err = layout.Load(e.dir)
	e.check(err)
	former, err := layout.Parse("filename-hash SHA256 4")
	e.check(err)
	recycle := filepath.Join(s.dir, "recycle")
	var published []string
	for n, name := range slices.Sorted(maps.Keys(files)) { // each in one way
		data := files[name]
		switch n % 6 {
		case 0:
			e.fetched(name, data, false)
		case 1:
			e.fetched(name, data, true)
		case 2: // before there were layouts
			e.put(e.path(layout.Flat(), name), data)
		case 3:
			e.put(e.path(former, name), data)
		case 4: // it was killed
			e.put(filepath.Join(e.dir, "._emirrordist_fetch_.1234"+name[:10]), data)
		case 5: // a package has come to want it again
			e.put(filepath.Join(recycle, name), data)
		}
	}
	for _, name := range []string{"scheduled-1.tar.gz", "scheduled-2.tar.gz"} {
		e.fetched(name, []byte(name), name == "scheduled-2.tar.gz")
	}
	e.check(filepath.WalkDir(e.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name()[0] != '.' {
			published = append(published, path)
		}
		return err
	}))

	place := []string{"--distfiles", e.dir, "--state", filepath.Join(s.dir, "state")}
	s.run(0, append([]string{"init"}, place...)...)
	stop := watchPaths(t, published)
	out, _ := s.run(0, append([]string{"mirror", "--repo", "gentoo:" + s.tree, "--adopt-from", recycle}, place...)...)
	stop()
	if requests := s.up.take(); len(requests) > 0 {
		t.Errorf("requests: %v", requests)
	}
	if !bytes.Contains([]byte(out), []byte(" elsewhere, 0 files, 0 missing\n")) {
		t.Errorf("found:\n%s", out)
	}
	for name, data := range files {
		for _, l := range e.layouts {
			fi, err := os.Lstat(e.path(l, name))
			e.check(err)
			got, err := os.ReadFile(e.path(l, name))
			if err != nil || !fi.Mode().IsRegular() || !bytes.Equal(got, data) {
				t.Errorf("%s: %v, %v", e.path(l, name), fi.Mode(), err)
			}
		}
	}
	s.run(0, append([]string{"verify"}, place...)...)
	if t.Failed() {
		return
	}
	// What nobody wants is on its way out.
	stop = watchPaths(t, published)
	s.run(0, append([]string{"mirror", "--repo", "gentoo:" + s.tree, "--delete"}, place...)...)
	stop()
	out, _ = s.run(0, append([]string{"deletions"}, place...)...)
	if bytes.Count([]byte(out), []byte("\tscheduled\t")) != 2 {
		t.Errorf("deletions:\n%s", out)
	}
}
