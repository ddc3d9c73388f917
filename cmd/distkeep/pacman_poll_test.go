package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"distkeep/archive/report"
	"distkeep/catalog/digest"
	"distkeep/catalog/pacman"
)

// A pacUpstream is a mirror of pacman repositories whose content can be changed
// at any moment.
type pacUpstream struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]pacFile
	asked []string
	// before is called, without the lock, before a path is served.
	before func(path string)
}

type pacFile struct {
	data []byte
	time time.Time
}

func newPacUpstream(t testing.TB) *pacUpstream {
	t.Helper()
	u := &pacUpstream{files: make(map[string]pacFile)}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *pacUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	before := u.before
	u.asked = append(u.asked, r.URL.Path)
	u.mu.Unlock()
	if before != nil {
		before(r.URL.Path)
	}
	u.mu.Lock()
	f, ok := u.files[r.URL.Path]
	u.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+digest.SHA256.Sum(f.data).Hex()[:16]+`"`)
	http.ServeContent(w, r, "", f.time, bytes.NewReader(f.data))
}

// hook has f called before a path is served.
func (u *pacUpstream) hook(f func(path string)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.before = f
}

// requests returns what was asked for since the last call.
func (u *pacUpstream) requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	asked := u.asked
	u.asked = nil
	return asked
}

// set replaces all files at once. The keys are paths.
func (u *pacUpstream) set(files map[string][]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.files
	u.files = make(map[string]pacFile, len(files))
	for name, data := range files {
		f := pacFile{data, time.Now()}
		if o, ok := old[name]; ok && bytes.Equal(o.data, data) {
			f = o
		}
		u.files[name] = f
	}
}

// spoil replaces the bytes of one file until the next set.
func (u *pacUpstream) spoil(name string, data []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[name] = pacFile{data, time.Now()}
}

// pacRelease makes the files of an upstream: repositories with the packages
// named, whose content depends on their name, signatures beside them, and
// lastupdate.
func pacRelease(lastUpdate string, repos map[string][]string) map[string][]byte {
	files := map[string][]byte{"/lastupdate": []byte(lastUpdate + "\n")}
	for repo, packages := range repos {
		dir := "/" + repo + "/os/x86_64/"
		var entries []pacEntry
		for _, p := range packages {
			data := pacContent(p)
			files[dir+p], files[dir+p+".sig"] = data, append([]byte{0x89}, p...)
			entries = append(entries, pacEntry{file: p, size: len(data), sha256: digest.SHA256.Sum(data).Hex()})
		}
		files[dir+repo+".db"], files[dir+repo+".files"] = pacDatabase(entries, false), pacDatabase(entries, true)
	}
	return files
}

func pacContent(name string) []byte { return randomBytes(name, 20_000) }

// A pacMirror is an archive of an upstream that is served.
type pacMirror struct {
	t        testing.TB
	archive  string
	served   *httptest.Server
	upstream *pacUpstream
	args     []string
	now      string // the clock, if it is not the real one
}

func newPacMirror(t testing.TB, u *pacUpstream, args ...string) *pacMirror {
	t.Helper()
	m := &pacMirror{t: t, archive: filepath.Join(inMemory(t), "archive"), upstream: u, args: args}
	m.served = httptest.NewServer(http.FileServer(http.Dir(filepath.Join(m.archive, "distfiles"))))
	t.Cleanup(m.served.Close)
	m.distkeep(0, "init")
	return m
}

// command prepares the program with args.
func (m *pacMirror) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), "distkeep", args...)
	cmd.Env = append(os.Environ(), "DISTKEEP_ARCHIVE="+m.archive, "DISTKEEP_ALLOW_PRIVATE=true", nowVar+"="+m.now,
		"DISTKEEP_ALLOW_PORT="+m.upstream.URL[strings.LastIndexByte(m.upstream.URL, ':')+1:])
	return cmd
}

// distkeep runs the program, which must exit with the status.
func (m *pacMirror) distkeep(status int, args ...string) string {
	m.t.Helper()
	cmd := m.command(args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		m.t.Fatalf("distkeep %s: %v, want status %d\n%s", args, err, status, out)
	}
	return string(out)
}

// mirror runs the hourly job.
func (m *pacMirror) mirror(status int, args ...string) string {
	m.t.Helper()
	return m.distkeep(status, slices.Concat([]string{"mirror"}, m.args, args)...)
}

