package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// flip FILE flips a bit of the first byte of a file and leaves its size and its
// times as they were, as a failing disk does. A * in FILE stands for anything;
// one file must match.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	path := ts.MkAbs(args[0])
	if strings.ContainsAny(path, "*?") {
		found, err := filepath.Glob(path)
		ts.Check(err)
		if len(found) != 1 {
			ts.Fatalf("%s matches %d files, want one", path, len(found))
		}
		path = found[0]
	}
	before, err := os.Stat(path)
	ts.Check(err)
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[0] ^= 1
	ts.Check(os.Chmod(path, 0o644))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(data[:1], 0)
	ts.Check(err)
	ts.Check(f.Close())
	ts.Check(os.Chmod(path, before.Mode()))
	ts.Check(os.Chtimes(path, before.ModTime(), before.ModTime()))
}
