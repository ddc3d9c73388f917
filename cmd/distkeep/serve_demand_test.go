package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// onDemand starts a server of an archive that is empty.
func onDemand(t *testing.T, s *site) *serving {
	t.Helper()
	return startServing(t, s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+s.tree, "--access-log", "-"))
}

// TestServeOnDemand: many clients ask for one file that the archive has not, each in its
// way. Upstream is asked once, all get what has arrived at once, and the whole file when
// it is there. Then it is held like every other.
func TestServeOnDemand(t *testing.T) {
	t.Parallel()
	const name, size, half = "big.tar.xz", 1 << 20, 1 << 19
	data := randomBytes(name, size)
	release := make(chan struct{})
	s := newSite(t, map[string][]byte{name: data, "small.tgz": []byte("small"), "gone.tgz": []byte("gone")}, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		switch string(rest) {
		case "small":
			w.Write(rest)
			return
		case "gone":
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write(rest[:half])
		http.NewResponseController(w).Flush()
		select {
		case <-release:
			w.Write(rest[half:])
		case <-ctx.Done():
		}
	})
	s.run(0, "init", "--archive", "archive")
	srv := onDemand(t, s)
	// The server scans the tree meanwhile.
	if got := srv.wait("/small.tgz", http.StatusOK); string(got) != "small" {
		t.Errorf("%q", got)
	}
	s.up.take()
	uris := []string{"/" + name, "/distfiles/a5/" + name, "/sha512/" + digest.SHA512.Sum(data).Hex(), "/p00000/" + name}
	var begun, ended sync.WaitGroup
	for i := range 16 {
		begun.Add(1)
		ended.Add(1)
		go func() {
			defer ended.Done()
			once := sync.OnceFunc(begun.Done)
			defer once()
			r, err := http.NewRequest(http.MethodGet, srv.url(uris[i%len(uris)]), nil)
			if err != nil {
				t.Error(err)
				return
			}
			want := data
			if i%5 == 4 {
				r.Header.Set("Range", "bytes=1000-1048000")
				want = data[1000:1048001]
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			first := make([]byte, half/2)
			if _, err := io.ReadFull(resp.Body, first); err != nil || !bytes.Equal(first, want[:len(first)]) {
				t.Errorf("client %d: the first half: %v", i, err)
			}
			once()
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(rest, want[len(first):]) {
				t.Errorf("client %d: the rest has %d bytes, %v", i, len(rest), err)
			}
		}()
	}
	begun.Wait()
	close(release)
	ended.Wait()
	if got := s.up.take(); len(got) != 1 {
		t.Errorf("upstream was asked %d times", len(got))
	}
	srv.wait("/sha256/"+digest.SHA256.Sum(data).Hex(), http.StatusOK)
	if _, status := srv.get("/gone.tgz"); status != http.StatusNotFound {
		t.Errorf("what upstream has lost: %d", status)
	}
	asked := len(s.up.take())
	if _, status := srv.get("/gone.tgz"); status != http.StatusNotFound || asked == 0 || len(s.up.take()) > 0 {
		t.Errorf("what upstream has lost, again: %d, %d requests before", status, asked)
	}
	for _, uri := range []string{"/nothing.tgz", "/" + s.up.url + "/other.tgz", "/https://example.org/big.tar.xz"} {
		if _, status := srv.get(uri); status != http.StatusNotFound || len(s.up.take()) > 0 {
			t.Errorf("%s: %d", uri, status)
		}
	}
	if status := srv.stop(); status != exitOK {
		t.Errorf("status %d", status)
	}
	s.run(0, "verify", "--archive", "archive")
	s.run(0, "doctor", "--archive", "archive")
}

// TestServeOnDemandWrong: whoever follows a file that comes out wrong never gets all of
// it, and is told by a broken connection.
func TestServeOnDemandWrong(t *testing.T) {
	t.Parallel()
	const name, size = "big.tar.xz", 1 << 20
	data := randomBytes(name, size)
	s := newSite(t, map[string][]byte{name: data, "small.tgz": []byte("small")}, func(_ context.Context, w http.ResponseWriter, rest []byte) {
		if len(rest) < 10 {
			w.Write(rest)
			return
		}
		wrong := slices.Clone(rest)
		wrong[1000]++
		slowly(t.Context(), w, wrong, 1<<18, 100e6)
	})
	s.run(0, "init", "--archive", "archive")
	srv := onDemand(t, s)
	srv.wait("/small.tgz", http.StatusOK)
	resp, err := http.Get(srv.url("/" + name))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK && (err == nil || len(got) == size) {
		t.Errorf("%s, %d bytes of a wrong file, %v", resp.Status, len(got), err)
	}
	if _, status := srv.get("/" + name); status != http.StatusNotFound {
		t.Errorf("afterwards: %d", status)
	}
}

// TestServeOnDemandKilled: a server that was killed leaves a part, which the next request
// goes on with.
func TestServeOnDemandKilled(t *testing.T) {
	t.Parallel()
	const name, size, half = "big.tar.xz", 1 << 20, 1 << 19
	data := randomBytes(name, size)
	var hang atomic.Bool
	hang.Store(true)
	s := newSite(t, map[string][]byte{name: data, "small.tgz": []byte("small")}, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		if len(rest) < 10 || !hang.Load() {
			w.Write(rest)
			return
		}
		w.Write(rest[:half])
		http.NewResponseController(w).Flush()
		<-ctx.Done()
	})
	s.run(0, "init", "--archive", "archive")
	srv := onDemand(t, s)
	srv.wait("/small.tgz", http.StatusOK)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.url("/"+name), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	waitForPart(t, filepath.Join(s.dir, "archive", "state", "parts"), half)
	resp.Body.Close() // the client goes first
	srv.cmd.Process.Kill()
	srv.cmd.Wait()
	srv.ended = true
	s.up.take()
	hang.Store(false)
	again := onDemand(t, s)
	if got := again.wait("/"+name, http.StatusOK); !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}
	if got := s.up.take(); len(got) != 1 || got[0].from != half {
		t.Errorf("requests of the second server: %v", got)
	}
	again.stop()
	if log := again.stdout.String(); !strings.Contains(log, `"GET /big.tar.xz HTTP/1.1" 200 1048576`) {
		t.Errorf("%s", log)
	}
}