// get asks the archive.
func (m *pacMirror) get(name string) ([]byte, error) {
	resp, err := http.Get(m.served.URL + "/" + name)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", name, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// names returns the packages that a served database names, or nil.
func (m *pacMirror) names(repo string) (names []string) {
	m.t.Helper()
	data, err := m.get(repo + "/os/x86_64/" + repo + ".db")
	if err != nil {
		return nil
	}
	db, _, err := pacman.ParseDatabase(repo, bytes.NewReader(data))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, p := range db.Packages {
		names = append(names, string(p.Filename))
	}
	return names
}

// look downloads everything that a served database names. A file that cannot
// be had, or is not what the database says, is a violation unless the database
// has been replaced meanwhile and moved allows for that.
func (m *pacMirror) look(index string, moved bool) (files int, err error) {
	data, err := m.get(index)
	if err != nil {
		return 0, nil // none is published yet
	}
	db, problems, err := pacman.ParseDatabase(index, bytes.NewReader(data))
	if err != nil || len(problems) > 0 {
		return 0, fmt.Errorf("served is no database: %w, %v", err, problems)
	}
	for _, p := range db.Packages {
		for _, suffix := range []string{"", ".sig"} {
			got, err := m.get(path.Dir(index) + "/" + string(p.Filename) + suffix)
			if err == nil && suffix == "" && digest.SHA256.Sum(got) != p.SHA256 {
				err = fmt.Errorf("%s: wrong bytes", p.Filename)
			}
			if err != nil {
				if now, _ := m.get(index); moved && !bytes.Equal(now, data) {
					return files, nil
				}
				return files, fmt.Errorf("%s names what cannot be had: %w", index, err)
			}
			files++
		}
	}
	return files, nil
}

// poll looks again and again until stop is called, which returns how many files
// were downloaded.
func (m *pacMirror) poll(moved bool, indexes ...string) (stop func() int) {
	ctx, cancel := context.WithCancel(m.t.Context())
	done := make(chan int, 1)
	go func() {
		files := 0
		for ctx.Err() == nil {
			for _, index := range indexes {
				n, err := m.look(index, moved)
				if files += n; err != nil {
					m.t.Errorf("client: %v", err)
					cancel()
				}
			}
		}
		done <- files
	}()
	return func() int { cancel(); return <-done }
}

func pacNames(names ...string) (files []string) {
	for _, n := range names {
		files = append(files, n+"-x86_64.pkg.tar.zst")
	}
	return files
}

var bothIndexes = []string{"core/os/x86_64/core.db", "core/os/x86_64/core.files", "extra/os/x86_64/extra.db", "extra/os/x86_64/extra.files"}

// TestPacmanClientNeverMisses changes an upstream in every way there is, also
// in the middle of runs, while a client downloads all that is served.
func TestPacmanClientNeverMisses(t *testing.T) {
	t.Parallel()
	for name, deleting := range map[string][]string{
		"keeping":  nil,
		"deleting": {"--delete", "--deletion-delay=0s", "--max-delete=100%"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newPacUpstream(t)
			m := newPacMirror(t, u, append(deleting, "--repo=pacman:"+u.URL+"?repo=core,extra", "--fail-on=any")...)
			releases := make([]map[string][]byte, 6)
			core, extra := make([][]string, len(releases)), make([][]string, len(releases))
			for i := range releases {
				// Both share half of their packages, and half of all are new
				// each time.
				core[i] = pacNames("both-1-1", fmt.Sprintf("moves-%d-1", i), fmt.Sprintf("a-%d-1", i/2), fmt.Sprintf("b-%d-1", i))
				extra[i] = pacNames("both-1-1", fmt.Sprintf("moves-%d-1", i), fmt.Sprintf("c-%d-1", i/2), fmt.Sprintf("d-%d-1", i))
				releases[i] = pacRelease(fmt.Sprint(1000+i), map[string][]string{"core": core[i], "extra": extra[i]})
			}
			serves := func(when string, i, j int) {
				t.Helper()
				if got, want := m.names("core"), core[i]; !slices.Equal(got, want) {
					t.Errorf("%s: core is %v, want %v", when, got, want)
				}
				if got, want := m.names("extra"), extra[j]; !slices.Equal(got, want) {
					t.Errorf("%s: extra is %v, want %v", when, got, want)
				}
			}
			stop := m.poll(deleting != nil, bothIndexes...)

			u.set(releases[0])
			m.mirror(0)
			serves("at first", 0, 0)
			u.set(releases[1])
			m.mirror(0)
			serves("after a change", 1, 1)

			// A text of 130 bytes with status 200 in place of a package of core.
			u.set(releases[2])
			u.spoil("/core/os/x86_64/"+core[2][3], bytes.Repeat([]byte("sorry, not here\n")[:13], 10))
			if out := m.mirror(1); !strings.Contains(out, "core/os/x86_64/core.db is held back: 1 of 4 files are missing, such as "+core[2][3]) {
				t.Errorf("output does not tell what is held back:\n%s", out)
			}
			serves("a text for a package", 1, 2)
			u.set(releases[2])
			m.distkeep(0, "failures", "--retry", core[2][3])
			m.mirror(0)
			serves("after it is there", 2, 2)

			// The upstream changes when the first package is asked for: half
			// of what the databases name is gone.
			u.set(releases[3])
			once := sync.OnceFunc(func() { u.set(releases[4]) })
			u.hook(func(path string) {
				if strings.HasSuffix(path, ".zst") {
					once()
				}
			})
			m.mirror(1)
			serves("changed in the middle", 2, 2)
			u.hook(nil)
			m.mirror(0)
			serves("after that", 4, 4)

			// It changes between the databases of one repository.
			u.set(releases[4])
			once = sync.OnceFunc(func() { u.set(releases[5]) })
			u.hook(func(path string) {
				if strings.HasSuffix(path, ".files") {
					once()
				}
			})
			u.spoil("/lastupdate", []byte("9999\n"))
			m.mirror(0)
			serves("changed between databases", 5, 5)
			u.hook(nil)

			// A mirror in the middle of its update: databases before packages.
			part := maps.Clone(releases[0])
			part["/lastupdate"] = []byte("10001\n")
			for _, p := range pacNames("moves-0-1", "c-0-1", "d-0-1") {
				delete(part, "/extra/os/x86_64/"+p)
			}
			u.set(part)
			if deleting == nil {
				m.mirror(0) // the archive has it all
				serves("packages that the archive has", 0, 0)
			} else {
				m.mirror(0) // and recycle, too
				serves("packages that were deleted", 0, 0)
			}
			if n := stop(); n < 100 {
				t.Errorf("the client downloaded only %d files", n)
			}
			if deleting == nil {
				return
			}
			m.mirror(0)
			var left []string
			entries, err := os.ReadDir(filepath.Join(m.archive, "distfiles/extra/os/x86_64"))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				left = append(left, e.Name())
			}
			want := []string{"extra.db", "extra.files"}
			for _, p := range extra[0] {
				want = append(want, p, p+".sig")
			}
			if slices.Sort(want); !slices.Equal(left, want) {
				t.Errorf("extra has %v, want %v", left, want)
			}
		})
	}
}

