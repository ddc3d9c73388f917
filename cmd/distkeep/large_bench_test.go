package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// hold makes an archive at dir that has all files of w, as runs would have left it.
// Nothing of it is made durable: two million files are there in minutes.
func (w *world) hold(tb testing.TB, dir string) {
	tb.Helper()
	distfiles, state := vault.Dirs(dir)
	now := time.Now().UTC().Truncate(time.Second)
	if err := vault.Init(distfiles, state, nil, now); err != nil {
		tb.Fatal(err)
	}
	l, err := ledger.Open(filepath.Join(state, "ledger"), ledger.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	var b ledger.Batch
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		h := digest.NewHasher(digest.Usual...)
		h.Write(w.files[name])
		d := &ledger.Distfile{
			Content: layout.Content{Name: catalog.Name(name), Digests: h.Sum(), Size: int64(len(w.files[name])), Named: true, Kind: catalog.Gentoo},
			Owner:   w.owners[name], Origin: w.srv.URL + "/pub/" + name, Added: now, Verified: now,
		}
		d.ModTime = publish(tb, distfiles, d, w.files[name])
		b.PutDistfile(d)
		b.PutSuccess(ledger.NewSuccess(&d.Content, d.Origin, ledger.Added, now))
		if b.Len() >= 4000 {
			if err := l.Commit(&b, nil); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := l.Commit(&b, nil); err != nil {
		tb.Fatal(err)
	}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
}

// publish writes the file of d in the flat layout and below by_cipher, and returns
// its time.
func publish(tb testing.TB, distfiles string, d *ledger.Distfile, data []byte) time.Time {
	first := filepath.Join(distfiles, string(d.Name))
	if err := os.WriteFile(first, data, 0o444); err != nil {
		tb.Fatal(err)
	}
	for _, rel := range d.CipherPaths() {
		path := filepath.Join(distfiles, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.Link(first, path); err != nil {
			tb.Fatal(err)
		}
	}
	fi, err := os.Lstat(first)
	if err != nil {
		tb.Fatal(err)
	}
	return fi.ModTime().UTC()
}

// benchNames is how many names the benchmarks of large archives have.
func benchNames(tb testing.TB) int {
	s := os.Getenv("DISTKEEP_BENCH_NAMES")
	if s == "" {
		return 60000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// BenchmarkLarge measures what people and timers do with a large archive that
// nothing is wrong with, each as a process of its own. DISTKEEP_BENCH_NAMES is how many
// names it has, 60,000 if unset. Each takes 10 KiB of disk and two inodes, and its
// third of a package as much again: TMPDIR says where.
func BenchmarkLarge(b *testing.B) {
	names := benchNames(b)
	w := makeWorld(b, names/3, 3, func(i int) int { return 40 + i*7919%60 })
	bin := buildProgram(b)
	some := slices.Min(slices.Collect(maps.Keys(w.files)))
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "archive")
		w.hold(b, dir)
		at := func(label, command string, args ...string) {
			timed(b, label, 0, bin, slices.Concat(strings.Fields(command), []string{"--archive", dir}, args)...)
		}
		timed(b, "begin", 0, bin, w.mirror(dir)...)
		timed(b, "noop", 0, bin, w.mirror(dir)...)
		at("history", "history", "--repo", "gentoo:"+w.tree)
		at("doctor", "doctor")
		at("verify", "verify")
		at("why", "why", some)
		at("status", "status")
		at("report", "report", "--html", filepath.Join(b.TempDir(), "site"))
		at("snapshot", "snapshot create")
		lines, export := filepath.Join(b.TempDir(), "lines"), filepath.Join(b.TempDir(), "export")
		w.exported(b, lines)
		at("import", "import", lines)
		at("export", "doctor", "--export", export)
		if err := os.RemoveAll(filepath.Join(dir, "state", "ledger")); err != nil {
			b.Fatal(err)
		}
		at("reimport", "doctor", "--import", export)
	}
}

// exported writes what the exporter of emirrordist prints of an archive with the files
// of w, a third of which nobody wants.
func (w *world) exported(tb testing.TB, file string) {
	var b strings.Builder
	n := 0
	for name, data := range w.files {
		fmt.Fprintf(&b, "owner\t%s\t%s\n", name, strings.TrimSuffix(w.owners[name], "::generated"))
		fmt.Fprintf(&b, "content\t%s\tBLAKE2B=%s SHA512=%s\n", name, digest.BLAKE2B.Sum(data).Hex(), digest.SHA512.Sum(data).Hex())
		if n += 2; n%3 == 0 {
			fmt.Fprintf(&b, "deletion\t%s\t1700000000\n", name)
			n++
		}
	}
	fmt.Fprintf(&b, "end\t%d\n", n)
	writeFile(tb, file, b.String())
}

// BenchmarkFailing measures a run in which all is gone that it wants, and what tells
// people about it.
func BenchmarkFailing(b *testing.B) {
	w := makeWorld(b, benchNames(b)/3, 3, func(i int) int { return 40 + i*7919%60 })
	clear(w.files)
	bin := buildProgram(b)
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "archive")
		at := func(label, command string, args ...string) {
			timed(b, label, 0, bin, slices.Concat([]string{command, "--archive", dir}, args)...)
		}
		at("init", "init")
		timed(b, "first", 1, bin, w.mirror(dir)...)
		timed(b, "noop", 0, bin, w.mirror(dir)...)
		at("status", "status")
		at("failures", "failures")
		at("new", "failures", "--new")
		at("class", "failures", "--class", "gone")
		at("by", "failures", "--by", "maintainer")
		at("json", "failures", "--json")
		at("long", "failures", "--long")
	}
}
