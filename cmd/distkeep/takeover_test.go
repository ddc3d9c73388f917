package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An oldMirror is what emirrordist has left: a directory with two layouts, between
// which it made hard or symbolic links, files on their way out, and a recycle
// directory.
type oldMirror struct {
	dir       string // everything is below it
	conf      layout.Conf
	published []string // paths that clients may ask for at any time
	now       time.Time
}

func newOldMirror(t *testing.T, symlinks bool) *oldMirror {
	t.Helper()
	m := &oldMirror{dir: t.TempDir(), now: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	for _, d := range []string{"distfiles", "recycle"} {
		if err := os.Mkdir(filepath.Join(m.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const conf = "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"
	m.write(t, "distfiles/layout.conf", conf)
	var err error
	if m.conf, err = layout.ParseConf("layout.conf", strings.NewReader(conf)); err != nil {
		t.Fatal(err)
	}
	m.published = []string{m.path("distfiles/layout.conf")}
	for i := range 40 {
		m.publish(t, fmt.Sprintf("wanted-%d.tar.gz", i), symlinks)
	}
	for i := range 3 {
		m.publish(t, fmt.Sprintf("unwanted-%d.tar.gz", i), symlinks)
	}
	m.write(t, "recycle/back.tar.gz", "data of back.tar.gz")
	m.write(t, "recycle/gone.tar.gz", "data of gone.tar.gz")
	return m
}

func (m *oldMirror) path(rel string) string { return filepath.Join(m.dir, rel) }

func (m *oldMirror) write(t *testing.T, rel, text string) {
	t.Helper()
	path := m.path(rel)
	old := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
}

// publish makes a file with a path in each layout, as emirrordist does.
func (m *oldMirror) publish(t *testing.T, name string, symlinks bool) {
	t.Helper()
	var first string
	for i, l := range m.conf {
		rel, ok := l.Path(catalog.Name(name), nil)
		if !ok {
			t.Fatalf("%s has no path", name)
		}
		path := m.path("distfiles/" + rel)
		m.published = append(m.published, path)
		if i == 0 {
			m.write(t, "distfiles/"+rel, "data of "+name)
			first = path
			continue
		}
		var err error
		if symlinks {
			target, rerr := filepath.Rel(filepath.Dir(path), first)
			err = errors.Join(rerr, os.Symlink(target, path))
		} else {
			err = os.Link(first, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command, while a client asks for every published path again and again.
func (m *oldMirror) run(t *testing.T, args ...string) string {
	t.Helper()
	var stop atomic.Bool
	polled := make(chan error)
	go func() {
		for {
			for _, path := range m.published {
				if _, err := os.ReadFile(path); err != nil {
					polled <- err
					return
				}
			}
			if stop.Load() {
				polled <- nil
				return
			}
		}
	}()
	var out, errs strings.Builder
	args = append([]string{"distkeep", args[0], "--distfiles", m.path("distfiles"), "--state", m.path("state")}, args[1:]...)
	status := (&env{args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: func() time.Time { return m.now }}).run()
	stop.Store(true)
	if err := <-polled; err != nil {
		t.Errorf("%v: a client found: %v", args, err)
	}
	if status != 0 || errs.Len() > 0 && args[1] != "deletions" {
		t.Fatalf("%v: status %d\n%s%s", args, status, out.String(), errs.String())
	}
	return out.String()
}

// TestTakeOver: an archive filled by the rules of emirrordist is taken over without a
// byte fetched, every clock has the same day, and no published path is missing at
// any moment.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	for _, symlinks := range []bool{false, true} {
		t.Run(fmt.Sprintf("symlinks=%v", symlinks), func(t *testing.T) {
			t.Parallel()
			m := newOldMirror(t, symlinks)
			var asked atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				http.NotFound(w, r)
			}))
			t.Cleanup(srv.Close)
			files := map[string][]byte{"back.tar.gz": []byte("data of back.tar.gz")}
			for i := range 40 {
				name := fmt.Sprintf("wanted-%d.tar.gz", i)
				files[name] = []byte("data of " + name)
			}
			writeTree(t, m.path("tree"), srv.URL, files)
			m.write(t, "clocks", strings.Join([]string{
				"deletion\tunwanted-0.tar.gz\t1766620800.5", "owner\tunwanted-0.tar.gz\tapp-misc/old-0", // 2025-12-25
				"deletion\tunwanted-1.tar.gz\t1767225599", "owner\tunwanted-1.tar.gz\tapp-misc/old-1", // 2025-12-31
				"recycle\tgone.tar.gz\t19\t1763164800", // 2025-11-15
				"end\t5",
			}, "\n")+"\n")
			m.run(t, "init")
			m.run(t, "import", "--recycle-dir", m.path("recycle"), m.path("clocks"))
			mirror := []string{"mirror", "--repo", "gentoo:" + m.path("tree"), "--delete", "--allow-private",
				"--scheduled-deletion-log", m.path("deletion.log")}
			m.run(t, mirror...)
			if n := asked.Load(); n > 0 {
				t.Errorf("%d requests were made", n)
			}
			m.checkPublished(t, files)
			const want = "2026-01-08\n\tunwanted-0.tar.gz\tapp-misc/old-0\n2026-01-14\n\tunwanted-1.tar.gz\tapp-misc/old-1\n2026-01-16\n\tunwanted-2.tar.gz\tunknown\n"
			if log, err := os.ReadFile(m.path("deletion.log")); err != nil || string(log) != want {
				t.Errorf("error %v, the deletion log is\n%swant\n%s", err, log, want)
			}
			if out := m.run(t, "deletions", "gone.tar.gz"); !strings.Contains(out, "\trecycled\t2026-01-14T00:00:00Z\t") {
				t.Errorf("gone.tar.gz: %s", out)
			}
		})
	}
}

// checkPublished checks that every wanted file has the right bytes at each path, and
// that by_cipher has nothing but what was there.
func (m *oldMirror) checkPublished(t *testing.T, wanted map[string][]byte) {
	t.Helper()
	right := make(map[string]bool)
	all := maps.Clone(wanted)
	for i := range 3 {
		name := fmt.Sprintf("unwanted-%d.tar.gz", i)
		all[name] = []byte("data of " + name)
	}
	for name, data := range all {
		right[digest.SHA256.Sum(data).Hex()] = true
		for _, l := range m.conf {
			rel, _ := l.Path(catalog.Name(name), nil)
			if got, err := os.ReadFile(m.path("distfiles/" + rel)); err != nil || string(got) != string(data) {
				t.Errorf("%s has %q, %v", rel, got, err)
			}
		}
	}
	found, err := filepath.Glob(m.path("distfiles/by_cipher/sha256/*/*"))
	if err != nil || len(found) != len(all) {
		t.Errorf("by_cipher has %d contents, want %d; %v", len(found), len(all), err)
	}
	for _, dir := range found {
		if !right[filepath.Base(dir)] {
			t.Errorf("%s is published", dir)
		}
	}
}
