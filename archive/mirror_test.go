package archive

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
)

// TestMirrorUpstream runs the hourly job while an upstream has one wrong answer after
// another. Nothing is published that is not what the tree wants; a failure is new
// once, and waits longer each time.
func TestMirrorUpstream(t *testing.T) {
	t.Parallel()
	const right, wrong = "right", "wrong"
	var body atomic.Value
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch text := body.Load().(string); text {
		case "":
			http.NotFound(w, r)
		default:
			w.Write([]byte(text)) // the client may go away at any time
		}
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(right)), digest.BLAKE2B.Sum([]byte(right)))
	o := MirrorOptions{
		Repositories: []catalog.Repository{static{{
			Name: "a.tgz", Size: int64(len(right)), Digests: sums, Owners: []catalog.Owner{{Repo: "r", Package: "c/a-1"}},
			Sources: []catalog.Source{{URI: srv.URL + "/a.tgz"}},
		}}},
		Fetch: fetch.Options{Schemes: []string{"http"}, Ports: []int{port}, AllowPrivate: true},
	}
	b := archivetest.New(t)
	var told []string // what the events say of failures
	b.Events.Failed = func(f *ledger.Failure, known bool) {
		told = append(told, f.Class+" known="+strconv.FormatBool(known))
	}
	for _, run := range []struct {
		what      string
		hour      int
		body      string
		requests  bool
		told      []string
		published []string
	}{
		{"other bytes of the same length", 0, wrong, true, []string{"digest known=false"}, nil},
		{"it is due again in an hour", 0, right, false, []string{"digest known=true"}, nil},
		{"they are known", 1, wrong, true, []string{"digest known=true"}, nil},
		{"then in two", 2, right, false, []string{"digest known=true"}, nil},
		{"it is gone", 3, "", true, []string{"gone known=true"}, nil},
		{"then in four", 6, right, false, []string{"gone known=true"}, nil},
		{"it is right", 7, right, true, nil, []string{"a.tgz", "by_cipher"}},
		{"and there", 8, wrong, false, nil, []string{"a.tgz", "by_cipher"}},
	} {
		body.Store(run.body)
		told = nil
		asked.Store(0)
		b.At(archivetest.T0.Add(time.Duration(run.hour) * time.Hour))
		b.Do(func(v *vault.Vault) {
			s, err := Mirror(t.Context(), v, o)
			if err != nil {
				t.Fatalf("%s: %v", run.what, err)
			}
			if n := s.NewFailures(); (n > 0) != slices.Contains(run.told, "digest known=false") {
				t.Errorf("%s: %d new failures", run.what, n)
			}
		})
		if n := asked.Load(); (n > 0) != run.requests {
			t.Errorf("%s: %d requests", run.what, n)
		}
		if d := cmp.Diff(run.told, told); d != "" {
			t.Errorf("%s: failures (-want +got):\n%s", run.what, d)
		}
		if d := cmp.Diff(run.published, published(t, b)); d != "" {
			t.Errorf("%s: published (-want +got):\n%s", run.what, d)
		}
		if n := len(b.Records()); n != len(run.published)/2 {
			t.Errorf("%s: %d records", run.what, n)
		}
	}
}

// published are the names at the top of the published tree but for the archive's
// lists.
func published(t *testing.T, b *archivetest.Box) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(b.Distfiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == layout.ByCipherDir || !layout.Reserved(catalog.Name(e.Name())) {
			names = append(names, e.Name())
		}
	}
	if slices.Contains(names, "by_cipher") {
		files, err := filepath.Glob(b.Path("by_cipher", "*", "*", "*", "*"))
		if err != nil || len(files) == 0 {
			names = slices.DeleteFunc(names, func(n string) bool { return n == "by_cipher" })
		}
	}
	return names
}
