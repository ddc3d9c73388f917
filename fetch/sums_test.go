package fetch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"distkeep/catalog/digest"
)

// TestKeptSums: a large .part whose digests were kept is not read again, unless
// anything has happened to it or to them since.
func TestKeptSums(t *testing.T) {
	t.Parallel()
	data := make([]byte, worthSums+100_000)
	rand.NewChaCha8([32]byte{}).Read(data)
	whole := append(bytes.Clone(data), "the end"...)
	check := func(t *testing.T, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(t *testing.T, path string, at int64) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		b[0]++
		_, werr := f.WriteAt(b, at)
		check(t, err, werr, f.Close())
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, part, sums string)
		algs   []digest.Algorithm
		kept   bool
	}{
		{name: "as it was", change: func(*testing.T, string, string) {}, kept: true},
		{name: "written to", change: func(t *testing.T, part, _ string) {
			f, err := os.OpenFile(part, os.O_WRONLY|os.O_APPEND, 0)
			check(t, err)
			_, err = f.WriteString("more")
			check(t, err, f.Close())
		}},
		{name: "cut", change: func(t *testing.T, part, _ string) { check(t, os.Truncate(part, worthSums+1)) }},
		{name: "changed in place, with the time that it had", change: func(t *testing.T, part, _ string) {
			fi, err := os.Stat(part)
			check(t, err)
			edit(t, part, 0)
			check(t, os.Chtimes(part, fi.ModTime(), fi.ModTime()))
		}},
		{name: "another file", change: func(t *testing.T, part, _ string) {
			check(t, os.WriteFile(part+".new", data, partMode), os.Rename(part+".new", part))
		}},
		{name: "for others to write to", change: func(t *testing.T, part, _ string) { check(t, os.Chmod(part, 0o666)) }},
		{name: "sums torn", change: func(t *testing.T, _, sums string) { check(t, os.Truncate(sums, 200)) }},
		{name: "sums empty", change: func(t *testing.T, _, sums string) { check(t, os.Truncate(sums, 0)) }},
		{name: "sums gone", change: func(t *testing.T, _, sums string) { check(t, os.Remove(sums)) }},
		{name: "sums rotten", change: func(t *testing.T, _, sums string) { edit(t, sums, 300) }},
		{name: "sums for others to write to", change: func(t *testing.T, _, sums string) { check(t, os.Chmod(sums, 0o622)) }},
		{name: "sums of another part", change: func(t *testing.T, part, sums string) {
			check(t, os.WriteFile(part+".part", data, partMode))
			keepAll(t, part+".part", data)
			check(t, os.Rename(part+".sums", sums))
		}},
		{name: "sums of another program", change: func(t *testing.T, _, sums string) {
			text, err := os.ReadFile(sums)
			check(t, err)
			text = bytes.Replace(text[sha256.Size:], []byte(`"program":"`), []byte(`"program":"other `), 1)
			sum := sha256.Sum256(text)
			check(t, os.WriteFile(sums, append(sum[:], text...), partMode))
		}},
		{name: "sums behind a link", change: func(t *testing.T, _, sums string) {
			check(t, os.Rename(sums, sums+".real"), os.Symlink(sums+".real", sums))
		}},
		{name: "a FIFO in the place of the sums", change: func(t *testing.T, _, sums string) {
			check(t, os.Remove(sums), syscall.Mkfifo(sums, 0o600))
		}},
		{name: "another digest is wanted", change: func(*testing.T, string, string) {}, algs: []digest.Algorithm{digest.MD5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, err := New(Options{})
			check(t, err)
			r := files(t, "x", 1)[0]
			r.Part = filepath.Join(t.TempDir(), "x.part")
			sums := filepath.Join(filepath.Dir(r.Part), "x.sums")
			h := digest.NewHasher(digest.SHA512, digest.BLAKE2B)
			h.Write(whole)
			r.Size, r.Digests, r.Compute = int64(len(whole)), h.Sum(), c.algs
			check(t, os.WriteFile(r.Part, data, partMode))
			keepAll(t, r.Part, data)
			if _, err := os.Lstat(sums); err != nil {
				t.Fatal(err)
			}
			c.change(t, r.Part, sums)
			w, j := &worker{f: f, buf: make([]byte, bufferSize)}, &job{work: newWork(r)}
			complete, later, err := w.look(t.Context(), j)
			if err != nil || complete || later == c.kept || c.kept != (j.part.have == int64(len(data))) {
				t.Fatalf("complete %v, later %v, has %d bytes, %v", complete, later, j.part.have, err)
			}
			if !c.kept {
				// It is read, whatever it is now.
				j.patient = true
				if complete, later, err = w.look(t.Context(), j); err != nil || complete || later {
					t.Fatalf("complete %v, later %v, %v", complete, later, err)
				}
			}
			now, err := os.ReadFile(r.Part)
			check(t, err)
			want := digest.NewHasher(j.part.algs...)
			for _, h := range []io.Writer{want, j.part.hash} {
				if h == want {
					h.Write(now)
				}
				h.Write(whole[len(data):])
			}
			if got := j.part.hash.Sum(); got.Compare(want.Sum()) != digest.Same || len(got) != len(want.Sum()) || j.part.have != int64(len(now)) {
				t.Errorf("%d bytes and the rest have the digests %v, want %v", j.part.have, got, want.Sum())
			}
			if _, err := os.Stat(sums); c.kept && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the sums are left: %v", err)
			}
		})
	}
}

// keepAll keeps the sums of a part that has data.
func keepAll(t *testing.T, path string, data []byte) {
	t.Helper()
	p := &part{path: path, have: int64(len(data)), hash: digest.NewHasher(digest.SHA512, digest.BLAKE2B)}
	p.hash.Write(data)
	p.keep()
}

// TestKeepsNoSums: nothing is kept of what the digests do not stand for.
func TestKeepsNoSums(t *testing.T) {
	t.Parallel()
	data := make([]byte, worthSums+1)
	for name, p := range map[string]part{
		"small":                     {have: worthSums - 1},
		"a byte was written behind": {have: worthSums},
		"gone":                      {have: worthSums + 2},
	} {
		dir := t.TempDir()
		p.path = filepath.Join(dir, "x.part")
		if name != "gone" {
			if err := os.WriteFile(p.path, data, partMode); err != nil {
				t.Fatal(err)
			}
		}
		p.hash = digest.NewHasher()
		p.hash.Write(data[:min(p.have, worthSums+1)])
		p.keep()
		if _, err := os.Lstat(filepath.Join(dir, "x.sums")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
