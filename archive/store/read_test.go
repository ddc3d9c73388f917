package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog/digest"
)

func TestHash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "hello")
	sums, fi, err := open(t).Hash(t.Context(), path, digest.BLAKE2B)
	if err != nil {
		t.Fatal(err)
	}
	c := content("f", "hello")
	for _, a := range []digest.Algorithm{digest.SHA256, digest.BLAKE2B} {
		if sums.Get(a) != c.Digests.Get(a) {
			t.Errorf("%s = %s, want %s", a, sums.Get(a).Hex(), c.Digests.Get(a).Hex())
		}
	}
	if fi.Size() != 5 {
		t.Errorf("size = %d, want 5", fi.Size())
	}
}

// importFrom imports the file at src.
func importFrom(ctx context.Context, s *Store, src, part string) (digest.Set, fs.FileInfo, error) {
	f, err := os.Open(src)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return s.Parts.Import(ctx, f, part)
}

func TestImport(t *testing.T) {
	t.Parallel()
	s := open(t)
	src := filepath.Join(t.TempDir(), "src")
	data := strings.Repeat("0123456789", 30_000)
	write(t, src, data)
	part := filepath.Join(s.PartsDir(), "x.part")
	write(t, part, "something older")
	older, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	sums, fi, err := importFrom(t.Context(), s, src, part)
	if err != nil {
		t.Fatal(err)
	}
	c := content("src", data)
	if sums.Get(digest.SHA256) != c.SHA256() || fi.Size() != c.Size {
		t.Errorf("imported %d bytes with %v", fi.Size(), sums)
	}
	if got, _ := os.ReadFile(part); string(got) != data {
		t.Error("the copy differs")
	}
	if inode(t, part) == inode(t, src) {
		t.Error("the copy is a link: whoever owns the source could change it")
	}
	if b, _ := io.ReadAll(older); string(b) != "something older" {
		t.Error("an older part, which may have other links, was written to")
	}
}

// TestImportFails: no part is left.
func TestImportFails(t *testing.T) {
	t.Parallel()
	s := open(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "content")
	part := filepath.Join(s.PartsDir(), "x.part")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	for path, c := range map[string]struct {
		ctx  context.Context
		want error
	}{file: {ctx, stopped}, dir: {t.Context(), syscall.EISDIR}} {
		if _, _, err := importFrom(c.ctx, s, path, part); !errors.Is(err, c.want) || exists(part) {
			t.Errorf("%s: error = %v, want %v; a part is left: %v", path, err, c.want, exists(part))
		}
	}
}

// A writerFunc is called with every block that is read.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestReadOfChangingFile(t *testing.T) {
	t.Parallel()
	const size = 300 << 10
	for name, change := range map[string]func(f *os.File) error{
		"grows": func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, 100<<10), size)
			return err
		},
		"shrinks": func(f *os.File) error { return f.Truncate(size / 2) },
		"is overwritten": func(f *os.File) error {
			_, err := f.WriteAt([]byte("x"), 0)
			return errors.Join(err, os.Chtimes(f.Name(), time.Time{}, time.Unix(1, 0)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			write(t, path, strings.Repeat("x", size))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			blocks := 0
			_, _, err = open(t).read(t.Context(), path, writerFunc(func(p []byte) (int, error) {
				if blocks++; blocks == 1 {
					return len(p), change(f)
				}
				return len(p), nil
			}), nil)
			if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
				t.Errorf("error = %v, want that it changed", err)
			}
		})
	}
}

// TestReadEnds: a file that grows faster than it is read must not keep us.
func TestReadEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "x")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blocks := 0
	_, _, err = open(t).read(t.Context(), path, writerFunc(func(p []byte) (int, error) {
		if blocks++; blocks > 100 {
			return 0, errors.New("read on and on")
		}
		_, err := f.Write(make([]byte, 256<<10))
		return len(p), err
	}), nil)
	if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("error = %v, want that it changed", err)
	}
}

// TestBadSector: a bad disk below the source of an import is not the archive's,
// and one file of the archive that cannot be read is damaged by itself.
func TestBadSector(t *testing.T) {
	t.Parallel()
	s := open(t)
	// Reading one's own memory at address 0 is EIO.
	if _, err := os.ReadFile("/proc/self/mem"); !errors.Is(err, syscall.EIO) {
		t.Skip("needs a file that cannot be read")
	}
	_, _, err := importFrom(t.Context(), s, "/proc/self/mem", filepath.Join(s.PartsDir(), "x.part"))
	if err == nil || Broken(err) {
		t.Errorf("error = %v, want one that is not Broken", err)
	}
	// Nor is one bad sector the end of the file system.
	if _, _, err := s.Hash(t.Context(), "/proc/self/mem"); Broken(err) || !errors.Is(err, ErrDamaged) {
		t.Errorf("Hash: error = %v, want ErrDamaged", err)
	}
	if _, _, err := Reread(t.Context(), "/proc/self/mem", nil); Broken(err) || !errors.Is(err, ErrDamaged) {
		t.Errorf("Reread: error = %v, want ErrDamaged", err)
	}
}

func TestReread(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	data := strings.Repeat("0123456789", 100_000)
	write(t, path, data)
	for name, text := range map[string]string{"empty": "", "several reads": data} {
		write(t, path, text)
		waited := 0
		sum, fi, err := Reread(t.Context(), path, func(_ context.Context, n int) error { waited += n; return nil })
		if err != nil || sum != digest.SHA256.Sum([]byte(text)) || fi.Size() != int64(len(text)) {
			t.Errorf("%s: Reread = %v, %v, %v", name, sum, fi, err)
		}
		if waited < len(text) {
			t.Errorf("%s: waited for %d of %d bytes", name, waited, len(text))
		}
	}
	stop := errors.New("stop")
	if _, _, err := Reread(t.Context(), path, func(context.Context, int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of wait: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, _, err := Reread(ctx, path, nil); !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	grow := func(context.Context, int) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		return errors.Join(err, f.Close())
	}
	if _, _, err := Reread(t.Context(), path, grow); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("growing file: %v", err)
	}
	if _, _, err := Reread(t.Context(), t.TempDir(), nil); err == nil {
		t.Error("a directory was read")
	}
}
