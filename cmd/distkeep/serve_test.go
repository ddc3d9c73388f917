package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog/digest"
)

// A serving is a distkeep serve that runs as a child process.
type serving struct {
	t   testing.TB
	cmd *exec.Cmd
	// addr is the first address that it listens on.
	addr   string
	stdout strings.Builder
	ended  bool
}

var servingAt = regexp.MustCompile(` at (\S+)$`)

// startServing starts cmd, waits until it listens, and stops it when the test ends.
func startServing(t testing.TB, cmd *exec.Cmd) *serving {
	t.Helper()
	s := &serving{t: t, cmd: cmd}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = &s.stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.ended {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	sc := bufio.NewScanner(stderr)
	for sc.Scan() {
		if m := servingAt.FindStringSubmatch(sc.Text()); m != nil {
			s.addr = m[1]
			break
		}
		t.Log(sc.Text())
	}
	if s.addr == "" {
		t.Fatal("the server does not listen")
	}
	go io.Copy(io.Discard, stderr)
	return s
}

// stop tells the server to stop and returns its exit status.
func (s *serving) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Wait() // its error is the status
	s.ended = true
	return s.cmd.ProcessState.ExitCode()
}

func (s *serving) url(uri string) string { return "http://" + s.addr + uri }

// get gets a path, from whatever the server listens on.
func (s *serving) get(uri string) ([]byte, int) {
	s.t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		network := "tcp"
		if strings.HasPrefix(s.addr, "/") {
			network, addr = "unix", s.addr
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}}
	defer c.CloseIdleConnections()
	host := s.addr
	if strings.HasPrefix(host, "/") {
		host = "unix"
	}
	return fetchBody(s.t, c, "http://"+host+uri)
}

// wait gets a path until it has an answer of the status: a server looks once a second
// at what a run has exported.
func (s *serving) wait(uri string, status int) []byte {
	s.t.Helper()
	for range 200 {
		text, got := s.get(uri)
		if got == status {
			return text
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("%s has no answer %d", uri, status)
	return nil
}

// TestServe: a server that was started before the first run follows it, also while a run
// holds the lock, and ends well when it is told to.
func TestServe(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"a-1.tar.gz": []byte("content of a"), "b-1@2.tar.gz": []byte("content of b")}
	s := newSite(t, files, nil)
	s.run(0, "init", "--archive", "archive")
	log := filepath.Join(s.dir, "access.log")
	srv := startServing(t, s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--access-log", log))
	sums := digest.NewHasher(digest.SHA512)
	sums.Write(files["a-1.tar.gz"])
	uri := "/sha512/" + sums.Sum().Get(digest.SHA512).Hex()
	if _, status := srv.get(uri); status != http.StatusNotFound {
		t.Errorf("before the first run: %d", status)
	}
	s.run(0, s.mirrorArgs("archive")...)
	if got, status := srv.get("/b-1@2.tar.gz"); status != http.StatusOK || string(got) != "content of b" {
		t.Errorf("%d %q", status, got)
	}
	if got := srv.wait(uri, http.StatusOK); string(got) != "content of a" {
		t.Errorf("%q", got)
	}
	if got := srv.wait("/report", http.StatusOK); !strings.Contains(string(got), "2 files") {
		t.Errorf("%s", got)
	}
	if status := srv.stop(); status != exitOK {
		t.Errorf("status %d", status)
	}
	text, err := os.ReadFile(log)
	if line := `127.0.0.1 - - [02/Jan/2026:03:00:00 +0000] "GET /b-1@2.tar.gz HTTP/1.1" 200 12 "-" "Go-http-client/1.1"` + "\n"; err != nil || !strings.Contains(string(text), line) {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestServeActivated: the sockets of systemd are taken, and those that are meant for
// another process are not.
func TestServeActivated(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, nil)
	s.run(0, "init", "--archive", "archive")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := s.command()
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec distkeep serve --archive archive"}
	cmd.ExtraFiles = []*os.File{f}
	cmd.Err = nil
	srv := startServing(t, cmd)
	if text, status := srv.get("/healthz"); status != http.StatusOK || string(text) != "ok\n" || srv.addr != l.Addr().String() {
		t.Errorf("%d %q at %s", status, text, srv.addr)
	}
	other := s.command("serve", "--archive", "archive")
	other.Env = append(other.Env, "LISTEN_PID=1", "LISTEN_FDS=1")
	other.ExtraFiles = []*os.File{f}
	out, err := other.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(string(out), "--listen") {
		t.Errorf("the socket of another process: %v\n%s", err, out)
	}
}

// needProgram skips a test where a program is not installed.
func needProgram(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil {
			t.Skipf("the real %s is not here (apt-get install %s)", name, pkg)
		}
	}
	return path
}

// needNginx skips a test where there is no nginx that can be started.
func needNginx(t *testing.T) string {
	t.Helper()
	nginx := needProgram(t, "nginx", "nginx-light")
	if os.Getuid() != 0 {
		t.Skip("nginx wants to write where only root may")
	}
	return nginx
}

// freeAddr is an address that nobody listens at.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startNginx starts an nginx with a site that listens at addr and is below dir.
func startNginx(t *testing.T, dir, addr, site string) {
	t.Helper()
	// Everybody on the way has to let nginx pass, whose workers have no rights.
	for up := dir; up != filepath.Dir(up); up = filepath.Dir(up) {
		if fi, err := os.Stat(up); err != nil {
			t.Fatal(err)
		} else if fi.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(up, fi.Mode().Perm()|0o055); err != nil {
				t.Fatal(err)
			}
		}
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := "daemon off; pid " + dir + "/nginx.pid; error_log " + dir + "/error.log; events {} http { access_log off; client_body_temp_path " + dir + "/t1; proxy_temp_path " + dir +
		"/t2; fastcgi_temp_path " + dir + "/t3; uwsgi_temp_path " + dir + "/t4; scgi_temp_path " + dir + "/t5;\n" + site + "}\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(needNginx(t), "-e", dir+"/error.log", "-c", conf)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("nginx does not listen")
}

// A store of a server and real clients: what they ask for, and its digests.
type clientStore struct {
	*serving
	site *site
	name string
	data []byte
}

func newClientStore(t *testing.T) *clientStore {
	t.Helper()
	const name = "foo-1.tar.gz"
	// What every client can unpack.
	data := tarGz(t, "foo-1/x", "hello\n")
	s := newSite(t, map[string][]byte{name: data}, nil)
	s.run(0, "init", "--archive", "archive")
	s.run(0, s.mirrorArgs("archive")...)
	return &clientStore{startServing(t, s.command("serve", "--archive", "archive", "--listen", "127.0.0.1:0", "--access-log", "-")), s, name, data}
}

// tarGz is a packed archive of one file.
func tarGz(t *testing.T, name, text string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tw, text); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func (c *clientStore) sum() string { return digest.SHA256.Sum(c.data).Hex() }

// client runs a client below dir, which is its home.
func (c *clientStore) client(dir string, env []string, prog string, args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), prog, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "HOME="+dir, "LC_ALL=C"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %v: %v\n%s", prog, args, err, out)
	}
	return string(out)
}

