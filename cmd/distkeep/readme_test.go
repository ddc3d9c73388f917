package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"distkeep/whitelist"

	"distkeep/archive/serve"
)

// readme is the text of README.md.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the fenced blocks of one language.
func blocks(t *testing.T, text, language string) (found []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("README.md has no block of %s", language)
	}
	return found
}

// words splits a command line at blanks outside quotes, of which single ones
// keep a shell from what looks like its variables.
func words(t *testing.T, line string) (ws []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		if strings.ContainsAny(m[1]+m[3], "$?*&") {
			t.Errorf("a shell does not leave %q as it is: %s", m[0], line)
		}
		ws = append(ws, m[1]+m[2]+m[3])
	}
	return ws
}

// A stage is a directory in which the commands of README.md and of help are run: the
// paths that they name are below it, and the hosts are on this machine.
type stage struct {
	root     string
	hosts    *strings.Replacer
	fetching []string
	now      func() time.Time
}

func newStage(t *testing.T, now func() time.Time) *stage {
	t.Helper()
	s := &stage{root: inMemory(t), now: now}
	w := newWorld(t, 2)
	for _, d := range []string{"srv/distfiles-local", "usr/ports", "srv/gentoo/distfiles", "var/db/repos", "etc", "srv/recycle", "srv/dpb", "srv/gentoo/tmp", "srv/old/distfiles"} {
		if err := os.MkdirAll(filepath.Join(s.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(w.tree, filepath.Join(s.root, "var/db/repos/gentoo")); err != nil {
		t.Fatal(err)
	}
	lists := listUpstream(t, s.root)
	u, keyring := signedUpstream(t)
	for name, text := range map[string]string{
		"srv/packagers.gpg": string(keyring),
		// A port without distfiles: what is shown is how the dump is given.
		"srv/dump-vars.txt":    "===> misc/a\nmisc/a.PERMIT_DISTFILES_FTP=Yes\n",
		"srv/gentoo/whitelist": blocks(t, readme(t), "whitelist")[0],
		"srv/clocks.txt":       "deletion\tfoo-1.0.tar.xz\t1700000000\nend\t1\n",
		"srv/dpb/history":      "1300000000 SHA256 (foo-1.0.tar.xz) = " + strings.Repeat("0", 64) + "\n",
		"srv/dpb/distinfo":     "SHA256 (foo-1.0.tar.xz) = " + strings.Repeat("0", 64) + "\n",
		"etc/distkeep.toml":    blocks(t, readme(t), "toml")[0],
	} {
		if err := os.WriteFile(filepath.Join(s.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	peer := upstreamArchive(t, w, filepath.Join(s.root, "srv/distfiles.example.org.pub"))
	port := func(base string) string { return base[strings.LastIndexByte(base, ':')+1:] }
	s.fetching = append(w.mirror("")[len(w.mirror(""))-5:], "--allow-port", port(u.URL), "--allow-port", port(lists.URL), "--allow-port", port(peer.URL))
	s.hosts = strings.NewReplacer("https://packages.example.org/", u.URL+"/", "https://cdimage.example.org/", lists.URL+"/",
		"https://distfiles.example.org/", peer.URL+"/", "https://distcache.example.org/", lists.URL+"/", "https://guix.example.org/", lists.URL+"/",
		"foo-1.0.tar.xz", "package00000-part0-1.0.tar.xz")
	return s
}

// upstreamArchive serves an archive of w that is signed, and writes the key that it is
// to be trusted by to the file public.
func upstreamArchive(t *testing.T, w *world, public string) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "key")
	key, err := generateKey("distfiles.example.org", secret)
	if err == nil {
		err = os.WriteFile(public, []byte(key+"\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "--archive", dir}, append(w.mirror(dir), "--sign-key", secret)} {
		var errs strings.Builder
		e := &env{args: append([]string{"distkeep"}, args...), stdin: strings.NewReader(""), stdout: io.Discard, stderr: &errs, now: time.Now}
		if status := e.run(); status != 0 {
			t.Fatalf("%v: status %d: %s", args, status, errs.String())
		}
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(srv.Close)
	return srv
}

// run runs a command line, which must end well and warn of nothing.
func (s *stage) run(t *testing.T, line string) {
	t.Helper()
	args := words(t, line)
	for i, a := range args {
		args[i] = regexp.MustCompile(`(^|[:=])/(srv|var|usr|etc)/`).ReplaceAllString(a, "${1}"+s.root+"/${2}/")
		args[i] = s.hosts.Replace(args[i])
	}
	switch args[1] {
	case "mirror":
		args = append(args, s.fetching...)
	case "pull":
		args = slices.Concat(args[:2], s.fetching, args[2:])
	case "serve":
		checkServing(t, args[1:])
		return
	}
	var out, errs strings.Builder
	var status int
	if args[1] == emirrordistName {
		status = s.emirrordist(t, args, &out, &errs)
	} else {
		status = (&env{args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: s.now}).run()
	}
	if status != 0 || strings.Contains(errs.String(), "distkeep: warn") {
		t.Errorf("%s\nstatus %d\n%s%s", line, status, out.String(), errs.String())
	}
}

// emirrordist runs a command line of emirrordist. It takes repositories, and how
// mirror is to fetch, out of the environment: it needs a process of its own.
func (s *stage) emirrordist(t *testing.T, args []string, out, errs io.Writer) int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args, cmd.Stdout, cmd.Stderr = args, out, errs
	var ports []string
	for i, a := range s.fetching[:len(s.fetching)-1] {
		if a == "--allow-port" {
			ports = append(ports, s.fetching[i+1])
		}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DISTKEEP_ALLOW_PRIVATE=true", "DISTKEEP_ALLOW_PORT=" + strings.Join(ports, " "),
		"PORTAGE_REPOSITORIES=[gentoo]\nlocation = " + filepath.Join(s.root, "var/db/repos/gentoo")}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// TestExamples runs the examples of the help of all commands.
func TestExamples(t *testing.T) {
	t.Parallel()
	s := newStage(t, func() time.Time { return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC) })
	quarantine := filepath.Join(s.root, "srv/mirror/state/quarantine")
	if err := os.MkdirAll(quarantine, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.tar.xz", "2.zip", "3.tar.xz", "4.zip"} {
		if err := os.WriteFile(filepath.Join(quarantine, "replaced.bad-"+name+".0"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range examples {
		for _, line := range x.lines {
			s.run(t, line)
		}
	}
}

// TestReadmeCommands runs every command of README.md, in its order.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t, time.Now)
	var lines []string
	for _, b := range blocks(t, readme(t), "sh") {
		lines = append(lines, strings.Split(strings.TrimSpace(b), "\n")...)
	}
	// The examples of dpb begin with an archive that was made "in the same way".
	lines = slices.Insert(lines, 0, "distkeep init --archive /srv/ports")
	for _, line := range lines {
		s.run(t, line)
	}
	for _, f := range []string{
		"srv/mirror/distfiles/layout.conf", "srv/gentoo/distfiles/distinfo", "srv/old/distfiles/distinfo", "srv/success.log", "srv/deletion.log",
		"srv/all/distfiles/core/os/x86_64/core.db.sig", "srv/all/distfiles/extra/os/x86_64/b-1-1-any.pkg.tar.zst.sig",
		"srv/all/distfiles/arm/aarch64/core/core.files", "srv/all/distfiles/package00000-part0-1.0.tar.xz",
		"srv/iso/distfiles/list-image.iso", "srv/all/distfiles/list-port.tgz", "srv/all/distfiles/list-company.tgz",
		"srv/all/distfiles/by_cipher/sha256/*/*/list-guix.tgz",
	} {
		if found, err := filepath.Glob(filepath.Join(s.root, f)); err != nil || len(found) != 1 {
			t.Errorf("the commands of README.md did not make %s", f)
		}
	}
	checkWayBack(t, filepath.Join(s.root, "srv/mirror/distfiles"))
}

// checkWayBack checks that the whitelist of README.md has exactly the files that an
// archive has beside its distfiles, where emirrordist looks for distfiles.
func checkWayBack(t *testing.T, published string) {
	t.Helper()
	es, err := whitelist.Parse("README.md", strings.NewReader(blocks(t, readme(t), "whitelist")[0]))
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[string]bool)
	for _, e := range es {
		kept[string(e.Name)] = true
	}
	left, err := os.ReadDir(published)
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]bool)
	for _, e := range left {
		if e.Type().IsRegular() && !strings.Contains(e.Name(), ".tar.") {
			ours[e.Name()] = true
		}
	}
	ours["history"] = true // of an archive that has had a deletion
	if !maps.Equal(kept, ours) {
		t.Errorf("README.md whitelists %v, an archive has %v", slices.Sorted(maps.Keys(kept)), slices.Sorted(maps.Keys(ours)))
	}
}

// checkServing runs a serve of README.md and stops it.
func checkServing(t *testing.T, args []string) {
	t.Helper()
	for i, a := range args {
		args[i] = regexp.MustCompile(`^[\d.]*:(8080|443)$`).ReplaceAllString(a, "127.0.0.1:0")
	}
	srv := startServing(t, exec.Command("distkeep", args...))
	if text, status := srv.get("/healthz"); status != http.StatusOK {
		t.Errorf("%v: %d %s", args, status, text)
	}
	if status := srv.stop(); status != 0 {
		t.Errorf("%v: status %d", args, status)
	}
}

// TestReadmeDialects: README.md tells of every dialect.
func TestReadmeDialects(t *testing.T) {
	t.Parallel()
	for _, d := range serve.Dialects() {
		if row := "| `" + d.Form + "` | " + d.Clients + " |"; !strings.Contains(readme(t), row) {
			t.Errorf("README.md has no row %s", row)
		}
	}
}

// TestReadmeFlags: every option that README.md names exists.
func TestReadmeFlags(t *testing.T) {
	t.Parallel()
	text := readme(t)
	known := knownFlags(newApp(&env{}).Commands)
	for _, o := range oldOptions {
		known[o.long] = true
	}
	for _, other := range []string{"update", "timeout", "delete-delay", "now", "clearsign"} { // of other programs
		known[other] = true
	}
	for _, m := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
		if !known[m[1]] {
			t.Errorf("README.md names --%s, which no command has", m[1])
		}
	}
	for _, b := range blocks(t, text, "toml") {
		var values map[string]any
		if _, err := toml.Decode(b, &values); err != nil {
			t.Error(err)
		}
		for key := range values {
			if !known[key] {
				t.Errorf("README.md configures %s, which no command has", key)
			}
		}
	}
}

// TestReadmeStatuses: README.md and the help texts tell the same statuses.
func TestReadmeStatuses(t *testing.T) {
	t.Parallel()
	inReadme := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\| (\d[\d, ]*) \|`).FindAllStringSubmatch(readme(t), -1) {
		for _, s := range regexp.MustCompile(`\d+`).FindAllString(m[1], -1) {
			inReadme[s] = true
		}
	}
	inHelp := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)(?:^   |SIG\w+, )(\d+) `).FindAllStringSubmatch(exitHelp, -1) {
		inHelp[m[1]] = true
	}
	if a, b := slices.Sorted(maps.Keys(inReadme)), slices.Sorted(maps.Keys(inHelp)); !slices.Equal(a, b) || len(a) != 10 {
		t.Errorf("README.md has the statuses %v, the help texts have %v", a, b)
	}
}

// TestReadmeCron runs the lines for cron with a program that ends in every way: what
// mails is what somebody has to look at.
func TestReadmeCron(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, b := range blocks(t, readme(t), "crontab") {
		lines = append(lines, strings.Split(strings.TrimSpace(b), "\n")...)
	}
	if len(lines) != 2 {
		t.Fatalf("README.md has %d lines for cron", len(lines))
	}
	dir := t.TempDir()
	for i, mails := range []map[int]bool{
		{0: false, 1: true, 2: true, 3: false, 4: false, 5: true, 75: false},
		{0: false, 1: true, 2: true, 3: true},
	} {
		fields := strings.SplitN(lines[i], " ", 7)
		for status, mail := range mails {
			program := filepath.Join(dir, fmt.Sprintf("distkeep%d-%d", i, status))
			if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\necho summary of \"$@\"\nexit %d\n", status), 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("/bin/sh", "-c", strings.ReplaceAll(fields[6], "/usr/local/bin/distkeep", program)).CombinedOutput()
			if err != nil || (len(out) > 0) != mail {
				t.Errorf("%s\nstatus %d: %v, mails %q", lines[i], status, err, out)
			}
		}
	}
}
