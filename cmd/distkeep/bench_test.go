package main

import (
	"crypto/md5"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog/digest"
)

// A world is a generated gentoo tree and the upstream that serves its files.
type world struct {
	tree string
	srv  *httptest.Server
}

// content is what the upstream serves under a name: 300 bytes to 6 KiB that
// depend on the name alone.
func content(name string) []byte {
	sum := digest.SHA256.Sum([]byte(name)).Raw()
	r := rand.New(rand.NewChaCha8([32]byte(sum)))
	b := make([]byte, 300+r.IntN(5800))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// newWorld generates packages with three distfiles each and one and a half
// ebuilds, which is about what GURU has.
func newWorld(tb testing.TB, packages int) *world {
	tb.Helper()
	w := &world{tree: filepath.Join(tb.TempDir(), "tree")}
	w.srv = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, err := rw.Write(content(path.Base(r.URL.Path))); err != nil {
			return // the client went away
		}
	}))
	tb.Cleanup(w.srv.Close)
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	write := func(file, text string) {
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		must(os.WriteFile(file, []byte(text), 0o644))
	}
	var categories strings.Builder
	for i := range packages {
		cat := fmt.Sprintf("app-c%03d", i/200)
		if i%200 == 0 {
			fmt.Fprintln(&categories, cat)
		}
		pn := fmt.Sprintf("package%05d", i)
		var uris []string
		var manifest strings.Builder
		for j := range 3 {
			name := fmt.Sprintf("%s-part%d-1.0.tar.xz", pn, j)
			data := content(name)
			uris = append(uris, w.srv.URL+"/pub/"+name)
			fmt.Fprintf(&manifest, "DIST %s %d BLAKE2B %s SHA512 %s\n", name, len(data), digest.BLAKE2B.Sum(data).Hex(), digest.SHA512.Sum(data).Hex())
		}
		write(filepath.Join(w.tree, cat, pn, "Manifest"), manifest.String())
		for v := range 1 + i%2 {
			pf := fmt.Sprintf("%s-1.%d", pn, v)
			ebuild := "# " + pf + "\n" + strings.Repeat("# a line of an ebuild, as they have some sixty\n", 60)
			write(filepath.Join(w.tree, cat, pn, pf+".ebuild"), ebuild)
			write(filepath.Join(w.tree, "metadata", "md5-cache", cat, pf), fmt.Sprintf(
				"DEFINED_PHASES=compile install\nDESCRIPTION=A package\nEAPI=8\nIUSE=a b c\nKEYWORDS=~amd64\nLICENSE=MIT\nRDEPEND=dev-libs/a dev-libs/b\nSLOT=0\nSRC_URI=%s\n_md5_=%x\n",
				strings.Join(uris, " "), md5.Sum([]byte(ebuild))))
		}
	}
	write(filepath.Join(w.tree, "profiles", "categories"), categories.String())
	write(filepath.Join(w.tree, "profiles", "repo_name"), "generated\n")
	write(filepath.Join(w.tree, "metadata", "layout.conf"), "masters =\n")
	return w
}

// buildProgram builds the program as it is shipped.
func buildProgram(tb testing.TB) string {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "distkeep")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// timed runs a command and reports its wall time and peak memory.
func timed(b *testing.B, label string, status int, bin string, args ...string) {
	b.Helper()
	cmd := exec.Command(bin, args...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if got := cmd.ProcessState.ExitCode(); got != status {
		b.Fatalf("%s %v: status %d, %v\n%s", bin, args, got, err, out)
	}
	ru := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	b.ReportMetric(took.Seconds(), label+"-s")
	b.ReportMetric(float64(ru.Maxrss)/1024, label+"-MiB")
}

func benchPackages(tb testing.TB) int {
	s := os.Getenv("DISTKEEP_BENCH_PACKAGES")
	if s == "" {
		return 20000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// mirror is the command line of the hourly job.
func (w *world) mirror(dir string) []string {
	port := w.srv.URL[strings.LastIndexByte(w.srv.URL, ':')+1:]
	return []string{"mirror", "--archive", dir, "--repo", "gentoo:" + w.tree, "--allow-private", "--allow-port", port, "--host-jobs", "16"}
}

// BenchmarkNothingToDo runs the hourly job in this process, so that -cpuprofile
// and -memprofile tell where the time goes.
func BenchmarkNothingToDo(b *testing.B) {
	w := newWorld(b, benchPackages(b))
	dir := filepath.Join(b.TempDir(), "archive")
	program := func(args ...string) {
		var out, errs strings.Builder
		if status := run(append([]string{"distkeep"}, args...), strings.NewReader(""), &out, &errs, time.Now); status != 0 {
			b.Fatalf("%v: status %d\n%s%s", args, status, out.String(), errs.String())
		}
	}
	program("init", "--archive", dir)
	program(w.mirror(dir)...)
	b.ReportAllocs()
	for b.Loop() {
		program(w.mirror(dir)...)
	}
}

// BenchmarkProgram measures whole runs of the program as a child process, with
// wall time and peak memory: the first mirror from a loopback server, a pass
// with nothing to do, and the scan alone. DISTKEEP_BENCH_PACKAGES sets the size
// of the tree, 20000 packages with 60000 distfiles and 30000 ebuilds if unset.
func BenchmarkProgram(b *testing.B) {
	w := newWorld(b, benchPackages(b))
	bin := buildProgram(b)
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "archive")
		timed(b, "init", 0, bin, "init", "--archive", dir)
		timed(b, "first", 0, bin, w.mirror(dir)...)
		timed(b, "noop", 0, bin, w.mirror(dir)...)
		timed(b, "scan", 0, bin, "history", "--archive", dir, "--repo", "gentoo:"+w.tree)
	}
}
