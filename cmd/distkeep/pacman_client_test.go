package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// needPacman skips a test where Debian's pacman-package-manager and gpg are not
// installed, or where pacman would refuse to run.
func needPacman(t *testing.T) {
	t.Helper()
	for _, prog := range []string{"pacman", "repo-add", "gpg"} {
		if _, err := exec.LookPath(prog); err != nil {
			t.Skipf("the real client is not here (apt-get install pacman-package-manager gpg): %v", err)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("pacman -Sy wants to be run by root")
	}
}

// A gpgHome is a directory with the keys of somebody.
type gpgHome struct {
	t   *testing.T
	dir string
}

func newGPGHome(t *testing.T) *gpgHome {
	t.Helper()
	// The agent's socket must have a short path, which t.TempDir is not.
	dir, err := os.MkdirTemp("/tmp", "dk")
	if err != nil {
		t.Fatal(err)
	}
	h := &gpgHome{t, dir}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", dir, "--kill", "all").Run()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return h
}

// command runs a program with its keys.
func (h *gpgHome) command(dir, stdin, prog string, args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), prog, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+h.dir, "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("%s %s: %v\n%s%s", prog, args, err, &out, &errs)
	}
	return out.String()
}

// newKey makes a key that can sign and returns its fingerprint.
func (h *gpgHome) newKey(name string) string {
	h.t.Helper()
	h.command("", "", "gpg", "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase=", "--quick-gen-key", name+" <"+name+"@example.org>", "rsa3072", "sign", "never")
	for line := range strings.Lines(h.command("", "", "gpg", "--list-keys", "--with-colons", name)) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9]
		}
	}
	h.t.Fatal("gpg has no fingerprint for the new key")
	return ""
}

func (h *gpgHome) export(key string) string {
	return h.command("", "", "gpg", "--export", "--armor", key)
}

// A builder makes packages and databases with the tools of pacman.
type builder struct {
	*gpgHome
	key, dir string
}

// build writes a signed package that consists of one file.
func (b *builder) build(name, version string) string {
	b.t.Helper()
	var buf bytes.Buffer
	zw, err := zstd.NewWriter(&buf)
	if err != nil {
		b.t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	payload := randomBytes(name+version, 30_000)
	for _, f := range []struct{ name, text string }{
		{".PKGINFO", fmt.Sprintf("pkgname = %s\npkgver = %s\npkgdesc = a package\nurl = https://example.org/\nbuilddate = 1700000000\npackager = nobody\nsize = %d\narch = x86_64\nlicense = ISC\n", name, version, len(payload))},
		{"usr/share/" + name, string(payload)},
	} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
			b.t.Fatal(err)
		}
		if _, err := tw.Write([]byte(f.text)); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		b.t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		b.t.Fatal(err)
	}
	file := name + "-" + version + "-x86_64.pkg.tar.zst"
	if err := os.WriteFile(filepath.Join(b.dir, file), buf.Bytes(), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.sign(file)
	return file
}

func (b *builder) sign(file string) {
	b.t.Helper()
	b.command(b.dir, "", "gpg", "--batch", "--yes", "--quiet", "-u", b.key, "--detach-sign", "--no-armor", file)
}

// add adds packages to a signed database.
func (b *builder) add(repo string, files ...string) {
	b.t.Helper()
	b.command(b.dir, "", "repo-add", append([]string{"--quiet", "--sign", "--key", b.key, repo + ".db.tar.gz"}, files...)...)
}

// release returns the directory as files of an upstream.
func (b *builder) release(prefix, lastUpdate string) map[string][]byte {
	b.t.Helper()
	files := map[string][]byte{"/lastupdate": []byte(lastUpdate)}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if files[prefix+e.Name()], err = os.ReadFile(filepath.Join(b.dir, e.Name())); err != nil {
			b.t.Fatal(err)
		}
	}
	return files
}

// A pacClient is pacman with directories, keys and a configuration of its own.
type pacClient struct {
	*gpgHome
	dir, conf string
}

