package fetch_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"distkeep/fetch/failure"
)

// TestFallbackIsPrivate: an archive at a private address, which the operator has
// named, cannot be reached by what a tree names or a server redirects to, not
// even by a connection that is open already.
func TestFallbackIsPrivate(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	at := served(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		if r.URL.Path != "/f" {
			http.Error(w, "no such file", http.StatusNotFound)
			return
		}
		io.WriteString(w, "x")
	})
	archive := strings.Replace(at, "127.0.0.1", "archive.example", 1)
	public := upstream(t, "127.0.0.2:0")
	public.Other = archive
	public.Add("blind", []byte("x"))
	o := options(at, public.URL)
	o.AllowNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	o.Resolver = loopback(t)
	o.Fallbacks = []string{archive}
	f := fetcher(t, o)
	dir := t.TempDir()
	for range 2 {
		checkClass(t, run(t, t.Context(), f, want(t, dir, "f", []byte("x")))["f"], "", []byte("x"))
		if err := os.Remove(filepath.Join(dir, "f.part")); err != nil {
			t.Fatal(err)
		}
		res := run(t, t.Context(), f,
			want(t, dir, "tree", []byte("x"), archive+"/blind/tree"),
			want(t, dir, "moved", []byte("x"), public.URL+"/redirect-host/blind"))
		checkClass(t, res["tree"], failure.Policy, nil)
		checkClass(t, res["moved"], failure.Policy, nil)
	}
	if text := fmt.Sprint(asked); strings.Contains(text, "blind") || !strings.Contains(text, "/f") {
		t.Errorf("the archive was asked for %s", text)
	}
}