// asked checks that the server was asked for uri, and has sent the file.
func (c *clientStore) asked(uri string) {
	c.t.Helper()
	c.stop()
	if log := c.stdout.String(); !strings.Contains(log, `"GET `+uri+` HTTP/1.1" 200 `) {
		c.t.Errorf("the server was not asked for %s:\n%s", uri, log)
	}
}

// TestServeNix: Nix has a file by its digest of a mirror of hashes, whose upstream is gone.
func TestServeNix(t *testing.T) {
	t.Parallel()
	nix := needProgram(t, "nix-build", "nix-bin")
	c := newClientStore(t)
	dir := t.TempDir()
	expr := `derivation { name = "foo"; system = builtins.currentSystem; builder = "builtin:fetchurl"; outputHashMode = "flat"; outputHashAlgo = "sha256";
outputHash = "` + c.sum() + `"; url = "http://127.0.0.1:1/foo"; urls = [ "http://127.0.0.1:1/foo" ]; executable = false; unpack = false; preferLocalBuild = true; }`
	env := []string{"NIX_STORE_DIR=" + dir + "/store", "NIX_STATE_DIR=" + dir + "/state", "NIX_LOG_DIR=" + dir + "/log", "NIX_CONF_DIR=" + dir + "/etc",
		"NIX_LOCALSTATE_DIR=" + dir + "/var", "NIX_REMOTE=local"}
	c.client(dir, env, nix, "-E", expr, "-o", "result", "--option", "sandbox", "false", "--option", "build-users-group", "", "--option", "substitute", "false",
		"--option", "hashed-mirrors", c.url("/"))
	if got, err := os.ReadFile(filepath.Join(dir, "result")); err != nil || !slices.Equal(got, c.data) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
	// What Nix makes cannot be removed as it is.
	if err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	c.asked("/sha256/" + c.sum())
}

// TestServeOpam: opam has a file of the cache that its repository names.
func TestServeOpam(t *testing.T) {
	t.Parallel()
	opam := needProgram(t, "opam", "opam")
	c := newClientStore(t)
	dir := t.TempDir()
	for file, text := range map[string]string{
		"repo/repo":                    "opam-version: \"2.0\"\narchive-mirrors: \"" + c.url("/cache") + "\"\n",
		"repo/packages/foo/foo.1/opam": "opam-version: \"2.0\"\nurl { src: \"http://127.0.0.1:1/" + c.name + "\" checksum: [\"sha256=" + c.sum() + "\"] }\n",
	} {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"OPAMROOT=" + dir + "/root", "OPAMYES=1", "OPAMROOTISOK=1"}
	c.client(dir, env, opam, "init", "--bare", "--disable-sandboxing", "--no-setup", "default", "./repo")
	c.client(dir, env, opam, "switch", "create", "x", "--empty")
	c.client(dir, env, opam, "source", "foo.1", "--dir", "out")
	if got, err := os.ReadFile(filepath.Join(dir, "out/x")); err != nil || string(got) != "hello\n" {
		t.Errorf("%v, %q", err, got)
	}
	c.asked("/cache/sha256/" + c.sum()[:2] + "/" + c.sum())
}

