package openbsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"distkeep/catalog"
)

func TestSplitVar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"archivers/arc.DISTFILES=a b", "archivers/arc|DISTFILES|a b"},
		{"devel/autoconf/2.13.SUBPACKAGE=-", "devel/autoconf/2.13|SUBPACKAGE|-"},
		{"databases/luadbi,-main,lua52.SUBPACKAGE=-", "databases/luadbi,-main,lua52|SUBPACKAGE|-"},
		{"editors/calligra-l10n/ca@valencia.X=", "editors/calligra-l10n/ca@valencia|X|"},
		{"x/a.MASTER_SITES0=http://h/?a.B=c", "x/a|MASTER_SITES0|http://h/?a.B=c"},
		{"x/a.BROKEN-arm=why", "x/a|BROKEN-arm|why"},
		{"x/a.DISTFILES.github=f", "x/a|DISTFILES.github|f"},
		{"x/a.SITES.gh-x_2=f", "x/a|SITES.gh-x_2|f"},
		{"x/a.B.c/d.X=f", "x/a.B.c/d|X|f"},
		{"x/a.B.DISTFILES=f", "x/a.B|DISTFILES|f"},
		{"x/a.ABC-1.2.DISTFILES=f", "x/a.ABC-1.2|DISTFILES|f"},
		{"x/a._X=f", ""},
		{"x/a.x=f", ""},
		{"x/a.HOMEPAGE.github=f", ""},
		{"a.DISTFILES=f", ""},
		{"/a.DISTFILES=f", ""},
		{"make: x/a.DISTFILES=f", ""},
		{"x/a.DISTFILES f", ""},
		{"x/a.=f", ""},
		{"", ""},
	} {
		pkg, name, value, ok := splitVar([]byte(c.line))
		got := fmt.Sprintf("%s|%s|%s", pkg, name, value)
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("splitVar(%q) = %q, want %q", c.line, got, c.want)
		}
	}
}

func TestDumpLimits(t *testing.T) {
	t.Parallel()
	long := "x/a.DISTFILES=" + strings.Repeat("f ", maxDumpLine/2)
	for _, c := range []struct{ name, in, want string }{
		{"long", long + "\nx/b.SUBPACKAGE=-\n", "dump:1: line is longer than 1048576 bytes; what it says is not known"},
		{"as long as may be", "x/a.D=" + strings.Repeat("f", maxDumpLine-len("x/a.D=")) + "\n", ""},
		{"cut", "x/a.SUBPACKAGE=-\nx/b.DISTFILES=a", "dump:2: dump ends in the middle of a line; make it again"},
		{"cut at a line", "x/a.SUBPACKAGE=-\n===> x/b\n", "dump:2: x/b: make printed nothing for this entry: its distfiles are not known"},
		{"terminal escapes", "===> Exiting x/\x1b[2J with an error\n", `dump:1: "x/\x1b[2J": make failed in the port: its distfiles are not known; run make dump-vars there`},
		{"category of skipped ports", "===> x\n===> x/b skipped\nx/c.SUBPACKAGE=-\n", ""},
		{"category without a port", "===> x\n===> y\ny/c.SUBPACKAGE=-\n", "dump:1: x: make printed nothing for this entry: its distfiles are not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDump("dump")
			if err := d.read(t.Context(), strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range d.problems.list {
				got = append(got, p.Error())
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("problems = %q, want %q", got, c.want)
			}
		})
	}
}

// TestManyProblems gives a dump of failures only, as a hostile one might be.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range maxProblems + 100 {
		fmt.Fprintf(&b, "===> Exiting x/p%d with an error\n", i)
	}
	d := newDump("dump")
	if err := d.read(t.Context(), strings.NewReader(b.String())); err != nil {
		t.Fatal(err)
	}
	if n := len(d.problems.list); n != maxProblems+1 {
		t.Errorf("%d problems, want %d and one that says so", n, maxProblems)
	}
}

