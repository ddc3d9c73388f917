package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
)

// view is the step of a crash test that makes an index name contents, whose
// names are those of files of the archive.
func (r *run) view(step string, cs ...stored) error {
	return r.step(step, func() error {
		links, text := viewLinks(r.store, cs...)
		if err := r.store.Views.Expose(links, []Copy{{Rel: "view/index.sig", Data: []byte("signature")}}); err != nil {
			return err
		}
		ways := make([]Link, len(links))
		for i, l := range links {
			ways[i] = Link{Rel: "linked/os/" + filepath.Base(l.Rel), To: l.Rel}
		}
		if err := r.store.Views.Expose(ways, nil); err != nil {
			return err
		}
		return r.store.Views.Expose(nil, []Copy{{Rel: "view/index", Data: []byte(text)}})
	})
}

func viewLinks(s *Store, cs ...stored) (links []Link, index string) {
	for _, c := range cs {
		k := c.content()
		links = append(links, Link{Rel: "view/" + string(c.name), Have: look(s.Path(k.CipherPaths()[0]))})
		index += string(c.name) + ":" + c.data + ";"
	}
	return links, index
}

// checkView makes sure that a visible index is whole and that everything it
// names can be had. It returns what the index is.
func checkView(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "distfiles", "view", "index"))
	if os.IsNotExist(err) {
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	for f := range strings.SplitSeq(strings.TrimSuffix(string(text), ";"), ";") {
		name, want, _ := strings.Cut(f, ":")
		for _, in := range []string{"view", "linked/os"} {
			got, err := os.ReadFile(filepath.Join(dir, "distfiles", in, name))
			if err != nil || string(got) != want {
				t.Errorf("the index names %s with %q: got %q in %s, %v", name, want, got, in, err)
			}
		}
	}
	return string(text)
}

func TestExpose(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2 * syncEach} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := open(t)
			a := part(t, s, "a", "content a")
			commit(t, s, a)
			if err := s.Parts.Release([]*Item{a}); err != nil {
				t.Fatal(err)
			}
			when := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
			src := filepath.Join(t.TempDir(), "src")
			write(t, src, "of a file")
			links := []Link{{Rel: "repo/os/arch/a", Have: look(s.Path(a.Content.CipherPaths()[0]))}}
			var copies []Copy
			for i := range n {
				copies = append(copies, Copy{Rel: fmt.Sprint("repo/os/arch/c", i), Data: []byte("data")})
			}
			copies = append(copies, Copy{Rel: "repo/os/arch/from", From: src, ModTime: when}, Copy{Rel: "repo/os/arch/empty", Data: []byte{}})
			for range 2 { // and again, over what is there
				if err := s.Views.Expose(links, copies); err != nil {
					t.Fatal(err)
				}
			}
			if inode(t, s.Path("repo/os/arch/a")) != inode(t, s.Path("a")) {
				t.Error("the link is another inode")
			}
			for rel, want := range map[string]string{"c0": "data", fmt.Sprint("c", n-1): "data", "from": "of a file", "empty": ""} {
				if got, err := os.ReadFile(s.Path("repo/os/arch/" + rel)); err != nil || string(got) != want {
					t.Errorf("%s is %q, want %q: %v", rel, got, want, err)
				}
			}
			f, ok, err := s.Views.Stat("repo/os/arch/from")
			if !ok || err != nil || !f.ModTime.Equal(when) {
				t.Errorf("from has the time %v, want %v: %v", f.ModTime, when, err)
			}
			if left, err := os.ReadDir(s.PartsDir()); err != nil || len(left) > 0 {
				t.Errorf("left in parts: %v, %v", left, err)
			}
			if err := s.Views.Withdraw("repo/os/arch/c0", "repo/os/arch/never"); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := s.Views.Stat("repo/os/arch/c0"); ok || err != nil {
				t.Errorf("c0 is still there: %v", err)
			}
			if err := s.SyncRemoved(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExposeRefuses checks that nothing appears when something cannot.
func TestExposeRefuses(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := part(t, s, "a", "content a")
	commit(t, s, a)
	if err := s.Parts.Release([]*Item{a}); err != nil {
		t.Fatal(err)
	}
	have := look(s.Path(a.Content.CipherPaths()[0]))
	changed := have
	changed.Was = look(s.Published()).Was
	data := []Copy{{Rel: "view/index", Data: []byte("index")}}
	for name, c := range map[string]struct {
		links  []Link
		copies []Copy
		want   string
	}{
		"gone":    {[]Link{{Rel: "view/a", Have: look(have.Path + "x")}}, data, "no such file"},
		"changed": {[]Link{{Rel: "view/a", Have: changed}}, data, "changed since it was looked at"},
		"in file": {[]Link{{Rel: "a/a", Have: have}}, data, "a file is in the place of a directory"},
		"no copy": {nil, []Copy{data[0], {Rel: "view/x", From: have.Path + "x"}}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Views.Expose(c.links, c.copies); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
			if _, ok, _ := s.Views.Stat("view/index"); ok {
				t.Error("the index is there")
			}
		})
	}
	if left, err := os.ReadDir(s.PartsDir()); err != nil || len(left) > 0 {
		t.Errorf("left in parts: %v, %v", left, err)
	}
}