// TestPacmanPoolNeverMisses switches the pool on and off, also together with a
// change of the upstream, while a client downloads all that is served.
func TestPacmanPoolNeverMisses(t *testing.T) {
	t.Parallel()
	u := newPacUpstream(t)
	u.set(pacRelease("1", map[string][]string{"core": pacNames("both-1-1", "a-1-1"), "extra": pacNames("both-1-1", "b-1-1")}))
	plain := "--repo=pacman:" + u.URL + "?repo=core,extra"
	m := newPacMirror(t, u, "--fail-on=any", "--delete", "--deletion-delay=0s", "--max-delete=100%")
	m.mirror(0, plain)
	stop := m.poll(true, bothIndexes...)
	for i, repo := range []string{plain + "&pool=packages", plain, plain + "&pool=packages", plain + "&pool=other", plain} {
		if i > 1 {
			u.set(pacRelease(fmt.Sprint(2+i), map[string][]string{
				"core":  pacNames("both-1-1", fmt.Sprintf("a-%d-1", i)),
				"extra": pacNames("both-1-1", fmt.Sprintf("b-%d-1", i/2)),
			}))
		}
		m.mirror(0, repo)
		link, err := os.Readlink(filepath.Join(m.archive, "distfiles/core/os/x86_64", pacNames("both-1-1")[0]))
		if _, pool, _ := strings.Cut(repo, "&pool="); (err == nil) != (pool != "") || pool != "" && path.Base(path.Dir(link)) != pool {
			t.Errorf("with %s a package is a link to %q: %v", repo, link, err)
		}
		if out := m.mirror(0, repo); !strings.Contains(out, "indexes      2 current") {
			t.Errorf("with %s, again:\n%s", repo, out)
		}
	}
	if n := stop(); n < 100 {
		t.Errorf("the client downloaded only %d files", n)
	}
}

// TestPacmanAsksOnce counts requests: nothing but lastupdate when that has not
// changed, and of files that stayed as they were only the headers.
func TestPacmanAsksOnce(t *testing.T) {
	t.Parallel()
	u := newPacUpstream(t)
	u.set(pacRelease("1", map[string][]string{"core": pacNames("a-1-1", "b-1-1")}))
	m := newPacMirror(t, u, "--repo=pacman:"+u.URL+"?repo=core")
	m.mirror(0)
	first := u.requests()
	if n := len(slices.Compact(slices.Sorted(slices.Values(first)))); n != len(first)-1 { // the database is looked at once more
		t.Errorf("first run asked for\n%s", strings.Join(first, "\n"))
	}
	m.mirror(0)
	if got := u.requests(); !slices.Equal(got, []string{"/lastupdate"}) {
		t.Errorf("second run asked for %v", got)
	}
	// Another repository, nothing new in the first.
	u.set(pacRelease("2", map[string][]string{"core": pacNames("a-1-1", "b-1-1"), "extra": pacNames("a-1-1")}))
	out := m.mirror(0)
	for _, p := range u.requests() {
		if strings.Contains(p, ".zst") || strings.Contains(p, "extra") {
			t.Errorf("third run asked for %s", p)
		}
	}
	if !strings.Contains(out, "indexes      1 current") {
		t.Errorf("third run:\n%s", out)
	}
	s := new(struct {
		Views []struct{ State string }
	})
	if err := report.LoadStatus(filepath.Join(m.archive, "state/report"), s); err != nil || len(s.Views) != 1 {
		t.Errorf("status is %+v, %v", s, err)
	}
}
