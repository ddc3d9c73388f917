package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"distkeep/catalog/feed"
)

// newestGeneration reads the newest generation of a published tree, as downstreams
// do: the names and digests of what the archive had then, or nil if there is none. It
// fails when that is not whole.
func newestGeneration(t testing.TB, distfiles string) map[string]bool {
	t.Helper()
	read := func(file string) ([]byte, error) { return os.ReadFile(filepath.Join(distfiles, "generations", file)) }
	data, err := read(feed.LatestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	latest, err := feed.ParseLatest(data, nil)
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	s, err := feed.Follow(latest, nil, read)
	if err != nil {
		t.Fatalf("generation %d: %v", latest.Generation, err)
	}
	names := make(map[string]bool)
	for k := range s.List {
		names[string(k.Name)+" "+k.SHA256.Hex()] = true
	}
	return names
}

// A wire forwards connections to a server and counts what passes.
type wire struct {
	addr            string
	requests, bytes atomic.Int64 // bytes of both directions
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &wire{addr: l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go w.forward(client, to)
		}
	}()
	return w
}

func (w *wire) forward(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	asked, tee := io.Pipe()
	go func() {
		defer server.Close()
		io.Copy(io.MultiWriter(server, tee, (*counter)(&w.bytes)), client)
		tee.Close()
	}()
	go func() {
		r := bufio.NewReader(asked)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				asked.Close()
				return
			}
			w.requests.Add(1)
		}
	}()
	io.Copy(io.MultiWriter(client, (*counter)(&w.bytes)), server)
}

// take returns what has passed since the last call.
func (w *wire) take() (requests, bytes int64) { return w.requests.Swap(0), w.bytes.Swap(0) }

type counter atomic.Int64

func (c *counter) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(p)))
	return len(p), nil
}

// TestPullRequests counts what a downstream of many files asks for: one small request
// when nothing has changed, and little more than what has when something did.
func TestPullRequests(t *testing.T) {
	t.Parallel()
	files := smallFiles(1000)
	s := newSite(t, files, nil)
	s.run(0, "init", "--archive", "up")
	s.run(0, s.mirrorArgs("up")...)
	distfiles := filepath.Join(s.dir, "up", "distfiles")
	plain := httptest.NewServer(http.FileServer(http.Dir(distfiles)))
	t.Cleanup(plain.Close)
	ours := startServing(t, s.command("serve", "--archive", "up", "--listen", "127.0.0.1:0"))
	testPull(t, s, files, map[string]*wire{"plain": newWire(t, plain.Listener.Addr().String()), "serve": newWire(t, ours.addr)})
}

// TestPullNginx: so it is behind the real nginx.
func TestPullNginx(t *testing.T) {
	t.Parallel()
	needNginx(t)
	files := smallFiles(1000)
	s := newSite(t, files, nil)
	s.run(0, "init", "--archive", "up")
	s.run(0, s.mirrorArgs("up")...)
	addr := freeAddr(t)
	startNginx(t, s.dir, addr, "server { listen "+addr+"; root "+filepath.Join(s.dir, "up", "distfiles")+"; }")
	testPull(t, s, files, map[string]*wire{"nginx": newWire(t, addr)})
}

