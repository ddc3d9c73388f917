package gentoo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"distkeep/catalog"
)

// TestRealTrees scans the trees beside the checkout, if they are there. The
// numbers are from two counts that share no code with this package. One is
// TREES.md beside the trees. The other is a script of 60 lines of Python that
// splits values at blanks, drops "(", ")" and words that end in "?", and takes
// conditional groups out of RESTRICT with a regular expression. Single figures
// are easy to repeat in a tree:
//
//	packages      find metadata/md5-cache -type f | wc -l
//	manifests     find . -mindepth 3 -maxdepth 3 -name Manifest | wc -l
//	distfiles     grep -rh ^SRC_URI= metadata/md5-cache | cut -d= -f2- |
//	              sed 's/[^ ]* -> //g; s/fetch+//g; s/mirror+//g' | tr ' ' '\n' |
//	              grep -v -e '^[()]*$' -e '?$' | sed 's|.*/||' | sort -u | wc -l
//
// URIs are counted once a package directory and file, those that may be
// mirrored apart from those that may not.
func TestRealTrees(t *testing.T) {
	t.Parallel()
	trees, err := filepath.Abs("../../../shared/trees/gentoo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(trees); err != nil {
		t.Skip("no trees beside the checkout")
	}
	type count struct{ packages, distfiles, restricted, uris, unreferenced, problems, conflicts int }
	for _, c := range []struct {
		tree, name string
		masters    []string
		want       count
	}{
		{"funtoo-core-kit", "core-kit", nil, count{1420, 1560, 34, 1892, 28, 0, 0}},
		{"guru-2026-08", "guru", []string{"gentoo"}, count{611, 1668, 110, 1955, 0, 0, 0}},
		{"guru-2026-06-manifests-only", "guru", []string{"gentoo"}, count{problems: 1}},
		{"haskell", "haskell", []string{"gentoo"}, count{67, 79, 0, 80, 0, 0, 0}},
		{"pentoo", "pentoo", []string{"gentoo"}, count{49, 66, 0, 66, 0, 0, 0}},
		{"poly-c", "poly-c", []string{"gentoo"}, count{263, 260, 45, 283, 0, 0, 0}},
		{"zugaina", "zugaina", []string{"gentoo"}, count{72, 79, 1, 79, 1, 0, 0}},
		{"jopamo-bp-manifests-only", "bp", nil, count{problems: 1}},
		{"main-2015", "x-main-2015", nil, count{problems: 1}},
	} {
		t.Run(c.tree, func(t *testing.T) {
			t.Parallel()
			r, err := Open(filepath.Join(trees, c.tree), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if ms, _ := r.Masters(); !slices.Equal(ms, c.masters) || r.Name() != c.name {
				t.Errorf("name %s, masters %v; want %s, %v", r.Name(), ms, c.name, c.masters)
			}
			s, err := r.Scan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			cat := catalog.Merge([]*catalog.Scan{s})
			st := cat.Repos[0]
			got := count{st.Packages, st.Distfiles, len(cat.Restricted), st.URIs, st.Unreferenced, st.Problems, len(cat.Conflicts)}
			if got != c.want {
				t.Errorf("counts %+v, want %+v; problems %v", got, c.want, cat.Problems)
			}
			if n := len(cat.Distfiles) + len(cat.Restricted); n != st.Distfiles {
				t.Errorf("%d names after Merge, want %d", n, st.Distfiles)
			}
		})
	}
}

func TestRealMirrors(t *testing.T) {
	t.Parallel()
	trees := "../../../shared/trees/gentoo"
	if _, err := os.Stat(trees); err != nil {
		t.Skip("no trees beside the checkout")
	}
	r, err := Open(filepath.Join(trees, "funtoo-core-kit"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// grep -c . profiles/thirdpartymirrors
	if groups, _, errs := r.mirrors(); len(groups) != 44 || errs != nil {
		t.Errorf("%d mirror groups, want 44: %v", len(groups), errs)
	}
}

// small makes a tree of two packages with one ebuild each, a/x and a/y.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "profiles/repo_name"), []byte("test\n"))
	write(t, filepath.Join(dir, "metadata/layout.conf"), []byte("masters =\n"))
	write(t, filepath.Join(dir, "profiles/categories"), []byte("a\n"))
	for _, pn := range []string{"x", "y"} {
		// Only its cache entry says what it wants.
		write(t, filepath.Join(dir, "a", pn, pn+"-1.ebuild"), []byte("inherit nowhere\n"))
		write(t, filepath.Join(dir, "a", pn, "Manifest"), []byte("DIST "+pn+" 1 MD5 d41d8cd98f00b204e9800998ecf8427e\n"))
		write(t, filepath.Join(dir, cacheDir, "a", pn+"-1"), []byte("EAPI=8\nSRC_URI=https://example.org/"+pn+"\n_md5_=f33a2beb6fa3a6e3650b28041bbb46df\n"))
	}
	return dir
}

// TestScanHostileFiles spoils one file or directory of a package at a time: the
// scan must end, name the place, and still have the other package.
func TestScanHostileFiles(t *testing.T) {
	t.Parallel()
	huge := func(t *testing.T, path string) {
		if err := os.Truncate(path, maxFile+1<<20); err != nil {
			t.Fatal(err)
		}
	}
	replace := func(with func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := with(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	directory := replace(func(path string) error { return os.Mkdir(path, 0o755) })
	pipe := replace(func(path string) error { return unix.Mkfifo(path, 0o644) })
	loop := replace(func(path string) error { return os.Symlink(filepath.Base(path), path) })
	unreadable := func(t *testing.T, path string) {
		if os.Getuid() == 0 {
			t.Skip("root reads everything")
		}
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, 0o755) })
	}
	for _, c := range []struct {
		name  string
		path  string
		spoil func(t *testing.T, path string)
		file  string // of the first problem
		msg   string
	}{
		{"huge Manifest", "a/x/Manifest", huge, "a/x/Manifest", "larger than"},
		{"huge entry", "metadata/md5-cache/a/x-1", huge, "metadata/md5-cache/a/x-1", "larger than"},
		{"huge ebuild", "a/x/x-1.ebuild", huge, "a/x/x-1.ebuild", "larger than"},
		{"Manifest is a directory", "a/x/Manifest", directory, "a/x/Manifest", "is a directory"},
		{"entry is a directory", "metadata/md5-cache/a/x-1", directory, "metadata/md5-cache/a/x-1", "is a directory"},
		{"Manifest is a pipe", "a/x/Manifest", pipe, "a/x/Manifest", "no DIST line"},
		{"entry is a pipe", "metadata/md5-cache/a/x-1", pipe, "metadata/md5-cache/a/x-1", "no _md5_"},
		{"package is a loop", "a/x", loop, "a/x", "too many levels"},
		{"Manifest is a loop", "a/x/Manifest", loop, "a/x/Manifest", "too many levels"},
		{"package is unreadable", "a/x", unreadable, "a/x", "permission denied"},
		{"Manifest is unreadable", "a/x/Manifest", unreadable, "a/x/Manifest", "permission denied"},
		{"entry is unreadable", "metadata/md5-cache/a/x-1", unreadable, "metadata/md5-cache/a/x-1", "permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := small(t)
			c.spoil(t, filepath.Join(dir, c.path))
			r, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Scan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Problems) != 1 || s.Problems[0].File != filepath.Join(dir, c.file) || !strings.Contains(s.Problems[0].Msg, c.msg) {
				t.Errorf("problems %v, want one of %s: %s", s.Problems, c.file, c.msg)
			}
			if n := len(s.Distfiles); n == 0 || s.Distfiles[n-1].Name != "y" || s.Distfiles[n-1].Size != 1 {
				t.Errorf("the other package is lost:\n%s", listing(s))
			}
		})
	}
}

