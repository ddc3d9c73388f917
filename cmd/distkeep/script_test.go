package main

import (
	"crypto/md5"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"distkeep/catalog/digest"
)

// nowVar is the clock of the program under test. The program itself does not
// know it.
const nowVar = "DISTKEEP_TEST_NOW"

// The race detector lets a process sleep for a second before it exits. That
// would be most of the time of tests that run some thousand of them.
const raceVar, raceOptions = "GORACE", "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	os.Setenv(raceVar, raceOptions)
	cli.HelpFlag, cli.VersionFlag = ownFlag{cli.HelpFlag.(*cli.BoolFlag)}, ownFlag{cli.VersionFlag.(*cli.BoolFlag)}
	if user := os.Getenv(modelUserVar); user != "" {
		becomeUser(user)
		os.Exit(m.Run())
	}
	testscript.Main(suite{m}, programs)
}

// An ownFlag is an option that several programs of one process may parse at once:
// the library writes to the ones that it shares.
type ownFlag struct{ *cli.BoolFlag }

func (h ownFlag) Apply(set *flag.FlagSet) error {
	own := *h.BoolFlag
	return own.Apply(set)
}

// testClock is the clock that the environment sets, or the real one.
func testClock() func() time.Time {
	text := os.Getenv(nowVar)
	if text == "" {
		return time.Now
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return t }
}

// TestScript runs the program as its users do. Each script has a directory www
// that $WWW serves and that counts what is asked for (see requests), and the
// commands pkg, requests, exits, at, age and samefile, and those of moreCmds.
func TestScript(t *testing.T) {
	t.Parallel()
	dir := "../../testdata/script"
	if files, err := filepath.Glob(dir + "/*.txtar"); err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	cmds := maps.Clone(moreCmds)
	maps.Copy(cmds, map[string]func(*testscript.TestScript, bool, []string){
		"pkg":      cmdPkg,
		"requests": cmdRequests,
		"at":       cmdAt,
		"samefile": cmdSameFile,
		"age":      cmdAge,
		"exits":    cmdExits,
	})
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		WorkdirRoot:         inMemory(t),
		Setup:               setupScript,
		Cmds:                cmds,
		Condition:           condition,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
	})
}

// condition knows [root]: only root can give a file to somebody else.
func condition(name string) (bool, error) {
	if name != "root" {
		return false, fmt.Errorf("there is no condition %q", name)
	}
	return os.Geteuid() == 0, nil
}

func setupScript(e *testscript.Env) error {
	www := filepath.Join(e.WorkDir, "www")
	if err := os.MkdirAll(www, 0o755); err != nil {
		return err
	}
	h := newHolds()
	e.Values[holdsKey{}], e.Values[snapshotsKey{}] = h, make(snapshots)
	files := h.wrap(http.FileServer(http.Dir(www)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log, err := os.OpenFile(filepath.Join(e.WorkDir, "requests"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer log.Close()
		fmt.Fprintln(log, r.Method, r.URL.RequestURI(), r.Header.Get("Range"))
		files.ServeHTTP(w, r)
	}))
	e.Defer(srv.Close)
	e.Setenv("WWW", srv.URL)
	e.Setenv(raceVar, raceOptions)
	e.Setenv(nowVar, "2026-01-02T03:00:00Z")
	e.Setenv("DISTKEEP_ARCHIVE", "archive")
	e.Setenv("DISTKEEP_ALLOW_PRIVATE", "true")
	e.Setenv("DISTKEEP_ALLOW_PORT", srv.URL[strings.LastIndexByte(srv.URL, ':')+1:])
	setupS3(e)
	setupProgram(e)
	return nil
}

// exits STATUS PROGRAM [ARGS...] runs a program as exec does and checks its exit
// status. distkeep runs in one process with the others of the script.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARGS...]")
	}
	status := 0
	if programs[args[1]] != nil {
		status = ts.Value(programKey{}).(*scriptProgram).run(ts, args[1:])
	} else if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		status = exit.ExitCode()
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status is %d, want %s", status, args[0])
	}
}

// at TIME sets the clock of the program.
func cmdAt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: at TIME")
	}
	if _, err := time.Parse(time.RFC3339, args[0]); err != nil {
		ts.Fatalf("%v", err)
	}
	ts.Setenv(nowVar, args[0])
}

// age FILE TIME sets the modification time of a file.
func cmdAge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: age FILE TIME")
	}
	t, err := time.Parse(time.RFC3339, args[1])
	ts.Check(err)
	ts.Check(os.Chtimes(ts.MkAbs(args[0]), t, t))
}

