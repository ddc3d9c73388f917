package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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
