package pacman

import (
	"archive/tar"
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/tools/txtar"
)

// packages makes the members of a database as repo-add does: each directory
// before what is in it. A name that ends in a slash is a directory alone.
func packages(t testing.TB, files []txtar.File) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	put := func(h *tar.Header, data []byte) {
		h.Size = int64(len(data))
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	dirs := make(map[string]bool)
	for _, f := range files {
		if i := strings.LastIndexByte(f.Name, '/'); i >= 0 && !dirs[f.Name[:i+1]] {
			dirs[f.Name[:i+1]] = true
			put(&tar.Header{Name: f.Name[:i+1], Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		}
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		// A file whose text is "-> target" stands for a symbolic link.
		if target, ok := strings.CutPrefix(strings.TrimSpace(string(f.Data)), "-> "); ok {
			put(&tar.Header{Name: f.Name, Typeflag: tar.TypeSymlink, Linkname: target}, nil)
			continue
		}
		put(&tar.Header{Name: f.Name, Typeflag: tar.TypeReg, Mode: 0o644}, f.Data)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// compress packs data. It skips the test where there is no bzip2 program: Go
// has no compressor for it.
func compress(t testing.TB, c Compression, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch c {
	case None:
		return data
	case Gzip:
		w = gzip.NewWriter(&buf)
	case XZ:
		w, err = xz.NewWriter(&buf)
	case Zstd:
		w, err = zstd.NewWriter(&buf)
	case Bzip2:
		cmd := exec.Command("bzip2", "-c")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(data), &buf
		if err := cmd.Run(); err != nil {
			t.Skipf("bzip2: %v", err)
		}
		return buf.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
