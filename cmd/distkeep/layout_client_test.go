package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// cached is how long Portage believes a layout.conf.
const cached = 86_400 * time.Second

// A layoutClient asks an archive as Portage does: it reads layout.conf below
// /distfiles/, keeps it for a day, and asks for a file by the first structure for
// which it has what that needs, or by flat when there is none.
type layoutClient struct {
	url    string
	read   time.Time
	layout layout.Conf
}

func newLayoutClient(url string, now time.Time) (*layoutClient, error) {
	c := &layoutClient{url: url + "/distfiles/", read: now}
	resp, err := http.Get(c.url + "layout.conf")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("layout.conf: %s", resp.Status)
	}
	c.layout, err = layout.ParseConf("layout.conf", resp.Body)
	return c, err
}

// path is where c looks for a file whose Manifest has the digests sums.
func (c *layoutClient) path(name string, sums digest.Set) string {
	for _, l := range c.layout {
		if a, ok := l.Algorithm(); ok && sums.Get(a).IsZero() {
			continue
		}
		if p, ok := l.Path(catalog.Name(name), sums); ok {
			return p
		}
	}
	return name
}

// ask asks for a file.
func (c *layoutClient) ask(name string, data []byte) error {
	h := digest.NewHasher(digest.BLAKE2B, digest.SHA512)
	h.Write(data)
	sums := h.Sum()
	manifest := digest.Set{sums.Get(digest.BLAKE2B), sums.Get(digest.SHA512)}
	rel := c.path(name, manifest)
	resp, err := http.Get(c.url + rel)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(data)) {
		return fmt.Errorf("a client that read %v at %v asks for %s: %s, %d bytes", c.layout, c.read, rel, resp.Status, resp.ContentLength)
	}
	return nil
}

// A layoutWorld is an archive that clients ask without a pause while its layouts
// change.
type layoutWorld struct {
	*site
	srv     *httptest.Server
	now     time.Time
	clients []*layoutClient
	asked   atomic.Int64
}

// names are the files of the tree.
func (w *layoutWorld) names() []string { return slices.Sorted(maps.Keys(w.up.files)) }

// during runs f while clients ask for names, and a new one reads layout.conf again
// and again.
func (w *layoutWorld) during(names []string, f func()) {
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for {
				fresh, err := newLayoutClient(w.srv.URL, w.now)
				if err != nil {
					w.t.Error(err)
					return
				}
				for _, c := range append(slices.Clone(w.clients), fresh) {
					for _, n := range names {
						if err := c.ask(n, w.up.files[n]); err != nil {
							w.t.Errorf("%v: %v", w.now, err)
							return
						}
						w.asked.Add(1)
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	f()
	close(stop)
	asking.Wait()
}

// distkeep runs the program now.
func (w *layoutWorld) distkeep(args ...string) {
	w.t.Helper()
	cmd := w.command(args...)
	cmd.Env = append(cmd.Env, nowVar+"="+w.now.Format(time.RFC3339), "DISTKEEP_ARCHIVE=archive")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("distkeep %v: %v\n%s", args, err, out)
	}
}

// hours goes on by so many hours: the tree gets a new file, the job runs, and
// another client reads layout.conf, which those that read it a day ago do again.
func (w *layoutWorld) hours(n int, change ...string) {
	w.t.Helper()
	w.now = w.now.Add(time.Duration(n) * time.Hour)
	w.clients = slices.DeleteFunc(w.clients, func(c *layoutClient) bool { return w.now.Sub(c.read) >= cached })
	names := w.names()
	fresh := fmt.Sprintf("new-%d.tar.gz", len(names))
	if len(names) < 20 {
		w.up.replace(fresh, randomBytes(fresh, 100))
		writeTree(w.t, w.tree, w.up.url, w.up.files)
	}
	w.during(names, func() {
		if len(change) > 0 {
			w.distkeep(append([]string{"layout"}, change...)...)
		}
		w.distkeep("mirror", "--repo", "gentoo:"+w.tree)
	})
	// What the run has brought is there for whoever has read an older layout.conf.
	w.during(w.names(), func() {})
	c, err := newLayoutClient(w.srv.URL, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
}

// TestLayoutClientsNeverMiss: no client ever asks for a path that is not there,
// whenever it has read layout.conf, while the layouts change in every way.
func TestLayoutClientsNeverMiss(t *testing.T) {
	t.Parallel()
	w := &layoutWorld{site: newSite(t, smallFiles(6), nil), now: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	w.srv = httptest.NewServer(http.FileServer(http.Dir(filepath.Join(w.dir, "archive"))))
	t.Cleanup(w.srv.Close)
	w.distkeep("init", "--layout", "flat")
	w.distkeep("mirror", "--repo", "gentoo:"+w.tree)
	conf := func() string {
		text, err := os.ReadFile(filepath.Join(w.dir, "archive", "distfiles", "layout.conf"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(strings.TrimPrefix(string(text), "[structure]\n"), "\n", " ")
	}
	for _, step := range []struct {
		change []string
		want   string
	}{
		{[]string{"set", "filename-hash BLAKE2B 8"}, "0=filename-hash BLAKE2B 8 "},
		// Manifests have no MD5: clients ask by the second.
		{[]string{"set", "content-hash MD5 8:8", "filename-hash BLAKE2B 8:8"}, "0=content-hash MD5 8:8 1=filename-hash BLAKE2B 8:8 "},
		{[]string{"set", "content-hash SHA512 8", "flat"}, "0=content-hash SHA512 8 1=flat "},
		{[]string{"drop", "content-hash SHA512 8"}, "0=flat "},
	} {
		w.hours(1, step.change...)
		for range 5 {
			w.hours(23)
		}
		if got := conf(); got != step.want {
			t.Errorf("after layout %v layout.conf lists %q", step.change, got)
		}
	}
	// What was left behind is gone in the end.
	left, err := filepath.Glob(filepath.Join(w.dir, "archive", "distfiles", "*"))
	if dirs := slices.DeleteFunc(left, func(p string) bool { fi, err := os.Stat(p); return err == nil && !fi.IsDir() }); err != nil || len(dirs) != 2 {
		t.Errorf("directories are left: %v, %v", dirs, err)
	}
	if w.asked.Load() == 0 {
		t.Error("nobody asked")
	}
	t.Logf("%d files were asked for", w.asked.Load())
}
