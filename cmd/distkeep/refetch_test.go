package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"distkeep/catalog/digest"
)

// slashedFiles finds contents by trying until there are enough whose SHA-256
// has a "/" in base64: anywhere, as the first or the second character, which are
// a directory of their own, and two together; and one that has none.
func slashedFiles() map[string][]byte {
	wants := []struct {
		pattern string
		n       int
	}{{`//`, 2}, {`^/`, 2}, {`^./`, 2}, {`/`, 5}, {`^[^/]+$`, 1}}
	files := make(map[string][]byte)
	for i, left := 0, 12; left > 0; i++ {
		data := fmt.Appendf(nil, "content %d\n", i)
		for k := range wants {
			if w := &wants[k]; w.n > 0 && regexp.MustCompile(w.pattern).MatchString(digest.SHA256.Sum(data).Base64()) {
				files[fmt.Sprintf("f-%d.tgz", i)] = data
				w.n, left = w.n-1, left-1
				break
			}
		}
	}
	return files
}

// refetchPath is what bsd.port.mk asks a backup site for under REFETCH: the
// first two characters of the digest as distinfo has it, the digest, the file.
// What is a "/" in the digest is one in the path.
func refetchPath(name string, data []byte) string {
	sum := digest.SHA256.Sum(data).Base64()
	return "/by_cipher/sha256/" + sum[:2] + "/" + sum + "/" + name
}

// writePorts makes a ports tree of one port that wants the files below "sub",
// and its dump.
func writePorts(t *testing.T, dir, site string, files map[string][]byte) {
	t.Helper()
	var distinfo strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&distinfo, "SHA256 (sub/%s) = %s\nSIZE (sub/%s) = %d\n", name, digest.SHA256.Sum(files[name]).Base64(), name, len(files[name]))
	}
	dump := "===> cat/a\ncat/a.DISTFILES=" + strings.Join(slices.Sorted(maps.Keys(files)), " ") +
		"\ncat/a.DIST_SUBDIR=sub\ncat/a.MASTER_SITES=" + site + "/\ncat/a.CHECKSUM_FILE=/usr/ports/cat/a/distinfo\ncat/a.PERMIT_DISTFILES_FTP=Yes\n"
	if err := os.MkdirAll(filepath.Join(dir, "cat/a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"cat/a/distinfo": distinfo.String(), "dump": dump} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefetch: what an archive of ours has is fetched over HTTP by the paths of
// bsd.port.mk, from any server of files, and by another archive of ours.
func TestRefetch(t *testing.T) {
	t.Parallel()
	files := slashedFiles()
	dir := t.TempDir()
	s := &site{t, dir, filepath.Join(dir, "ports"), newUpstream(t, files, nil)}
	writePorts(t, s.tree, s.up.url, files)
	mirror := func(archive string, more ...string) []string {
		return append([]string{"mirror", "--archive", archive, "--repo", "openbsd:" + s.tree, "--dump", filepath.Join(s.tree, "dump")}, more...)
	}
	s.run(0, "init", "--archive", "first")
	s.run(0, mirror("first")...)

	// A server of files, and one that has nothing but what dpb has: the
	// directories of base64 digests.
	published := http.FileServer(http.Dir(filepath.Join(dir, "first/distfiles")))
	served := httptest.NewServer(published)
	t.Cleanup(served.Close)
	asDPB := &dpbServer{next: published}
	dpb := httptest.NewServer(asDPB)
	t.Cleanup(dpb.Close)

	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, data := range files {
		if got, status := fetchBody(t, client, served.URL+refetchPath(name, data)); status != http.StatusOK || !bytes.Equal(got, data) {
			t.Errorf("%s: %d, %q", refetchPath(name, data), status, got)
		}
		// Another name of the same content is not there.
		if _, status := fetchBody(t, client, served.URL+refetchPath("other.tgz", data)); status != http.StatusNotFound {
			t.Errorf("%s: %d", refetchPath("other.tgz", data), status)
		}
	}

	// Upstream has lost all of them.
	writePorts(t, s.tree, s.up.url+"/gone", files)
	s.run(0, "init", "--archive", "second")
	s.run(0, mirror("second", "--fallback", dpb.URL, "--fail-on", "any")...)
	for name, data := range files {
		if got, err := os.ReadFile(filepath.Join(dir, "second/distfiles/sub", name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if want := refetchPath(name, data); !slices.Contains(asDPB.sent, want) {
			t.Errorf("the fallback was not asked for %s", want)
		}
	}
}

// fetchBody gets a URL.
func fetchBody(t testing.TB, c *http.Client, url string) ([]byte, int) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body, resp.StatusCode
}

// A dpbServer serves what is below base64 digests, and notes what it has sent.
type dpbServer struct {
	next http.Handler
	mu   sync.Mutex
	sent []string
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *dpbServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/by_cipher/") || hexDigest.MatchString(path.Base(path.Dir(r.URL.Path))) {
		http.NotFound(w, r)
		return
	}
	d.mu.Lock()
	d.sent = append(d.sent, r.URL.Path)
	d.mu.Unlock()
	d.next.ServeHTTP(w, r)
}