// TestManyFiles checks the limits of one port, and of one file of many ports.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("x/a.DISTFILES=")
	for i := range maxFiles + 1 {
		fmt.Fprintf(&b, " f%d", i)
	}
	for _, port := range []string{"x/b", "x/c"} {
		fmt.Fprintf(&b, "\n%s.DISTFILES=f0\n%[1]s.MASTER_SITES=", port)
		for i := range maxSites + 1 {
			fmt.Fprintf(&b, " https://%s%d.example/", port, i)
		}
	}
	b.WriteString("\n")
	s, err := scan(t, t.TempDir(), Options{Dump: "-", Stdin: strings.NewReader(b.String())})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Distfiles) != maxFiles {
		t.Errorf("%d distfiles, want %d", len(s.Distfiles), maxFiles)
	}
	if d := s.Distfiles[0]; len(d.Owners) != 3 || len(d.Sources) != maxSites {
		t.Errorf("%d owners and %d sources, want 3 and %d", len(d.Owners), len(d.Sources), maxSites)
	}
	for _, want := range []string{"more than 16384 distfiles", "MASTER_SITES has more than 64 sites"} {
		if !slices.ContainsFunc(s.Problems, func(p catalog.Problem) bool { return strings.Contains(p.Msg, want) }) {
			t.Errorf("no problem %q", want)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), nil)
	for _, c := range []struct {
		path string
		o    Options
		want string
	}{
		{dir, Options{}, "neither a dump nor a command"},
		{dir, Options{Dump: "x", Command: []string{"make"}}, "both a dump and a command"},
		{dir, Options{Dump: "-"}, "standard input"},
		{dir, Options{Dump: "x", Root: "ports"}, "PORTSDIR ports is not absolute"},
		{dir, Options{Dump: "x", BackupSites: []string{"host/dir"}}, `backup site "host/dir" is not a URL`},
		{filepath.Join(dir, "none"), Options{Dump: "x"}, "no such file"},
		{filepath.Join(dir, "file"), Options{Dump: "x"}, "is not a directory"},
	} {
		if _, err := Open(c.path, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%+v): error = %v, want %q", c.o, err, c.want)
		}
	}
	r, err := Open(dir, Options{Dump: filepath.Join(dir, "none"), Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Name() != "openbsd" || r.Kind() != catalog.OpenBSD || !r.Partial() {
		t.Errorf("name %s, kind %s, partial %t", r.Name(), r.Kind(), r.Partial())
	}
	if _, err := r.Scan(t.Context()); err == nil || !strings.Contains(err.Error(), "repository openbsd: open ") {
		t.Errorf("error = %v, want one about the dump", err)
	}
}

// TestDistinfoBelowPath finds a distinfo by its real path, whatever PORTSDIR,
// but none that a symbolic link leads out to, and does not wait for a pipe.
func TestDistinfoBelowPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "ports")
	write(t, filepath.Join(path, "x/a/distinfo"), []byte("SHA256 (a) = k3grJzHlOZk29fOxYLcqXYNoj3xYDNalsybtq2l1BQM=\nSIZE (a) = 1\n"))
	write(t, filepath.Join(dir, "outside"), []byte("SIZE (b) = 1\n"))
	if err := os.Symlink("../../outside", filepath.Join(path, "x/link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(path, "x/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := fmt.Sprintf("x/a.DISTFILES=a\nx/a.CHECKSUM_FILE=%s/x/a/distinfo\n"+
		"x/b.DISTFILES=b\nx/b.CHECKSUM_FILE=%[1]s/x/link\n"+
		"x/c.DISTFILES=c\nx/c.CHECKSUM_FILE=%[1]s/x/pipe\n", path)
	got := scanText(t, path, Options{Dump: "-", Stdin: strings.NewReader(in)})
	want := `openbsd openbsd packages=3 unreferenced=0
a 1 SHA256 k3grJzHlOZk29fOxYLcqXYNoj3xYDNalsybtq2l1BQM=
	owner x/a::openbsd
b -1
	owner x/b::openbsd
c -1
	owner x/c::openbsd
problem in openbsd: x/link: x/b: distinfo cannot be read: path escapes from parent
problem in openbsd: x/pipe: x/c: distinfo cannot be read: not a regular file
`
	if diff := gocmp.Diff(want, strings.ReplaceAll(got, path+"/", "")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	dir := t.TempDir()
	write(t, filepath.Join(dir, "dump"), []byte("===> x/a\nx/a.SUBPACKAGE=-\n"))
	for _, c := range []struct {
		name    string
		command []string
		want    string
	}{
		{"good", sh("cat dump"), "openbsd openbsd packages=1 unreferenced=0\n"},
		{"noisy", sh("echo noise >&2; echo '===> x/b' >&2; cat dump"), "openbsd openbsd packages=1 unreferenced=0\n"},
		{
			"port fails", sh("cat dump; echo '===> Exiting x/b with an error' >&2"),
			"openbsd openbsd packages=1 unreferenced=0\n" +
				"problem in openbsd: output of COMMAND: x/b: make failed in the port: its distfiles are not known; run make dump-vars there\n",
		},
		{
			"fails at the end", sh("cat dump; echo one >&2; printf two >&2; exit 3"),
			"openbsd openbsd packages=1 unreferenced=0\n" +
				"problem in openbsd: output of COMMAND: command failed: exit status 3: one; two\n",
		},
		{
			"fails at once", sh("echo no rule >&2; exit 2"),
			"error: repository openbsd: output of COMMAND: no output of make dump-vars: no line FULLPKGPATH.VARIABLE=value in it; " +
				"first problem: output of COMMAND: command failed: exit status 2: no rule\n",
		},
		{"not there", []string{"./none"}, "error: repository openbsd: fork/exec ./none: no such file or directory\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := scanText(t, dir, Options{Command: c.command})
			got = strings.ReplaceAll(got, "output of "+strings.Join(c.command, " "), "output of COMMAND")
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestCommandCancelled ends the command and its children, who would run on for
// an hour and hold the output open.
func TestCommandCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, Options{Command: []string{"/bin/sh", "-c", "exec 3> pipe; sleep 3600 & echo >&3; wait"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dead := make(chan error, 1)
	go func() {
		dead <- func() error {
			f, err := os.Open(pipe)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.Read(make([]byte, 1)); err != nil {
				return err
			}
			cancel()
			// Not before the last process that has the pipe is gone.
			if err := f.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, f)
			return err
		}()
	}()
	if _, err := r.Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of the context", err)
	}
	if err := <-dead; err != nil {
		t.Errorf("a child of the command lives on: %v", err)
	}
}

func FuzzDump(f *testing.F) {
	f.Add([]byte("===> x\n===> x/a\nx/a.DISTFILES=a{b}c:0 ../d\nx/a.MASTER_SITES0=http://h/distfiles/\nx/a.CHECKSUM_FILE=/usr/ports/x/distinfo\n"))
	f.Add([]byte("x/a.DISTFILES.github=f\nx/a.SITES.github=\"http://h/\\&\"\nx/a.DIST_SUBDIR=//s/\nx/a.FETCH_MANUALLY=\"a\" \"b\"\n"))
	f.Add([]byte(">> Broken dependency: x/b non existent\n===> Exiting x/c with an error\n===> d skipped\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := scan(t, dir, Options{Dump: "-", Stdin: bytes.NewReader(in), BackupSites: []string{"http://h/distfiles"}})
		if err != nil {
			return
		}
		for _, d := range s.Distfiles {
			if _, err := catalog.ParsePath(string(d.Name)); err != nil || len(d.Owners) == 0 {
				t.Errorf("bad distfile %+v: %v", d, err)
			}
		}
		for _, p := range s.Problems {
			if strings.ContainsAny(p.Error(), "\n\x1b") {
				t.Errorf("problem is not fit to be printed: %q", p.Error())
			}
		}
		// A dump that says everything twice says nothing else.
		once, twice := newDump("d"), newDump("d")
		_ = once.read(t.Context(), bytes.NewReader(in))
		_ = twice.read(t.Context(), bytes.NewReader(slices.Concat(in, []byte("\n===> x\n"), in)))
		if len(once.ports) != len(twice.ports) {
			t.Errorf("%d ports, %d when repeated", len(once.ports), len(twice.ports))
		}
	})
}

func BenchmarkScan(b *testing.B) {
	dir := filepath.Join(trees(b), "bitrig-2016")
	r, err := Open(dir, Options{Dump: filepath.Join(dir, "dump-vars.txt")})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Scan(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
