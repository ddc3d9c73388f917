package fetch_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

func TestConformanceHTTP(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	at := func(fault string) func(*testing.T, string, []byte) string {
		return func(_ *testing.T, name string, data []byte) string {
			u.Add(url.PathEscape(name), data)
			return u.URL + "/" + fault + "/" + url.PathEscape(name)
		}
	}
	t.Run("ranges", func(t *testing.T) {
		t.Parallel()
		fetchtest.Conformance(t, fetchtest.Place{Options: options(u.URL), Publish: at("ok"), Break: at("reset")})
	})
	t.Run("no ranges", func(t *testing.T) {
		t.Parallel()
		fetchtest.Conformance(t, fetchtest.Place{Options: options(u.URL), Publish: at("plain"), Break: at("no-range"), Whole: true})
	})
}

func TestConformanceHTTPS(t *testing.T) {
	t.Parallel()
	u := fetchtest.NewUpstream()
	s := httptest.NewUnstartedServer(u)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	o := options(s.URL)
	o.TLSSkipVerifyHosts = []string{"127.0.0.1"}
	at := func(fault string) func(*testing.T, string, []byte) string {
		return func(_ *testing.T, name string, data []byte) string {
			u.Add(url.PathEscape(name), data)
			return s.URL + "/" + fault + "/" + url.PathEscape(name)
		}
	}
	fetchtest.Conformance(t, fetchtest.Place{Options: o, Publish: at("ok"), Break: at("cut")})
}

func TestConformanceFTP(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*fetchtest.FTP){
		"full":     nil,
		"no EPSV":  func(f *fetchtest.FTP) { f.NoEPSV = true },
		"bad EPSV": func(f *fetchtest.FTP) { f.BadEPSV = true },
		"no REST":  func(f *fetchtest.FTP) { f.NoREST = true },
		"no SIZE":  func(f *fetchtest.FTP) { f.NoSIZE = true },
		"users":    func(f *fetchtest.FTP) { f.Users = 2 },
		"login":    func(f *fetchtest.FTP) { f.User, f.Password = "me", "s3cret" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := fetchtest.StartFTP(configure)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			base := s.URL
			if s.User != "" {
				base = strings.Replace(base, "//", "//me:s3cret@", 1)
			}
			at := func(cut bool) func(*testing.T, string, []byte) string {
				return func(_ *testing.T, name string, data []byte) string {
					s.Add("pub/"+name, data, cut)
					return base + "/pub/" + url.PathEscape(name)
				}
			}
			fetchtest.Conformance(t, fetchtest.Place{Options: options(s.URL), Publish: at(false), Break: at(true), Whole: s.NoREST})
		})
	}
}