// requests WANT... compares the requests that $WWW got since the last call with
// WANT (method, URI and range), in any order; without arguments there must be
// none.
func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	file := ts.MkAbs("requests")
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		ts.Fatalf("%v", err)
	}
	if err == nil {
		ts.Check(os.Remove(file))
	}
	lines := strings.Split(strings.ReplaceAll(string(text), " \n", "\n"), "\n")
	slices.Sort(lines)
	slices.Sort(args)
	got := strings.TrimSpace(strings.Join(lines, "\n"))
	if want := strings.Join(args, "\n"); (got == want) == neg {
		ts.Fatalf("requests were:\n%s\nwant:\n%s", got, want)
	}
}

// samefile A B checks that two paths are one inode.
func cmdSameFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: samefile A B")
	}
	a, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if os.SameFile(a, b) == neg {
		ts.Fatalf("same inode: %v", !neg)
	}
}

// pkg TREE CATEGORY/NAME-VERSION [KEY=VALUE...] WORD... adds a package to a
// gentoo tree: ebuild, cache entry and Manifest. The words are its SRC_URI. The
// digests of a file are those of www/PATH for a URI below $WWW, and of
// dist/NAME for any other; a file that is not there has no DIST line.
func cmdPkg(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pkg TREE CATEGORY/NAME-VERSION [KEY=VALUE...] URI...")
	}
	tree, cpv, words := ts.MkAbs(args[0]), args[1], args[2:]
	keys := map[string]string{"EAPI": "8"}
	for len(words) > 0 && strings.Contains(words[0], "=") && !strings.Contains(words[0], ":") {
		k, v, _ := strings.Cut(words[0], "=")
		keys[k], words = v, words[1:]
	}
	keys["SRC_URI"] = strings.Join(words, " ")
	category, pf := path.Split(cpv)
	category = strings.TrimSuffix(category, "/")
	pn := pf[:strings.LastIndexByte(pf, '-')]
	// Only the cache entry says what it wants.
	ebuild := []byte("# " + cpv + "\ninherit nowhere\n")
	dir := filepath.Join(tree, category, pn)
	cache := filepath.Join(tree, "metadata", "md5-cache", category)
	for _, d := range []string{dir, cache, filepath.Join(tree, "profiles")} {
		ts.Check(os.MkdirAll(d, 0o755))
	}
	name := filepath.Join(tree, "profiles", "repo_name")
	if _, err := os.Stat(name); err != nil {
		ts.Check(os.WriteFile(name, []byte(filepath.Base(tree)+"\n"), 0o644))
	}
	appendLine(ts, filepath.Join(tree, "profiles", "categories"), category)
	ts.Check(os.WriteFile(filepath.Join(dir, pf+".ebuild"), ebuild, 0o644))
	var entry strings.Builder
	for k, v := range keys {
		fmt.Fprintf(&entry, "%s=%s\n", k, v)
	}
	fmt.Fprintf(&entry, "_md5_=%x\n", md5.Sum(ebuild))
	ts.Check(os.WriteFile(filepath.Join(cache, pf), []byte(entry.String()), 0o644))
	for _, line := range distLines(ts, words) {
		appendLine(ts, filepath.Join(dir, "Manifest"), line)
	}
}

// distLines makes the DIST lines for a SRC_URI.
func distLines(ts *testscript.TestScript, words []string) (lines []string) {
	for i, w := range words {
		if w == "->" || i > 0 && words[i-1] == "->" || strings.HasSuffix(w, "?") || w == "(" || w == ")" {
			continue
		}
		name := path.Base(w)
		file := ts.MkAbs(filepath.Join("dist", name))
		if rest, ok := strings.CutPrefix(w, ts.Getenv("WWW")+"/"); ok {
			file = ts.MkAbs(filepath.Join("www", rest))
		}
		if i+2 < len(words) && words[i+1] == "->" {
			name = words[i+2]
			if !strings.HasPrefix(w, ts.Getenv("WWW")+"/") {
				file = ts.MkAbs(filepath.Join("dist", name))
			}
		}
		data, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		ts.Check(err)
		lines = append(lines, fmt.Sprintf("DIST %s %d BLAKE2B %s SHA512 %s", name, len(data), digest.BLAKE2B.Sum(data).Hex(), digest.SHA512.Sum(data).Hex()))
	}
	return lines
}

func appendLine(ts *testscript.TestScript, file, line string) {
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		ts.Fatalf("%v", err)
	}
	if strings.Contains("\n"+string(old), "\n"+line+"\n") {
		return
	}
	ts.Check(os.WriteFile(file, append(old, line+"\n"...), 0o644))
}