// TestServeOnDemandRest: a run for one file leaves everything else as it is: what failed
// before is neither tried nor forgotten, and what nobody has asked for waits.
func TestServeOnDemandRest(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"gone.tgz": []byte("gone")}
	s := newSite(t, files, func(_ context.Context, w http.ResponseWriter, rest []byte) {
		if string(rest) == "gone" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write(rest)
	})
	s.run(0, "init", "--archive", "archive")
	s.run(1, s.mirrorArgs("archive")...)
	before, _ := s.run(0, "failures", "--archive", "archive", "--json")
	runs := s.lastRun()
	for _, name := range []string{"asked.tgz", "other.tgz"} {
		files[name] = []byte("content of " + name)
	}
	writeTree(t, s.tree, s.up.url, files)
	s.up.take()
	cmd := s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+s.tree)
	cmd.Env = append(cmd.Env, nowVar+"=2026-01-02T06:00:00Z") // when a run would try again
	srv := startServing(t, cmd)
	if got := srv.wait("/asked.tgz", http.StatusOK); string(got) != "content of asked.tgz" {
		t.Errorf("%q", got)
	}
	srv.stop()
	if got := s.up.take(); len(got) != 1 {
		t.Errorf("upstream was asked for %v", got)
	}
	if after, _ := s.run(0, "failures", "--archive", "archive", "--json"); after != before || !strings.Contains(after, "gone.tgz") {
		t.Errorf("failures before:\n%safter:\n%s", before, after)
	}
	// It was no run, and is told downstream all the same.
	if now := s.lastRun(); !now.Start.Equal(runs.Start) || now.NewFailures() != 1 || now.Fetched != runs.Fetched || now.Archive.Files != 1 {
		t.Errorf("the last run was %+v, and is %+v", runs, now)
	}
	if runs, err := report.LoadRuns(store.ReportDir(filepath.Join(s.dir, "archive", "state"))); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if data, err := os.ReadFile(filepath.Join(s.dir, "archive/distfiles/generations/latest")); err != nil || !strings.Contains(string(data), "generation 2\n") {
		t.Errorf("%s %v", data, err)
	}
	// The failure is known, and the rest is fetched by the next run.
	if out, _ := s.run(0, s.mirrorArgs("archive")...); !strings.Contains(out, "1 fetched") {
		t.Errorf("%s", out)
	}
}