// TestServeCurl: curl goes on with a part, and wget asks only for what is newer.
func TestServeCurl(t *testing.T) {
	t.Parallel()
	curl, wget := needProgram(t, "curl", "curl"), needProgram(t, "wget", "wget")
	c := newClientStore(t)
	dir := t.TempDir()
	file := filepath.Join(dir, c.name)
	check := func(what string) {
		t.Helper()
		if got, err := os.ReadFile(file); err != nil || !slices.Equal(got, c.data) {
			t.Errorf("%s: %v, %d bytes", what, err, len(got))
		}
	}
	if err := os.WriteFile(file, c.data[:50], 0o644); err != nil {
		t.Fatal(err)
	}
	c.client(dir, nil, curl, "-fsS", "-C", "-", "-O", c.url("/"+c.name))
	check("curl -C -")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.client(dir, nil, wget, "-q", "-N", c.url("/"+c.name))
	check("wget -N")
	c.client(dir, nil, wget, "-q", "-N", c.url("/"+c.name))
	c.client(dir, nil, wget, "-q", "-r", "-np", "-nH", "-P", "all", c.url("/by_cipher/"))
	if found, err := filepath.Glob(filepath.Join(dir, "all/by_cipher/sha256/*/*", c.name)); err != nil || len(found) != 1 {
		t.Errorf("wget -r has %v, %v", found, err)
	}
	c.stop()
	for _, want := range []string{` 206 `, `" 304 0 "-" "Wget`} {
		if log := c.stdout.String(); !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
}

// TestServeNginx: nginx sends the files, by the configuration of README.md, and asks the
// server behind it for everything that is not at its path.
func TestServeNginx(t *testing.T) {
	t.Parallel()
	needNginx(t)
	names := map[string][]byte{"foo-1.tar.gz": []byte("content of foo"), "a%2Fb@1 ?#.tgz": []byte("odd")}
	s := newSite(t, nil, nil)
	s.run(0, "init", "--archive", "archive")
	var list strings.Builder
	for name, data := range names {
		fmt.Fprintf(&list, "{\"name\": %q, \"digests\": {\"sha256\": %q}}\n", name, digest.SHA256.Sum(data).Hex())
		if err := os.WriteFile(filepath.Join(s.dir, "archive/distfiles", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "list.jsonl"), []byte(list.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(0, "mirror", "--archive", "archive", "--repo", "sources:list.jsonl")
	socket := filepath.Join(s.dir, "serve.sock")
	srv := startServing(t, s.command("serve", "--archive", "archive", "--listen", "unix:"+socket, "--accel-redirect", "/published/", "--access-log", "-"))
	addr := freeAddr(t)
	site := ""
	for _, b := range blocks(t, readme(t), "nginx") {
		if strings.Contains(b, "internal;") {
			site = b
		}
	}
	if site == "" {
		t.Fatal("README.md has no configuration of nginx for it")
	}
	site = strings.NewReplacer("listen 80;", "listen "+addr+";", "/srv/mirror/distfiles", filepath.Join(s.dir, "archive/distfiles"), "/srv/serve.sock", socket).Replace(site)
	startNginx(t, s.dir, addr, site)
	front := &serving{t: t, addr: addr}
	for _, c := range []struct {
		uri, want string
		behind    bool
	}{
		{"/foo-1.tar.gz", "content of foo", false},
		{"/a%252Fb@1%20%3F%23.tgz", "odd", false},
		{"/sha256/" + digest.SHA256.Sum(names["foo-1.tar.gz"]).Hex(), "content of foo", true},
		{"/sha256/" + digest.SHA256.Sum(names["a%2Fb@1 ?#.tgz"]).Hex(), "odd", true},
		{"/any/a%252Fb@1%20%3F%23.tgz", "odd", true},
		{"/healthz", "ok\n", true},
	} {
		got, status := front.get(c.uri)
		if status != http.StatusOK || string(got) != c.want {
			t.Errorf("%s: %d %q", c.uri, status, got)
		}
	}
	for _, uri := range []string{"/published/foo-1.tar.gz", "/nothing", "/..%2fstate/lock"} {
		if got, status := front.get(uri); status == http.StatusOK {
			t.Errorf("%s: %d %q", uri, status, got)
		}
	}
	if text, status := front.get("/by_cipher/"); status != http.StatusOK || !strings.Contains(string(text), `href="sha256/"`) {
		t.Errorf("a listing: %d %s", status, text)
	}
	srv.stop()
	if log := srv.stdout.String(); strings.Contains(log, `"GET /foo-1.tar.gz `) || !strings.Contains(log, `"GET /any/a%252Fb@1%20%3F%23.tgz `) {
		t.Errorf("the server behind nginx was asked:\n%s", log)
	}
}
