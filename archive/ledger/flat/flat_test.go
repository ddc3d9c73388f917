package flat

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

type pair struct{ k, v string }

func write(t testing.TB, path string, ps []pair) (sum string) {
	t.Helper()
	sum, err := Write(path, nil, putting(ps))
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func putting(ps []pair) func(put func(k, v []byte) error) error {
	return func(put func(k, v []byte) error) error {
		for _, p := range ps {
			if err := put([]byte(p.k), []byte(p.v)); err != nil {
				return err
			}
		}
		return nil
	}
}

func read(path, sum string) (ps []pair, err error) {
	err = Read(path, sum, 1<<30, func(k, v []byte) error {
		ps = append(ps, pair{string(k), string(v)})
		return nil
	})
	return ps, err
}

// samples are pairs of all lengths that matter.
func samples() (ps []pair) {
	for _, n := range []int{0, 1, 127, 128, 4096, block - 1, block, block + 1, 3 * block} {
		ps = append(ps, pair{fmt.Sprint("k", n), strings.Repeat("v", n)}, pair{strings.Repeat("k", n), ""})
	}
	return ps
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, want := range [][]pair{nil, samples(), samples()[:3]} { // over the one before
		got, err := read(path, write(t, path, want))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d pairs, %v; want %d", len(got), err, len(want))
		}
	}
	if rest, err := filepath.Glob(path + ".*"); len(rest) > 0 || err != nil {
		t.Errorf("%v is left, %v", rest, err)
	}
}

// TestRefused: nothing but what was written under a sum is read.
func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	sum := write(t, whole, []pair{{"a", "one"}, {"b", "two"}})
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	older := write(t, filepath.Join(dir, "older"), []pair{{"a", "one"}})
	for n := range text {
		if _, err := readText(t, dir, text[:n], sum); err == nil {
			t.Errorf("its first %d bytes of %d were read", n, len(text))
		}
		flipped := bytes.Clone(text)
		flipped[n] ^= 0x10
		if _, err := readText(t, dir, flipped, sum); err == nil {
			t.Errorf("with another byte %d it was read", n)
		}
	}
	if _, err := readText(t, dir, append(bytes.Clone(text), text[len(format):]...), sum); !errors.Is(err, errSum) {
		t.Errorf("a longer file: %v", err)
	}
	if _, err := read(whole, older); !errors.Is(err, errSum) {
		t.Errorf("under the sum of an older file: %v", err)
	}
	if _, err := readText(t, dir, []byte("distkeep flat 2\n"), sum); !errors.Is(err, errFormat) {
		t.Errorf("a newer format: %v", err)
	}
	if err := Read(whole, sum, int64(len(text))-1, func(_, _ []byte) error { return nil }); err == nil {
		t.Error("a file above the limit was read")
	}
	if err := Read(whole, sum, int64(len(text)), func(_, _ []byte) error { return nil }); err != nil {
		t.Errorf("a file of the limit: %v", err)
	}
	if err := Read(whole, sum, 1<<20, func(_, _ []byte) error { return syscall.EINVAL }); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("the error of add is lost: %v", err)
	}
	if _, err := read(filepath.Join(dir, "none"), sum); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := read(filepath.Join(dir, "fifo"), sum); err == nil {
		t.Error("a FIFO was read")
	}
}

func readText(t testing.TB, dir string, text []byte, sum string) ([]pair, error) {
	t.Helper()
	path := filepath.Join(dir, "text")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return read(path, sum)
}

// TestLies: lengths that no file can have take no memory.
func TestLies(t *testing.T) {
	dir := t.TempDir()
	for _, head := range []string{
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\xff\xff\xff\x1f", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readText(t, dir, []byte(format+head+"xyz"), "")
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 4*block {
			t.Errorf("%q: %v, and %d bytes of memory", head, err, n)
		}
	}
}

// TestWriteFails: the old file stays, and nothing of the new one.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	before := []pair{{"a", "one"}}
	sum := write(t, path, before)
	var asked int64
	for name, f := range map[string]func() error{
		"no room": func() error {
			_, err := Write(path, func(more int64) error {
				if asked += more; asked > 2*block {
					return syscall.ENOSPC
				}
				return nil
			}, putting(samples()))
			return err
		},
		"no pairs": func() error {
			_, err := Write(path, nil, func(put func(k, v []byte) error) error { return syscall.ENOSPC })
			return err
		},
	} {
		if err := f(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := read(path, sum); err != nil || !slices.Equal(got, before) {
			t.Errorf("%s: the old file has %v, %v", name, got, err)
		}
		if rest, err := filepath.Glob(path + ".*"); len(rest) > 0 || err != nil {
			t.Errorf("%s: %v is left, %v", name, rest, err)
		}
	}
}

// FuzzRead: whatever is in a file is read or refused, and what is read under its own
// sum is what Write makes of it.
func FuzzRead(f *testing.F) {
	f.Add([]byte(format))
	f.Add([]byte(format + "\x01\x03aone\x01\x03btwo"))
	f.Add([]byte(format + "\x01\xff\xff\x03aone"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		ps, err := readText(t, dir, text, sumOf(text))
		if err != nil {
			return
		}
		path := filepath.Join(dir, "again")
		again, err := read(path, write(t, path, ps))
		if err != nil || !slices.Equal(ps, again) {
			t.Fatalf("%q became %q, %v", ps, again, err)
		}
	})
}

func sumOf(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }
