package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A served archive is one that a real server shows to clients.
type served struct {
	*site
	dir  string // what README.md calls /srv/mirror
	port string
}

// newServed makes an archive of a few files, for a program that is to serve it.
func newServed(t *testing.T, program string) *served {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	s := &served{site: newSite(t, smallFiles(6), nil), port: freePort(t)}
	s.dir = filepath.Join(s.site.dir, "mirror")
	s.run(0, "init", "--archive", s.dir, "--layout", "filename-hash BLAKE2B 8", "--layout", "flat")
	s.run(0, s.mirrorArgs("mirror", "--snapshot")...)
	return s
}

// freePort returns a port of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// serve starts a server with the configuration conf of README.md, put into a whole
// one by wrap, and waits until it answers.
func (s *served) serve(conf string, wrap func(conf, dir string) string, command func(file string) *exec.Cmd) {
	s.t.Helper()
	dir := s.t.TempDir()
	file := filepath.Join(dir, "server.conf")
	conf = strings.ReplaceAll(conf, "/srv/mirror", s.dir)
	if err := os.WriteFile(file, []byte(wrap(conf, dir)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	cmd := command(file)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		<-ended
		if s.t.Failed() {
			s.t.Logf("the server said:\n%s", out.String())
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			s.t.Fatalf("the server has ended:\n%s", out.String())
		case <-tick.C:
		}
	}
	s.t.Fatal("the server does not listen")
}

// blockWith is the block of README.md, in a language, that has a text.
func blockWith(t *testing.T, language, text string) string {
	t.Helper()
	for _, b := range blocks(t, readme(t), language) {
		if strings.Contains(b, text) {
			return b
		}
	}
	t.Fatalf("README.md has no block of %s with %q", language, text)
	return ""
}

// me is the user of this process.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// TestReadmeNginx: Portage gets every file by its own rules from the real nginx with
// the configuration of README.md, and nothing else of the archive is shown.
func TestReadmeNginx(t *testing.T) {
	t.Parallel()
	s := newServed(t, "nginx")
	s.serve(blockWith(t, "nginx", "location /distfiles/"), func(conf, dir string) string {
		whole := fmt.Sprintf("daemon off; pid %[1]s/pid; error_log stderr; events {} http { access_log off;\n", dir)
		for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			whole += fmt.Sprintf("%s_temp_path %s/%s;\n", temp, dir, temp)
		}
		if os.Geteuid() == 0 {
			whole = "user " + me(t) + ";" + whole // the directories of tests are for nobody else
		}
		return whole + strings.Replace(conf, "listen 80;", "listen 127.0.0.1:"+s.port+";", 1) + "}\n"
	}, func(file string) *exec.Cmd { return exec.Command("nginx", "-e", "stderr", "-c", file) })
	url := "http://127.0.0.1:" + s.port
	c, err := newLayoutClient(url, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range s.up.files {
		if err := c.ask(name, data); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]int{
		"/distfiles/": http.StatusOK, "/distfiles/by_cipher/sha256/": http.StatusOK, "/distfiles/distinfo": http.StatusOK,
		"/state/lock": http.StatusNotFound, "/distfiles/../state/lock": http.StatusNotFound, "/distfiles../state/lock": http.StatusNotFound,
		"/distfiles/%2e%2e/state/lock": http.StatusNotFound, "/snapshots/": http.StatusNotFound,
	} {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = path // as it stands
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != want && !(want == http.StatusNotFound && resp.StatusCode == http.StatusBadRequest) {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
}

// TestReadmeRsync: with the configuration and the command of README.md a copy is
// made again and again while files come and go, and it never hangs or lacks a file.
func TestReadmeRsync(t *testing.T) {
	t.Parallel()
	s := newServed(t, "rsync")
	s.serve(blockWith(t, "ini", "rsyncd.conf"), func(conf, dir string) string {
		whole := fmt.Sprintf("address = 127.0.0.1\nport = %s\npid file = %s/pid\nlog file = /dev/stderr\n", s.port, dir)
		if os.Geteuid() != 0 {
			whole += "use chroot = no\n"
		}
		return whole + strings.Replace(conf, "uid = mirror", "uid = "+me(t), 1)
	}, func(file string) *exec.Cmd { return exec.Command("rsync", "--daemon", "--no-detach", "--config", file) })
	copied := filepath.Join(t.TempDir(), "copy")
	line := strings.TrimSpace(blocks(t, readme(t), "console")[0])
	line = strings.NewReplacer("//distfiles.example.org/", "//127.0.0.1:"+s.port+"/", "/srv/copy/", copied+"/").Replace(line)
	args := strings.Fields(line)
	// Each run of the job removes a file and brings another, beside one of rsync.
	for i := range 4 {
		latest := s.latest()
		done := make(chan error, 1)
		go func() {
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			done <- err
		}()
		s.change(i)
		if err := <-done; err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		got := published(t, copied)
		if views := s.views(latest); !slices.ContainsFunc(views, func(dir string) bool { return sameFiles(got, published(t, dir)) }) {
			t.Fatalf("the copy is none of %v: %v", views, got)
		}
	}
	for _, excluded := range []string{"by_cipher", ".snapshot.json"} {
		if _, err := os.Stat(filepath.Join(copied, excluded)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was copied: %v", excluded, err)
		}
	}
}

// views are the snapshots that are not older than the one at from.
func (s *served) views(from string) []string {
	s.t.Helper()
	all, err := filepath.Glob(filepath.Join(filepath.Dir(from), "2*"))
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(dir string) bool { return dir < from })
}

// latest is the newest snapshot.
func (s *served) latest() string {
	s.t.Helper()
	dir, err := filepath.EvalSymlinks(filepath.Join(s.dir, "snapshots", "latest"))
	if err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// change takes a file out of the tree, puts another into it, and runs the job.
func (s *served) change(nr int) {
	s.t.Helper()
	names := (&layoutWorld{site: s.site}).names()
	delete(s.up.files, names[0])
	fresh := fmt.Sprintf("fresh-%d.tar.gz", nr)
	s.up.replace(fresh, randomBytes(fresh, 1000))
	if err := os.RemoveAll(s.tree); err != nil {
		s.t.Fatal(err)
	}
	writeTree(s.t, s.tree, s.up.url, s.up.files)
	for n := range 2 { // scheduled, and deleted
		cmd := s.command(s.mirrorArgs("mirror", "--snapshot", "--delete", "--deletion-delay", "0s", "--max-delete", "100%", "--fail-on", "never")...)
		cmd.Env = append(cmd.Env, nowVar+"="+time.Date(2026, 1, 3, nr, n, 0, 0, time.UTC).Format(time.RFC3339))
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("%v\n%s", err, out)
		}
	}
}

// sameFiles reports whether two published trees have the same distfiles outside of
// by_cipher. rsync takes lists of one length that were written in one second, as
// they are here, for one.
func sameFiles(a, b map[string]listed) bool {
	count := func(m, other map[string]listed) (n int) {
		for path, f := range m {
			if strings.HasPrefix(path, "by_cipher") || !strings.HasSuffix(path, ".tar.gz") {
				continue
			}
			if n++; other[path].sum != f.sum {
				return -1
			}
		}
		return n
	}
	n := count(a, b)
	return n > 0 && n == count(b, a)
}