// lastRun is what is exported of the last run.
func (s *site) lastRun() *report.Summary {
	s.t.Helper()
	sum := new(report.Summary)
	if err := report.LoadStatus(store.ReportDir(filepath.Join(s.dir, "archive", "state")), sum); err != nil {
		s.t.Fatal(err)
	}
	return sum
}

// waitMetric waits until the metrics of the server have a line.
func (s *serving) waitMetric(line string) {
	s.t.Helper()
	var text []byte
	for range 500 {
		if text, _ = s.get("/metrics"); bytes.Contains(text, []byte(line+"\n")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("no %s in\n%s", line, text)
}

// TestServeOnDemandInRun: a file that somebody waits for goes before all that the run in
// the same process has in the queue of its host, and one that the run is fetching is
// followed.
func TestServeOnDemandInRun(t *testing.T) {
	t.Parallel()
	const half = 1 << 19
	files := make(map[string][]byte)
	for c := 'a'; c <= 'h'; c++ {
		files[string(c)+".tgz"] = randomBytes(string(c), 2*half)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	s := newSite(t, files, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		w.Write(rest[:half])
		http.NewResponseController(w).Flush()
		begin()
		select {
		case <-release:
			w.Write(rest[half:])
		case <-ctx.Done():
		}
	})
	s.run(0, "init", "--archive", "archive")
	srv := startServing(t, s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+s.tree, "--mirror-every", "1h", "--host-jobs", "1"))
	<-begun
	before := s.up.take()
	first, last := before[0].name, "a.tgz"
	if first == last {
		last = "h.tgz" // one that is in the queue of the host
	}
	resp, err := http.Get(srv.url("/" + first))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 2*half)
	if _, err := io.ReadFull(resp.Body, got[:half/2]); err != nil {
		t.Error(err)
	}
	late := make(chan []byte)
	go func() {
		text, _ := srv.get("/" + last)
		late <- text
	}()
	srv.waitMetric(`distkeep_dialect_requests_total{form="/{name}"} 2`)
	time.Sleep(100 * time.Millisecond) // nothing tells that it is in the queue
	close(release)
	if _, err := io.ReadFull(resp.Body, got[half/2:]); err != nil || !bytes.Equal(got, files[first]) {
		t.Errorf("what the run was fetching: %v", err)
	}
	if text := <-late; !bytes.Equal(text, files[last]) {
		t.Errorf("%s has %d bytes", last, len(text))
	}
	for name := range files {
		srv.wait("/"+name, http.StatusOK)
	}
	after := s.up.take()
	if len(before) != 1 || len(after) != len(files)-1 || after[0].name != last {
		t.Errorf("upstream was asked for %v, and for %v when %s was waited for", before, after, last)
	}
	srv.stop()
	if sum := s.lastRun(); sum.Fetched.Files != len(files) {
		t.Errorf("the run has fetched %v", sum.Fetched)
	}
}

// TestServeMirrorEvery: the server does the hourly job itself, from the start, and tells on
// standard error what that did.
func TestServeMirrorEvery(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string][]byte{"a.tgz": []byte("a"), "b.tgz": []byte("b")}, nil)
	s.run(0, "init", "--archive", "archive")
	srv := startServing(t, s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+s.tree, "--mirror-every", "1h", "--access-log", "-"))
	srv.wait("/report", http.StatusOK)
	s.up.take()
	for _, name := range []string{"a.tgz", "b.tgz"} {
		if _, status := srv.get("/" + name); status != http.StatusOK {
			t.Errorf("%s: %d", name, status)
		}
	}
	if got := s.up.take(); len(got) != 0 {
		t.Errorf("upstream was asked again for %v", got)
	}
	srv.stop()
	if strings.Contains(srv.stdout.String(), "fetched") {
		t.Errorf("the access log has:\n%s", srv.stdout.String())
	}
}