// newPacClient trusts key and takes packages from server only. Both databases
// and packages must be signed.
func newPacClient(t *testing.T, server, repo, key, public string) *pacClient {
	t.Helper()
	c := &pacClient{gpgHome: newGPGHome(t), dir: t.TempDir()}
	// libalpm looks for these names, which gpg uses when they are there.
	for _, name := range []string{"pubring.gpg", "trustdb.gpg"} {
		if err := os.WriteFile(filepath.Join(c.gpgHome.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(c.gpgHome.dir, "trustdb.gpg")); err != nil {
		t.Fatal(err)
	}
	c.command("", public, "gpg", "--batch", "--quiet", "--import")
	c.command("", key+":6:\n", "gpg", "--batch", "--quiet", "--import-ownertrust")
	for _, d := range []string{"root", "db", "cache", "hooks"} {
		if err := os.Mkdir(filepath.Join(c.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.conf = filepath.Join(c.dir, "pacman.conf")
	text := fmt.Sprintf(`[options]
RootDir = %[1]s/root/
DBPath = %[1]s/db/
CacheDir = %[1]s/cache/
GPGDir = %[2]s/
HookDir = %[1]s/hooks/
LogFile = %[1]s/log
Architecture = x86_64
SigLevel = Required DatabaseRequired
[%[3]s]
Server = %[4]s/$repo/os/$arch
`, c.dir, c.gpgHome.dir, repo, server)
	if err := os.WriteFile(c.conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

// pacman runs the real client. It works in t.TempDir, where it finds no
// configuration but ours.
func (c *pacClient) pacman(args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), "pacman", append([]string{"--config", c.conf, "--noconfirm", "--noprogressbar"}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// download refreshes the database, downloads everything that it names into an
// empty cache, and returns what that has.
func (c *pacClient) download(names ...string) []string {
	c.t.Helper()
	if out, err := c.pacman("-Syy"); err != nil {
		c.t.Fatalf("pacman -Syy: %v\n%s", err, out)
	}
	cache := filepath.Join(c.dir, "cache")
	if err := errors.Join(os.RemoveAll(cache), os.Mkdir(cache, 0o755)); err != nil {
		c.t.Fatal(err)
	}
	if out, err := c.pacman(append([]string{"-Sw"}, names...)...); err != nil {
		c.t.Fatalf("pacman -Sw %s: %v\n%s", names, err, out)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		c.t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sig") {
			files = append(files, e.Name())
		}
	}
	return files
}

// TestPacmanItself has pacman download and verify from an archive and a server of ours,
// with signatures required, before, during and after a change of the upstream.
func TestPacmanItself(t *testing.T) {
	t.Parallel()
	needPacman(t)
	keys := newGPGHome(t)
	key := keys.newKey("packager")
	stranger := keys.newKey("stranger")
	b := &builder{keys, key, t.TempDir()}
	u := newPacUpstream(t)
	keyring := filepath.Join(t.TempDir(), "keyring.asc")
	if err := os.WriteFile(keyring, []byte(keys.export(key)), 0o644); err != nil {
		t.Fatal(err)
	}
	m := newPacMirror(t, u, "--repo=pacman:"+u.URL+"/$repo/os/$arch?repo=tools", "--keyring="+keyring)
	srv := startServing(t, m.command("serve", "--listen", "127.0.0.1:0"))
	c := newPacClient(t, srv.url(""), "tools", key, keys.export(key))
	want := func(when string, got []string, files ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(files) {
			t.Errorf("%s: pacman downloaded %v, want %v", when, got, files)
		}
	}
	const prefix = "/tools/os/x86_64/"

	a1, b1 := b.build("alpha", "1-1"), b.build("beta", "1:1.0-1")
	b.add("tools", a1, b1)
	first := b.release(prefix, "1")
	u.set(first)
	m.mirror(0)
	want("before", c.download("alpha", "beta"), a1, b1)

	// The change is under way: its databases are there, one package is not.
	a2, c1 := b.build("alpha", "2-1"), b.build("gamma", "1-1")
	b.add("tools", a2, c1)
	second := b.release(prefix, "2")
	half := b.release(prefix, "2")
	delete(half, prefix+a2)
	u.set(half)
	m.mirror(1)
	want("during", c.download("alpha", "beta"), a1, b1)

	u.set(second)
	m.distkeep(0, "failures", "--retry", a2)
	m.mirror(0)
	want("after", c.download("alpha", "beta", "gamma"), a2, b1, c1)
	if out, err := c.pacman("-Fy"); err != nil {
		t.Errorf("pacman -Fy: %v\n%s", err, out)
	}

	// A database that is not signed by anybody we know: the old one stays.
	forged := &builder{keys, stranger, b.dir}
	d1 := b.build("delta", "1-1")
	forged.add("tools", d1)
	u.set(b.release(prefix, "3"))
	if out := m.mirror(4); !strings.Contains(out, "tools/os/x86_64: tools.db: signed by no key of the keyring; the databases of the last run are used") {
		t.Errorf("a database signed by a stranger:\n%s", out)
	}
	want("with a forged database", c.download("alpha", "beta", "gamma"), a2, b1, c1)

	// A package that is not, in a database that is.
	e1 := forged.build("epsilon", "1-1")
	b.add("tools", e1)
	u.set(b.release(prefix, "4"))
	if out := m.mirror(1); !strings.Contains(out, "tools.db is held back: epsilon-1-1-x86_64.pkg.tar.zst: signature of") {
		t.Errorf("a package signed by a stranger:\n%s", out)
	}
	want("with a forged package", c.download("alpha", "beta", "gamma"), a2, b1, c1)

	// An archive that had no keyring so far finds it by the first one.
	later := newPacMirror(t, u, "--repo=pacman:"+u.URL+"?repo=tools")
	later.mirror(0)
	if out := later.mirror(1, "--keyring="+keyring); !strings.Contains(out, "tools.db is held back: epsilon-1-1-x86_64.pkg.tar.zst: signature of") {
		t.Errorf("a keyring that comes later:\n%s", out)
	}

	b.sign(e1)
	b.add("tools", e1)
	u.set(b.release(prefix, "5"))
	m.mirror(0)
	want("at last", c.download("alpha", "beta", "gamma", "delta", "epsilon"), a2, b1, d1, e1, c1)

	// An archive downstream gets the packages, and no database that would name others.
	_, port, _ := net.SplitHostPort(srv.addr)
	down := newPacMirror(t, u)
	down.distkeep(0, "pull", "--allow-port", port, srv.url("/"))
	for name, there := range map[string]bool{a2: true, e1: true, "tools.db": false, prefix: false} {
		if _, err := os.Lstat(filepath.Join(down.archive, "distfiles", name)); (err == nil) != there {
			t.Errorf("downstream has %s: %v", name, err)
		}
	}
}