// testPull pulls the archive up, which has the files, over wires, each into an archive of
// that name.
func testPull(t *testing.T, s *site, files map[string][]byte, wires map[string]*wire) {
	t.Helper()
	distfiles := filepath.Join(s.dir, "up", "distfiles")
	pull := func(archive string) string {
		_, port, _ := net.SplitHostPort(wires[archive].addr)
		out, _ := s.run(0, "pull", "--archive", archive, "--allow-private", "--allow-port", port, "--delete", "--max-delete", "100%", "http://"+wires[archive].addr)
		return out
	}
	for archive, w := range wires {
		s.run(0, "init", "--archive", archive, "--layout", "filename-hash BLAKE2B 8")
		if out := pull(archive); !strings.Contains(out, "added        1000 files") {
			t.Fatalf("%s: the first pull:\n%s", archive, out)
		}
		if requests, _ := w.take(); requests != 2+900 {
			t.Errorf("%s: %d requests for 900 contents, and two files that name them", archive, requests)
		}
		pull(archive)
		requests, bytes := w.take()
		if requests != 1 || bytes > 1<<10 {
			t.Errorf("%s: %d requests and %d bytes when nothing has changed", archive, requests, bytes)
		}
		t.Logf("%s: nothing changed: %d request, %d bytes of both directions", archive, requests, bytes)
	}
	changed := maps.Clone(files)
	for i := range 100 {
		name := fmt.Sprintf("small-%04d.tar.gz", 10*i+1)
		delete(changed, name)
		changed["new-"+name] = randomBytes("new "+name, 3000)
		s.up.replace("new-"+name, changed["new-"+name])
	}
	if err := os.RemoveAll(s.tree); err != nil {
		t.Fatal(err)
	}
	writeTree(t, s.tree, s.up.url, changed)
	s.run(0, s.mirrorArgs("up", "--delete", "--deletion-delay", "0", "--max-delete", "100%")...)
	want := newestGeneration(t, distfiles)
	for archive, w := range wires {
		pull(archive)
		requests, bytes := w.take()
		if requests > 105 {
			t.Errorf("%s: %d requests for 100 changes", archive, requests)
		}
		t.Logf("%s: 100 changed: %d requests, %d bytes of both directions", archive, requests, bytes)
		got := newestGeneration(t, filepath.Join(s.dir, archive, "distfiles"))
		for name := range want {
			if !got[name] {
				t.Errorf("%s: the copy has no %s", archive, name)
			}
		}
	}
}

// TestPullKills kills a downstream at each of its operations on the file system, or at a
// sample of them, while it goes from one generation to the next. What it shows in
// between has, under each name, bytes that a generation had, and what it tells its own
// downstreams is whole; the same command leads it to where nobody disturbs.
func TestPullKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs hundreds of programs")
	}
	files := smallFiles(30)
	s := newSite(t, files, nil)
	changed := maps.Clone(files)
	for i, name := range slices.Sorted(maps.Keys(files)) {
		switch i % 5 {
		case 1: // it goes
			delete(changed, name)
		case 2: // it has other bytes
			changed[name] = randomBytes("another "+name, 3000)
		case 3: // it has another name
			delete(changed, name)
			changed["moved-"+name] = files[name]
		}
	}
	// The first generation is served until the second takes its place.
	trees := []string{filepath.Join(s.dir, "up", "distfiles"), filepath.Join(s.dir, "up2", "distfiles")}
	s.run(0, "init", "--archive", "up")
	s.run(0, s.mirrorArgs("up")...)
	if out, err := exec.Command("cp", "-a", filepath.Join(s.dir, "up"), filepath.Join(s.dir, "up2")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.RemoveAll(s.tree); err != nil {
		t.Fatal(err)
	}
	for name, data := range changed {
		s.up.replace(name, data)
	}
	writeTree(t, s.tree, s.up.url, changed)
	s.run(0, s.mirrorArgs("up2", "--delete", "--deletion-delay", "0", "--max-delete", "100%")...)
	// Servers tell times of whole seconds, and both may be of one.
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(trees[1], "generations", "latest"), later, later); err != nil {
		t.Fatal(err)
	}
	held := make(map[string]bool) // names and digests of both generations
	for _, dir := range trees {
		maps.Copy(held, newestGeneration(t, dir))
	}
	want := newestGeneration(t, trees[1])

	var now atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.FileServer(http.Dir(trees[now.Load()])).ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	killAtAll(t, func(t *testing.T, k int) (kills int) {
		dir := inMemory(t)
		down := &site{t, dir, "", &upstream{url: srv.URL}}
		down.run(0, "init", "--archive", "down")
		args := []string{"pull", "--archive", "down", "--delete", "--deletion-delay", "0", "--max-delete", "100%", srv.URL}
		for i := range trees {
			now.Store(int32(i))
			cmd := down.command(args...)
			cmd.Env = append(cmd.Env, fmt.Sprint(killVar, "=", k))
			out, err := cmd.CombinedOutput()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && !exit.Exited() {
				kills++
				checkHeld(t, filepath.Join(dir, "down", "distfiles"), held)
				down.run(0, args...)
			} else if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		down.run(0, args...) // what nobody has wanted since the last run goes
		got := newestGeneration(t, filepath.Join(dir, "down", "distfiles"))
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("the copy is not the newest generation (-want +got):\n%s", diff)
		}
		down.run(0, "doctor", "--archive", "down")
		return kills
	})
}

