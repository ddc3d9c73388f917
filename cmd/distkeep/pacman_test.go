package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"distkeep/catalog/digest"
)

func init() { moreCmds["pacdb"] = cmdPacDB }

// pacdb FILE PACKAGE... makes a pacman database of package files beside it, and
// the .files database. A package that has a .sig beside it and is spelled
// PACKAGE+sig has its signature inside; PACKAGE=OTHER has the digest and size
// of the file OTHER.
func cmdPacDB(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: pacdb FILE.db PACKAGE...")
	}
	file := ts.MkAbs(args[0])
	dir := filepath.Dir(file)
	var entries []pacEntry
	for _, a := range args[1:] {
		name, inline := strings.CutSuffix(a, "+sig")
		name, of, other := strings.Cut(name, "=")
		if !other {
			of = name
		}
		data, err := os.ReadFile(filepath.Join(dir, of))
		ts.Check(err)
		e := pacEntry{file: name, size: len(data), sha256: digest.SHA256.Sum(data).Hex()}
		if inline {
			e.sig, err = os.ReadFile(filepath.Join(dir, name+".sig"))
			ts.Check(err)
		}
		entries = append(entries, e)
	}
	ts.Check(os.WriteFile(file, pacDatabase(entries, false), 0o644))
	ts.Check(os.WriteFile(strings.TrimSuffix(file, ".db")+".files", pacDatabase(entries, true), 0o644))
}

// A pacEntry is one package of a database.
type pacEntry struct {
	file   string
	size   int
	sha256 string
	sig    []byte
}

// pacDatabase writes a database as repo-add does.
func pacDatabase(entries []pacEntry, files bool) []byte {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	put := func(name string, mode int64, text string) {
		h := &tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := tw.WriteHeader(h); err != nil {
			panic(err) // a buffer cannot fail
		}
		tw.Write([]byte(text))
	}
	for _, e := range entries {
		parts := strings.Split(strings.TrimSuffix(e.file, ".pkg.tar.zst"), "-")
		n := len(parts)
		name, version, arch := strings.Join(parts[:n-3], "-"), parts[n-3]+"-"+parts[n-2], parts[n-1]
		text := fmt.Sprintf("%%FILENAME%%\n%s\n\n%%NAME%%\n%s\n\n%%VERSION%%\n%s\n\n%%CSIZE%%\n%d\n\n%%SHA256SUM%%\n%s\n\n%%ARCH%%\n%s\n\n",
			e.file, name, version, e.size, e.sha256, arch)
		if e.sig != nil {
			text += "%PGPSIG%\n" + base64.StdEncoding.EncodeToString(e.sig) + "\n\n"
		}
		dir := name + "-" + version + "/"
		put(dir, 0o755, "")
		put(dir+"desc", 0o644, text)
		if files {
			put(dir+"files", 0o644, "%FILES%\nusr/\nusr/"+name+"\n")
		}
	}
	tw.Close()
	zw.Close()
	return buf.Bytes()
}
