package s3test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Key and Secret are credentials of every server.
const Key, Secret = "key", "hidden-secret"

// VersityVar is the variable by which make test-s3 says which program is versitygw, and
// Versity the name of that among the Servers.
const VersityVar, Versity = "DISTKEEP_TEST_VERSITYGW", "versitygw"

// Servers start a server that is fit for an archive, which ends with the test, by name: one
// in the process, and versitygw where program is not empty.
func Servers(program string) map[string]func(t *testing.T) (url string) {
	all := map[string]func(t *testing.T) string{"gofakes3": func(t *testing.T) string { return New(t).URL }}
	if program != "" {
		all[Versity] = func(t *testing.T) string { return versity(t, program) }
	}
	return all
}

// versity starts versitygw, which keeps objects in files of a directory.
func versity(t testing.TB, program string) (url string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	start(t, addr, exec.Command(program, "--quiet", "--port", addr, "posix", dir), "ROOT_ACCESS_KEY="+Key, "ROOT_SECRET_KEY="+Secret)
	return "http://" + addr
}

// S3rver starts the program s3rver, which ignores conditions.
func S3rver(t testing.TB, program string) (url string) {
	t.Helper()
	addr := freeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	start(t, addr, exec.Command(program, "--silent", "-d", t.TempDir(), "-a", host, "-p", port, "--configure-bucket", Bucket))
	return "http://" + addr
}

// freeAddr is an address of the loopback that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts a server and waits until it listens.
func start(t testing.TB, addr string, cmd *exec.Cmd, vars ...string) {
	t.Helper()
	cmd.Env = append(cmd.Environ(), vars...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		ended <- nil
	})
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for {
		if c, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%v ended: %v", cmd, err)
		case <-ctx.Done():
			t.Fatalf("%v does not listen", cmd)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