// TestPipes: a named pipe in the place of a file of the profiles keeps nobody
// waiting, and is an error that names it.
func TestPipes(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"profiles/repo_name", "profiles/categories", "profiles/thirdpartymirrors", "metadata/layout.conf"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := small(t)
			path := filepath.Join(dir, file)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(path, 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := Open(dir, Options{})
			var s *catalog.Scan
			if err == nil {
				s, err = r.Scan(t.Context())
			}
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprint(s.Problems)
			}
			if !strings.Contains(got, file+" is not a regular file") {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestScanHostileTop spoils what belongs to the tree as a whole.
func TestScanHostileTop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		path  string
		data  string
		files int
		want  []string
	}{
		{"mirrors too large", "profiles/thirdpartymirrors", strings.Repeat("a b\n", maxProfile/4+1), 2, []string{"thirdpartymirrors: larger than"}},
		{"categories too large", "profiles/categories", strings.Repeat("a\n", maxProfile/2+1), 2, []string{"categories: larger than"}},
		{"a file for the cache", "metadata/md5-cache", "x", 0, []string{"not a directory", "not a directory", "not a directory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := small(t)
			if err := os.RemoveAll(filepath.Join(dir, c.path)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, c.path), []byte(c.data))
			r, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Scan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Problems) != len(c.want) || len(s.Distfiles) != c.files {
				t.Fatalf("%d distfiles, problems %v", len(s.Distfiles), s.Problems)
			}
			for i, want := range c.want {
				if got := s.Problems[i].Error(); !strings.Contains(got, want) {
					t.Errorf("problem %q, want %q", got, want)
				}
			}
		})
	}
}

// A package cannot flood the report.
func TestProblemsBounded(t *testing.T) {
	t.Parallel()
	dir := small(t)
	write(t, filepath.Join(dir, "a/x/Manifest"), []byte("DIST x 1\n"+strings.Repeat("DIST\n", 1000)))
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Problems); n != maxProblems+1 || s.Problems[n-1].Msg != "968 further problems" {
		t.Errorf("%d problems, the last %v", n, s.Problems[n-1])
	}
}

// A Repository sees a tree that changes between two scans.
func TestScanAgain(t *testing.T) {
	t.Parallel()
	dir := small(t)
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a/x/x-1.ebuild"), []byte("changed"))
	second, err := r.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Problems) != 0 || len(second.Problems) != 1 || len(second.Distfiles) != 2 {
		t.Errorf("problems %v, then %v", first.Problems, second.Problems)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Scan(t.Context()); err == nil || !strings.Contains(err.Error(), dir+": no such file") {
		t.Errorf("error of a tree that is gone = %v", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := small(t)
	r, err := Open(dir+"/./", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Path() != dir || r.Kind() != catalog.Gentoo {
		t.Errorf("path %s, kind %s", r.Path(), r.Kind())
	}
	for want, o := range map[string]Options{
		"its master /nowhere: no such directory": {Masters: []string{"/nowhere"}},
		`bad repository name "a/b"`:              {Name: "a/b"},
	} {
		if _, err := Open(dir, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}