// TestPullBothKilled kills the run of an archive, its server and the pull of a downstream at
// any moments of several changes. Whatever the downstream shows, a generation had it, and
// when all are left alone it is the newest.
func TestPullBothKilled(t *testing.T) {
	t.Parallel()
	rounds := 6
	if n := os.Getenv("DISTKEEP_KILLS"); n != "" {
		var err error
		if rounds, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	files := smallFiles(60)
	s := newSite(t, files, nil)
	s.run(0, "init", "--archive", "up")
	s.run(0, "init", "--archive", "down")
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	up := s.mirrorArgs("up", "--delete", "--deletion-delay", "0", "--max-delete", "100%")
	down := []string{"pull", "--archive", "down", "--allow-port", port, "--delete", "--deletion-delay", "0", "--max-delete", "100%", "http://" + addr}
	server := []string{"serve", "--archive", "up", "--listen", addr, "--max-per-address", "0"}
	held := make(map[string]bool)
	for n := range rounds {
		name := fmt.Sprintf("small-%04d.tar.gz", n*7%60)
		s.up.replace(name, randomBytes(fmt.Sprint(name, n), 3000)) // other bytes, and a new name
		s.up.replace(fmt.Sprintf("new-%d.tar.gz", n), randomBytes(fmt.Sprint(n), 2000))
		if err := os.RemoveAll(s.tree); err != nil {
			t.Fatal(err)
		}
		writeTree(t, s.tree, s.up.url, s.up.files)
		var all sync.WaitGroup
		for _, args := range [][]string{server, up, down} {
			cmd := s.command(args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(time.Duration(rand.Int64N(int64(400*time.Millisecond))), func() { cmd.Process.Kill() })
			all.Go(func() {
				cmd.Wait() // killed or not
				kill.Stop()
			})
		}
		all.Wait()
		maps.Copy(held, newestGeneration(t, filepath.Join(s.dir, "up", "distfiles")))
		checkHeld(t, filepath.Join(s.dir, "down", "distfiles"), held)
	}
	s.run(0, up...)
	startServing(t, s.command(server...))
	s.run(0, down...)
	s.run(0, down...) // what nobody has wanted since the last run goes
	want, got := newestGeneration(t, filepath.Join(s.dir, "up", "distfiles")), newestGeneration(t, filepath.Join(s.dir, "down", "distfiles"))
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the copy is not the newest generation (-want +got):\n%s", diff)
	}
	s.run(0, "doctor", "--archive", "down")
	s.run(0, "verify", "--archive", "down")
}

// checkHeld checks that what is published has, under each name, bytes that held has for
// it, and that what it tells downstreams is whole.
func checkHeld(t *testing.T, distfiles string, held map[string]bool) {
	t.Helper()
	newestGeneration(t, distfiles)
	for rel, f := range published(t, distfiles) {
		if name := filepath.Base(rel); strings.HasSuffix(name, ".tar.gz") && !held[name+" "+f.sum] {
			t.Errorf("%s has bytes that no generation had", rel)
		}
	}
}