func TestFTPRefusesLogin(t *testing.T) {
	t.Parallel()
	s, err := fetchtest.StartFTP(func(f *fetchtest.FTP) { f.User, f.Password = "me", "s3cret" })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.Add("f", []byte("x"), false)
	r := want(t, t.TempDir(), "f", []byte("x"), s.URL+"/f")
	checkClass(t, run(t, t.Context(), fetcher(t, options(s.URL)), r)["f"], failure.Forbidden, nil)
	// A netrc knows the password.
	o := options(s.URL)
	o.Netrc = filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(o.Netrc, []byte("machine 127.0.0.1\nlogin me\npassword s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkClass(t, run(t, t.Context(), fetcher(t, o), r)["f"], "", []byte("x"))
}

// inDirectory publishes files in a directory that a program serves.
func inDirectory(dir, base string) func(*testing.T, string, []byte) string {
	return func(t *testing.T, name string, data []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		return base + "/" + url.PathEscape(name)
	}
}

func TestConformanceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := options()
	o.Schemes = []string{"file"}
	fetchtest.Conformance(t, fetchtest.Place{Options: o, Publish: inDirectory(dir, "file://"+dir)})
	r := want(t, t.TempDir(), "f", []byte("x"), "file://"+dir)
	checkClass(t, run(t, t.Context(), fetcher(t, o), r)["f"], failure.Gone, nil)
	r = want(t, t.TempDir(), "f", []byte("x"), inDirectory(dir, "file://"+dir)(t, "f", []byte("x")))
	checkClass(t, run(t, t.Context(), fetcher(t, options()), r)["f"], failure.Policy, nil)
}

// program starts a server that is no part of Go for the length of a test, on a
// port of loopback, or skips the test.
func program(t *testing.T, name string, args func(port int) []string) (port int) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/"} {
			if _, serr := os.Stat(dir + name); serr == nil {
				path, err = dir+name, nil
			}
		}
	}
	if err != nil {
		t.Skipf("%s is not installed: install it to test against a real server", name)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(path, args(port)...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	// A program of others tells nobody when it is ready.
	for range 500 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return port
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen", name)
	return 0
}

// open makes a test's directory readable for servers that give up their rights.
func open(t *testing.T, dir string) string {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConformanceVsftpd(t *testing.T) {
	t.Parallel()
	dir := open(t, t.TempDir())
	conf := filepath.Join(t.TempDir(), "vsftpd.conf")
	port := program(t, "vsftpd", func(port int) []string {
		text := fmt.Sprintf(`listen=YES
listen_address=127.0.0.1
listen_port=%d
background=NO
anonymous_enable=YES
local_enable=NO
anon_root=%s
secure_chroot_dir=%s
no_anon_password=YES
seccomp_sandbox=NO
use_localtime=NO
xferlog_enable=NO
`, port, dir, open(t, t.TempDir()))
		if os.Getuid() != 0 {
			text += "run_as_launching_user=YES\n"
		} else if _, err := user.Lookup("ftp"); err != nil {
			text += "ftp_username=nobody\n"
		}
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{conf}
	})
	o := options()
	o.Ports = []int{port}
	fetchtest.Conformance(t, fetchtest.Place{Options: o, Publish: inDirectory(dir, fmt.Sprintf("ftp://127.0.0.1:%d", port))})
}

func TestConformanceRsync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	port := program(t, "rsync", func(port int) []string {
		text := fmt.Sprintf("use chroot = no\nread only = yes\nuid = %d\ngid = %d\n[m]\n\tpath = %s\n", os.Getuid(), os.Getgid(), dir)
		secrets := filepath.Join(filepath.Dir(conf), "secrets")
		text += fmt.Sprintf("[closed]\n\tpath = %s\n\tauth users = me\n\tsecrets file = %s\n", dir, secrets)
		if err := os.WriteFile(secrets, []byte("me:s3cret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"--daemon", "--no-detach", "--config=" + conf, "--address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--log-file=" + filepath.Join(filepath.Dir(conf), "log")}
	})
	o := options()
	o.Ports = []int{port}
	o.Stall = 5 * time.Second // rsync knows whole seconds only
	base := fmt.Sprintf("rsync://127.0.0.1:%d", port)
	var once atomic.Bool
	frail := cutting(t, fmt.Sprintf("127.0.0.1:%d", port), func() int64 {
		if once.Swap(true) {
			return -1
		}
		return 200_000
	})
	o.Ports = append(o.Ports, options("rsync://"+frail).Ports...)
	fetchtest.Conformance(t, fetchtest.Place{Options: o, Publish: inDirectory(dir, base+"/m"), Break: inDirectory(dir, "rsync://"+frail+"/m")})
	inDirectory(dir, base)(t, "f", []byte("x"))
	if err := os.Symlink("f", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for uri, class := range map[string]failure.Class{
		base + "/m/link":    "",
		base + "/m":         failure.BadURI, // a directory
		base + "/nothing/f": failure.Gone,
		base + "/closed/f":  failure.Forbidden,
		strings.Replace(base, "//", "//me:s3cret@", 1) + "/closed/f": "",
		strings.Replace(base, "//", "//me:wrong@", 1) + "/closed/f":  failure.Forbidden,
		"rsync://127.0.0.1:1/m/f":                                    failure.Policy,
	} {
		r := want(t, t.TempDir(), "f", []byte("x"), uri)
		checkClass(t, run(t, t.Context(), fetcher(t, o), r)["f"], class, []byte("x"))
	}
	o.AllowNets = []netip.Prefix{}
	r := want(t, t.TempDir(), "f", []byte("x"), base+"/m/f")
	checkClass(t, run(t, t.Context(), fetcher(t, o), r)["f"], failure.Policy, nil)
	o = options("http://127.0.0.1:1")
	r = want(t, t.TempDir(), "f", []byte("x"), "rsync://127.0.0.1:1/m/f")
	checkClass(t, run(t, t.Context(), fetcher(t, o), r)["f"], failure.Refused, nil)
}
