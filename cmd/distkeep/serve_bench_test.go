package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha512"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// BenchmarkServe gets files of 2,000 bytes, and of 64 MiB, from a server of ours and from
// nginx, by the same client, in one run.
func BenchmarkServe(b *testing.B) {
	dir, err := filepath.Abs(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s := &site{t: b, dir: dir, up: newUpstream(b, nil, nil)}
	s.run(0, "init", "--archive", "archive")
	sizes := map[string]int64{"small.tar.gz": 2000, "big.tar.gz": 64 << 20}
	for name, size := range sizes {
		if err := os.WriteFile(filepath.Join(dir, "archive/distfiles", name), make([]byte, size), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	addrs := []struct{ server, addr string }{
		{"distkeep", startServing(b, s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--max-per-address", "0")).addr},
	}
	if addr := benchNginx(b, dir); addr != "" {
		addrs = append(addrs, struct{ server, addr string }{"nginx", addr})
	}
	for _, name := range []string{"small.tar.gz", "big.tar.gz"} {
		for _, a := range addrs {
			b.Run(name+"/"+a.server, func(b *testing.B) {
				b.SetBytes(sizes[name])
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) { benchGet(b, pb, a.addr, name, sizes[name]) })
			})
		}
	}
}

// BenchmarkServeMemory serves an archive of 60,000 contents, as those of gentoo are, and
// reports the memory of the server after it has read their list, and after it has answered a
// request for each.
func BenchmarkServeMemory(b *testing.B) {
	const contents = 60_000
	dir, err := filepath.Abs(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s := &site{t: b, dir: dir, up: newUpstream(b, nil, nil)}
	s.run(0, "init", "--archive", "archive")
	name := func(i int) string { return fmt.Sprintf("some-package-name-%06d.tar.xz", i) }
	err = report.WriteDistfiles(store.ReportDir(filepath.Join(dir, "archive/state")), func(yield func(*report.Distfile) bool) {
		for i := range contents {
			sum := func(a digest.Algorithm) string { return a.Sum([]byte(name(i))).Hex() }
			d := &report.Distfile{
				Name: name(i), SHA256: sum(digest.SHA256), Size: int64(i), Modified: time.Unix(int64(i), 0).UTC(), Named: true, Kind: "gentoo",
				Digests: map[string]string{"BLAKE2B": sum(digest.BLAKE2B), "SHA512": sum(digest.SHA512)},
				Owner:   fmt.Sprintf("dev-libs/some-package-%d::gentoo", i), Origin: "https://downloads.example.org/releases/" + name(i),
			}
			if !yield(d) {
				return
			}
		}
	}, regular.Replace)
	if err != nil {
		b.Fatal(err)
	}
	bin := buildProgram(b)
	for b.Loop() {
		cmd := exec.Command(bin, "serve", "--archive", "archive", "--listen", "127.0.0.1:0")
		cmd.Dir = dir
		srv := startServing(b, cmd)
		srv.waitMetric("distkeep_contents 60000")
		b.ReportMetric(srv.resident(b), "MiB-read")
		for i := range contents {
			resp, err := http.Get(srv.url("/" + name(i)))
			if err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
		b.ReportMetric(srv.resident(b), "MiB-served")
		srv.stop()
	}
}

// resident is the memory of a server.
func (s *serving) resident(b *testing.B) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Skip(err)
	}
	_, rss, _ := strings.Cut(string(text), "\nVmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rss)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}

// BenchmarkCold has sixteen clients ask at once for one file of 1 GiB that the archive
// has not, whose upstream thinks for 200 ms before it answers. It reports when the first
// byte comes from upstream itself, and when the last of the clients has one by way of the
// archive: in one of 3,000 files, which nobody has asked for anything yet.
func BenchmarkCold(b *testing.B) {
	const size, clients = 1 << 30, 16
	w := newWorld(b, 1000)
	dir, err := filepath.Abs(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	big := randomBytes("big", size)
	s := &site{t: b, dir: dir, tree: w.tree}
	s.up = newUpstream(b, map[string][]byte{"big.tar.xz": big}, func(_ context.Context, w http.ResponseWriter, rest []byte) {
		time.Sleep(200 * time.Millisecond)
		w.Write(rest)
	})
	b.Setenv("DISTKEEP_MIN_FREE", "0")
	s.run(0, "init", "--archive", "archive")
	args := w.mirror("archive")
	s.run(0, args...)
	writeTree(b, filepath.Join(dir, "more"), s.up.url, s.up.files)
	first := func(url string) time.Duration {
		began := time.Now()
		resp, err := http.Get(url)
		if err != nil {
			b.Error(err)
			return 0
		}
		defer resp.Body.Close()
		one := make([]byte, 1)
		if _, err := io.ReadFull(resp.Body, one); err != nil || resp.StatusCode != http.StatusOK {
			b.Errorf("%s: %s, %v", url, resp.Status, err)
		}
		took := time.Since(began)
		whole := sha512.New()
		whole.Write(one)
		if n, err := io.Copy(whole, resp.Body); n != size-1 || err != nil || !bytes.Equal(whole.Sum(nil), digest.SHA512.Sum(big).Raw()) {
			b.Errorf("%s: %d bytes, %v", url, n+1, err)
		}
		return took
	}
	for b.Loop() {
		own := first(s.up.url + "/big.tar.xz")
		cmd := s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+w.tree, "--repo", "gentoo:more")
		srv := startServing(b, cmd)
		srv.waitMetric("distkeep_contents 3000")
		time.Sleep(2 * time.Second) // it scans meanwhile
		s.up.take()
		var all sync.WaitGroup
		times := make([]time.Duration, clients)
		began := time.Now()
		for i := range clients {
			all.Go(func() { times[i] = first(srv.url("/big.tar.xz")) })
		}
		all.Wait()
		took := time.Since(began)
		if n := len(s.up.take()); n != 1 {
			b.Errorf("upstream was asked %d times", n)
		}
		last := slices.Max(times)
		b.ReportMetric(own.Seconds()*1000, "upstream-ms")
		b.ReportMetric(last.Seconds()*1000, "last-client-ms")
		b.ReportMetric(last.Seconds()/own.Seconds(), "ratio")
		b.ReportMetric(took.Seconds(), "all-s")
		srv.stop()
	}
}

// benchNginx starts an nginx for the archive in dir, or returns "" where there is none.
func benchNginx(b *testing.B, dir string) string {
	b.Helper()
	const nginx = "/usr/sbin/nginx"
	if _, err := os.Stat(nginx); err != nil || os.Getuid() != 0 {
		return ""
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	conf := fmt.Sprintf("user root; worker_processes auto; daemon off; pid %[1]s/pid; error_log %[1]s/error.log; events {} http { access_log off; sendfile on; tcp_nopush on;"+
		" keepalive_requests 100000000; server { listen %[2]s; root %[1]s/archive/distfiles; } }\n", dir, addr)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(nginx, "-e", filepath.Join(dir, "error.log"), "-c", filepath.Join(dir, "nginx.conf"))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatal("nginx does not listen")
	return ""
}

// benchGet gets a file over one connection as often as pb says.
func benchGet(b *testing.B, pb *testing.PB, addr, name string, size int64) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	request := []byte("GET /" + name + " HTTP/1.1\r\nHost: h\r\n\r\n")
	for pb.Next() {
		if _, err := c.Write(request); err != nil {
			b.Error(err)
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Errorf("%v, %v", resp, err)
			return
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			b.Errorf("%d bytes, %v", n, err)
			return
		}
	}
}
