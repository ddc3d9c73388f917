package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"distkeep/catalog/digest"
	"distkeep/fetch/fetchtest"
)

// TestServeOnDemandFaults: whatever an upstream does, nobody who follows a file gets all of
// one that is wrong, and who comes back as a client does gets every file that can be had.
func TestServeOnDemandFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, nil)
	s.run(0, "init", "--archive", "archive")
	faults := fetchtest.Faults(false)
	var list bytes.Buffer
	var ports []string
	data := make(map[string][]byte)
	for _, f := range faults { // each has a host of its own: trouble is a host's
		up, err := fetchtest.Start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { up.Close() })
		name := f.Name + ".tar.xz"
		data[name] = randomBytes(name, 400_000)
		up.Add(name, data[name])
		ports = append(ports, up.URL[strings.LastIndexByte(up.URL, ':')+1:])
		err = json.NewEncoder(&list).Encode(map[string]any{
			"name": name, "size": len(data[name]), "uris": []string{up.URL + "/" + f.Name + "/" + name},
			"digests": map[string]string{"sha512": digest.SHA512.Sum(data[name]).Hex()},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "list.jsonl"), list.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "sources:list.jsonl", "--max-per-address", "0")
	cmd.Env = append(cmd.Env, "DISTKEEP_ALLOW_PORT="+strings.Join(ports, " "), nowVar+"=") // the dates of upstreams are of today
	srv := startServing(t, cmd)
	srv.wait("/ok.tar.xz", http.StatusOK)
	var all sync.WaitGroup
	for _, f := range faults {
		for range 3 {
			all.Go(func() {
				name := f.Name + ".tar.xz"
				var last string
				for range 5 { // as curl --retry does
					resp, err := http.Get(srv.url("/" + name))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					last = resp.Status
					switch {
					case resp.StatusCode != http.StatusOK:
					case err == nil && !bytes.Equal(got, data[name]):
						t.Errorf("%s: %d bytes that are wrong", name, len(got))
						return
					case err == nil && f.Class != "":
						t.Errorf("%s can be had, and should fail as %s", name, f.Class)
						return
					case err == nil:
						return
					case len(got) > len(data[name])-64<<10:
						t.Errorf("%s: %d bytes before they were verified", name, len(got))
					}
				}
				if f.Class == "" {
					t.Errorf("%s cannot be had: %s", name, last)
				}
			})
		}
	}
	all.Wait()
	srv.stop()
	s.run(0, "verify", "--archive", "archive")
}

// TestServeOnDemandKills: server and clients are killed at any moment, again and again. What
// has arrived stays, the next request continues it, and the file is right in the end.
func TestServeOnDemandKills(t *testing.T) {
	t.Parallel()
	const name, size = "big.tar.xz", 8 << 20
	kills := 6
	if n := os.Getenv("DISTKEEP_KILLS"); n != "" {
		var err error
		if kills, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	data := randomBytes(name, size)
	s := newSite(t, map[string][]byte{name: data}, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		slowly(ctx, w, rest, 64<<10, 2*time.Millisecond)
	})
	s.run(0, "init", "--archive", "archive")
	for kills > 0 {
		srv := onDemand(t, s)
		over := make(chan struct{})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { follow(t, srv.url("/"+name), data, over) })
		}
		time.Sleep(time.Duration(rand.Int64N(int64(150 * time.Millisecond))))
		srv.cmd.Process.Kill()
		srv.cmd.Wait()
		srv.ended = true
		close(over)
		all.Wait()
		kills--
	}
	srv := onDemand(t, s)
	if got := srv.wait("/"+name, http.StatusOK); !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}
	srv.stop()
	asked := s.up.take()
	if !slices.IsSortedFunc(asked, func(a, b request) int { return a.from - b.from }) {
		t.Errorf("not continued: %v", asked)
	}
	if sent := s.up.sent.Load(); sent > 2*size {
		t.Errorf("%d bytes were sent, of %d: %v", sent, size, asked)
	}
	s.run(0, "verify", "--archive", "archive")
	s.run(0, "doctor", "--archive", "archive")
}

// follow gets a file until that is whole or over is closed, and goes away now and then.
func follow(t *testing.T, url string, data []byte, over <-chan struct{}) {
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(100*time.Millisecond))))
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Error(err)
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && (!bytes.HasPrefix(data, got) || err == nil && len(got) < len(data)) {
				t.Errorf("%d wrong bytes, %v", len(got), err)
			}
		} else if errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		cancel()
		select {
		case <-over:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
