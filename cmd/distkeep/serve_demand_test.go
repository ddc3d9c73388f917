package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

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
	before = strings.Replace(before, `"new":true`, `"new":false`, 1) // as of the last run, which this was
	if after, _ := s.run(0, "failures", "--archive", "archive", "--json"); after != before || !strings.Contains(after, "gone.tgz") {
		t.Errorf("failures before:\n%safter:\n%s", before, after)
	}
	// The failure is known, and the rest is fetched by the next run.
	if out, _ := s.run(0, s.mirrorArgs("archive")...); !strings.Contains(out, "1 fetched") {
		t.Errorf("%s", out)
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
