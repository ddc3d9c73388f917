package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/certificate"
	"distkeep/archive/demand"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestCertifyGrowing: what a run leaves alone because somebody may be writing it is
// not certified.
func TestCertifyGrowing(t *testing.T) {
	t.Parallel()
	// The time of a run has whole seconds, that at which it began has not.
	began := time.Date(2030, 1, 2, 3, 0, 0, 999999999, time.UTC)
	if layout.Growing(began.Truncate(time.Second), began.Add(-certificate.Slack)) {
		t.Error("a run would come back to it")
	}
}

// A tended tree is a file, to which something is done before and after it is read.
type tended struct {
	path          string
	before, after func()
}

func (r *tended) Name() string                   { return "r" }
func (r *tended) Kind() catalog.Kind             { return catalog.Gentoo }
func (r *tended) Reads() ([]catalog.Place, bool) { return []catalog.Place{{Path: r.path}}, true }
func (r *tended) Scan(context.Context) (*catalog.Scan, error) {
	r.before()
	_, err := os.ReadFile(r.path)
	r.after()
	return &catalog.Scan{Repo: "r", Kind: catalog.Gentoo}, err
}

// TestCertifyEdit changes a file while a run goes on: before the scan reads it, after
// that, and there and back. The next run sees each.
func TestCertifyEdit(t *testing.T) {
	t.Parallel()
	put := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(string) {}
	for _, c := range []struct {
		name          string
		before, after func(path string)
		certified     bool
	}{
		{"no edit", nothing, nothing, true},
		{"before the scan", func(path string) { put(path, "B") }, nothing, false},
		{"after the scan", nothing, func(path string) { put(path, "B") }, false},
		{"and back", func(path string) { put(path, "B") }, func(path string) { put(path, "A") }, false},
		{"replaced and back", func(path string) {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			put(path, "B")
		}, func(path string) {
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		b := archivetest.New(t)
		now := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
		path := filepath.Join(t.TempDir(), "f")
		put(path, "A")
		r := &tended{path: path}
		run := func(before, after func(path string)) bool {
			now = now.Add(time.Minute)
			b.At(now)
			r.before, r.after = func() { before(path) }, func() { after(path) }
			v, err := vault.OpenShut(b.Options)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Mirror(t.Context(), v, MirrorOptions{
				Repositories: []catalog.Repository{r}, Certify: &Certify{Settings: "s", Began: now},
			})
			if err = errors.Join(err, v.Close()); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			return !s.CertifiedBy.IsZero()
		}
		for range 2 { // the first changes the archive
			run(nothing, nothing)
		}
		if run(c.before, c.after) {
			t.Fatalf("%s: the run was to look", c.name)
		}
		if got := run(nothing, nothing); got != c.certified {
			t.Errorf("%s: the next run is certified: %v", c.name, got)
		}
	}
}

// A deep tree is a directory with a file two levels down, of which the looks are counted.
type deep struct {
	tended
	looks atomic.Int32
}

func (r *deep) Reads() ([]catalog.Place, bool) {
	return []catalog.Place{{Path: r.path, Skip: func(rel string) bool {
		if strings.Contains(rel, "/") {
			r.looks.Add(1)
		}
		return false
	}}}, true
}

func (r *deep) Scan(context.Context) (*catalog.Scan, error) {
	return &catalog.Scan{Repo: "r", Kind: catalog.Gentoo}, nil
}

// TestCertifySigns: where a directory tells that something has changed, the files are not
// looked at.
func TestCertifySigns(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a", catalog.Gentoo, true, "text")
	r := &deep{tended: tended{path: t.TempDir()}}
	if err := errors.Join(os.Mkdir(filepath.Join(r.path, "d"), 0o755), os.WriteFile(filepath.Join(r.path, "d/f"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	run := func() (certified bool, looks int32) {
		now = now.Add(time.Minute)
		b.At(now)
		r.looks.Store(0)
		v, err := vault.OpenShut(b.Options)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Mirror(t.Context(), v, MirrorOptions{Repositories: []catalog.Repository{r}, Certify: &Certify{Settings: "s", Began: now}})
		if err = errors.Join(err, v.Close()); err != nil {
			t.Fatal(err)
		}
		return !s.CertifiedBy.IsZero(), r.looks.Load()
	}
	for what, change := range map[string]func() error{
		"content": func() error {
			dirs, err := filepath.Glob(filepath.Join(b.Distfiles, layout.CipherDir, "*", "*"))
			return errors.Join(err, os.Rename(dirs[0], dirs[0]+".away"), os.Rename(dirs[0]+".away", dirs[0]))
		},
		"package": func() error { return os.WriteFile(filepath.Join(r.path, "d/g"), nil, 0o644) },
		"file":    func() error { return os.WriteFile(filepath.Join(r.path, "d/f"), []byte("x"), 0o644) },
	} {
		for range 3 { // the first may change the archive
			run()
		}
		if certified, looks := run(); !certified || looks == 0 {
			t.Fatalf("%s: certified: %v, with %d looks", what, certified, looks)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if certified, looks := run(); certified || (looks > 0) != (what == "file") {
			t.Errorf("%s: certified: %v, with %d looks", what, certified, looks)
		}
	}
}

// An outdated repository has been read before: its Scan tells what it had then, and
// takes it out of stamps, which are wrong.
type outdated struct {
	tended
	was, is []*catalog.Distfile
}

func (r *outdated) Scan(context.Context) (*catalog.Scan, error) {
	return &catalog.Scan{Repo: "r", Kind: catalog.Gentoo, Stamped: 1, Distfiles: r.was}, nil
}

func (r *outdated) FullScan(context.Context) (*catalog.Scan, error) {
	return &catalog.Scan{Repo: "r", Kind: catalog.Gentoo, Distfiles: r.is}, nil
}

// TestCertifyDesk: a run at which people may wait for files is there for them, whatever
// has changed.
func TestCertifyDesk(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	now := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, desk := range []*demand.Desk{nil, demand.NewDesk(b.Now)} {
		certified := false
		for range 4 {
			now = now.Add(time.Minute)
			b.At(now)
			v, err := vault.OpenShut(b.Options)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Mirror(t.Context(), v, MirrorOptions{Desk: desk, Certify: &Certify{Settings: "s", Began: now}})
			if err = errors.Join(err, v.Close()); err != nil {
				t.Fatal(err)
			}
			certified = !s.CertifiedBy.IsZero()
		}
		if certified != (desk == nil) {
			t.Errorf("certified: %v", certified)
		}
	}
}

// A known repository depends on no file.
type known struct{ static }

func (known) Reads() ([]catalog.Place, bool) { return nil, true }

// TestCertifySees: what lies in no directory that is looked through, what may come from
// elsewhere, and what people are to be told again.
func TestCertifySees(t *testing.T) {
	t.Parallel()
	sums := digest.Set{digest.SHA256.Sum([]byte("text"))}
	missing := known{static{{Name: "a", Size: 4, Digests: sums, Kind: catalog.Gentoo, Owners: []catalog.Owner{{Repo: "r", Package: "c/p-1"}}}}}
	byContent, err := layout.Parse("content-hash SHA256 8")
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := byContent.Path("", sums)
	for name, c := range map[string]struct {
		prepare   func(b *archivetest.Box, adopt string) error
		o         MirrorOptions
		adopts    bool
		certified bool
		change    func(b *archivetest.Box, adopt string) error // what the next run has to see
	}{
		"bytes of what has no name": {
			func(b *archivetest.Box, _ string) error { b.Put("b", catalog.Gentoo, false, "text"); return nil }, MirrorOptions{}, false, true,
			func(b *archivetest.Box, _ string) error {
				path := b.Path(layout.ByCipher(sums[0], "b"))
				return errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, []byte("Text"), 0o644))
			},
		},
		"nothing else":                      {nil, MirrorOptions{Repositories: []catalog.Repository{missing}}, false, true, nil},
		"somewhere else, where it may come": {nil, MirrorOptions{Repositories: []catalog.Repository{missing}}, true, false, nil},
		"somewhere else, and nothing lacks": {nil, MirrorOptions{}, true, true, nil},
		"a warning": {func(b *archivetest.Box, _ string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(b.Path(stranger)), 0o755), os.WriteFile(b.Path(stranger), []byte("text"), 0o644))
		}, MirrorOptions{}, false, false, nil},
	} {
		b := archivetest.New(t, byContent)
		adopt := t.TempDir()
		if c.prepare != nil {
			if err := c.prepare(b, adopt); err != nil {
				t.Fatal(err)
			}
		}
		if c.adopts {
			c.o.AdoptFrom = []string{adopt}
		}
		now := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
		run := func() bool {
			now = now.Add(time.Minute)
			b.At(now)
			v, err := vault.OpenShut(b.Options)
			if err != nil {
				t.Fatal(err)
			}
			c.o.Certify = &Certify{Settings: "s", Began: now}
			s, err := Mirror(t.Context(), v, c.o)
			if err = errors.Join(err, v.Close()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return !s.CertifiedBy.IsZero()
		}
		for range 4 {
			run()
		}
		if certified := run(); certified != c.certified {
			t.Errorf("%s: certified: %v", name, certified)
		}
		if c.change == nil {
			continue
		}
		if err := c.change(b, adopt); err != nil {
			t.Fatal(err)
		}
		if run() {
			t.Errorf("%s: the next run has seen nothing", name)
		}
	}
}

// TestCertifyFullScan: a run that reads everything before it deletes, and then has
// nothing to delete, has planned by what it knew before.
func TestCertifyFullScan(t *testing.T) {
	t.Parallel()
	wanted := func(name, text string) *catalog.Distfile {
		return &catalog.Distfile{
			Name: catalog.Name(name), Size: int64(len(text)), Digests: digest.Set{digest.SHA256.Sum([]byte(text))},
			Owners: []catalog.Owner{{Repo: "r", Package: "p"}}, Kind: catalog.Gentoo,
		}
	}
	for _, c := range []struct {
		name      string
		was       []*catalog.Distfile
		certified bool
	}{
		{"no full scan", []*catalog.Distfile{wanted("a", "text"), wanted("b", "text"), wanted("c", "text")}, true},
		{"a full scan that finds what is missing", []*catalog.Distfile{wanted("a", "text"), wanted("b", "text")}, false},
	} {
		b := archivetest.New(t)
		for _, name := range []string{"a", "b", "c"} {
			b.Put(name, catalog.Gentoo, true, "text")
		}
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		r := &outdated{
			tended: tended{path: path}, was: c.was,
			is: []*catalog.Distfile{wanted("a", "text"), wanted("b", "text"), wanted("c", "text"), wanted("missing", "other")},
		}
		var s *report.Summary
		for i := range 3 { // the first changes the archive
			now := time.Date(2030, 1, 2, 3+i, 0, 0, 0, time.UTC)
			b.At(now)
			v, err := vault.OpenShut(b.Options)
			if err != nil {
				t.Fatal(err)
			}
			s, err = Mirror(t.Context(), v, MirrorOptions{
				Repositories: []catalog.Repository{r}, Certify: &Certify{Settings: "s", Began: now, Full: i == 1}, Delete: true, MaxDelete: 1,
			})
			if err = errors.Join(err, v.Close()); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		if got := !s.CertifiedBy.IsZero(); got != c.certified {
			t.Errorf("%s: the next run is certified: %v", c.name, got)
		}
	}
}