// TestExposeSymlinks makes links into a directory, over all that may be there.
func TestExposeSymlinks(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Views.Expose(nil, []Copy{
		{Rel: "pool/a", Data: []byte("a")}, {Rel: "view/os/same", Data: []byte("a")}, {Rel: "view/os/other", Data: []byte("of somebody")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", s.Path("view/os/astray")); err != nil {
		t.Fatal(err)
	}
	for rel, want := range map[string]string{"view/os/astray": "", "view/os/same": "view/os/same", "view/os/none": "view/os/none"} {
		if to, err := s.Views.Resolve(rel); err != nil || to != want {
			t.Errorf("%s leads to %q, want %q: %v", rel, to, want, err)
		}
	}
	rels := []string{"view/os/new", "view/os/same", "view/os/other", "view/os/astray", "b/new", "new"}
	for range 2 { // and again, over what is there
		for _, rel := range rels {
			if err := s.Views.Expose([]Link{{Rel: rel, To: "pool/a"}}, nil); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(s.Path(rel)); err != nil || string(got) != "a" {
				t.Errorf("%s is %q: %v", rel, got, err)
			}
			if to, err := s.Views.Resolve(rel); err != nil || to != "pool/a" {
				t.Errorf("%s leads to %q: %v", rel, to, err)
			}
		}
	}
	if kept := s.Quarantine.Replaced(); len(kept) != 1 {
		t.Errorf("in quarantine are %v, want what was at view/os/other", kept)
	}

	// Below a link of the operator the way back is another.
	if err := os.Symlink(t.TempDir(), s.Path("view/far")); err != nil {
		t.Fatal(err)
	}
	for rel, to := range map[string]string{"view/far/x": "pool/a", "view/os/x": "pool/gone", "view/os": "pool/a"} {
		if err := s.Views.Expose([]Link{{Rel: rel, To: to}}, nil); err == nil {
			t.Errorf("%s was made a link to %s", rel, to)
		}
	}
	if left, err := os.ReadDir(s.PartsDir()); err != nil || len(left) > 0 {
		t.Errorf("left in parts: %v, %v", left, err)
	}
}

// full lets no inode have another link in view.
type full struct{ disk.FS }

func (f full) Link(src, dst string) error {
	if filepath.Base(filepath.Dir(src)) != partsDir && strings.Contains(dst, "/view/") {
		return &os.LinkError{Op: "link", Old: src, New: dst, Err: syscall.EMLINK}
	}
	return f.FS.Link(src, dst)
}

// TestExposeTooManyLinks: what has all the links that there can be is copied.
func TestExposeTooManyLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "distfiles"), filepath.Join(dir, "state"), layout.Conf{layout.Flat()}, func(under disk.FS) disk.FS { return full{under} })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := part(t, s, "a", "content a")
	commit(t, s, a)
	have := look(s.Path(a.Content.CipherPaths()[0]))
	for range 2 { // and again, over what is there
		if err := s.Views.Expose([]Link{{Rel: "view/a", Have: have}}, nil); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(s.Path("view/a"))
		if err != nil || string(got) != "content a" {
			t.Errorf("it is %q: %v", got, err)
		}
		if at, ok, err := s.Views.Stat("view/a"); !ok || err != nil || at.Links != 1 || !at.ModTime.Equal(a.ModTime) {
			t.Errorf("it has %d links and the time %v: %v", at.Links, at.ModTime, err)
		}
	}
	if err := s.Parts.Release([]*Item{a}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.PartsDir()); err != nil || len(left) > 0 {
		t.Errorf("left in parts: %v, %v", left, err)
	}
}
