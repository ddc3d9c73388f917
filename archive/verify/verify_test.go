package verify

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/doctor"
	"distkeep/archive/layout"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// verify calls Verify and returns its summary and the names in the order in
// which they were read.
func verify(t *testing.T, b *archivetest.Box, o Options) (s *Summary, names []string) {
	t.Helper()
	b.Events.Checked = func(name string, _ int64, _ string) { names = append(names, name) }
	b.Do(func(a *vault.Vault) {
		var err error
		if s, err = Verify(t.Context(), a, o); err != nil {
			t.Fatal(err)
		}
	})
	b.Events.Checked = nil
	return s, names
}

// healthy fails unless files and ledger agree.
func healthy(t *testing.T, b *archivetest.Box) {
	t.Helper()
	r, err := doctor.Doctor(t.Context(), b.Options, doctor.Options{})
	if err != nil || len(r.Findings) > 0 {
		t.Errorf("doctor: %+v, %v", r, err)
	}
}

// TestVerifyOrder: what was read longest ago comes first, within the budget,
// and the next call goes on.
func TestVerifyOrder(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	for i, n := range []string{"c", "a", "b"} {
		b.At(archivetest.T0.Add(time.Duration(i) * time.Hour))
		b.Put(n, catalog.Gentoo, true, "content "+n)
	}
	day := 24 * time.Hour
	b.At(archivetest.T0.Add(day))
	s, names := verify(t, b, Options{Bytes: 18})
	if want := []string{"c", "a"}; !slices.Equal(names, want) || s.Verified != (layout.Count{Files: 2, Bytes: 18}) || s.Left != (layout.Count{Files: 1, Bytes: 9}) {
		t.Errorf("read %v, %+v, left %+v; want %v", names, s.Verified, s.Left, want)
	}
	if !s.Ages.Oldest.Equal(archivetest.T0.Add(2 * time.Hour)) {
		t.Errorf("oldest is %v, want that of b", s.Ages.Oldest)
	}
	b.At(archivetest.T0.Add(2 * day))
	if _, names = verify(t, b, Options{OlderThan: 2*day - 2*time.Hour}); !slices.Equal(names, []string{"b"}) {
		t.Errorf("read %v; want what was not read for 46 hours", names)
	}
	b.At(archivetest.T0.Add(3 * day))
	// One file is begun however small the budget is.
	if _, names = verify(t, b, Options{Bytes: 1}); !slices.Equal(names, []string{"a"}) && !slices.Equal(names, []string{"c"}) {
		t.Errorf("read %v; want one of those of the first day", names)
	}
	first := names
	b.At(archivetest.T0.Add(4 * day))
	if _, names = verify(t, b, Options{Bytes: 1}); slices.Equal(names, first) || slices.Equal(names, []string{"b"}) {
		t.Errorf("read %v, and %v before", names, first)
	}
	if _, names = verify(t, b, Options{Names: []catalog.Name{"b"}}); !slices.Equal(names, []string{"b"}) {
		t.Errorf("read %v, asked for b", names)
	}
}

// TestVerifyFuture: what was read at a time that has yet to come, by a clock that
// was wrong, counts as never read.
func TestVerifyFuture(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a", catalog.Gentoo, true, "a")
	b.At(archivetest.T0.AddDate(20, 0, 0))
	b.Put("z", catalog.Gentoo, true, "zz")
	b.At(archivetest.T0.Add(48 * time.Hour))
	b.Put("b", catalog.Gentoo, true, "b")
	s, names := verify(t, b, Options{OlderThan: 72 * time.Hour})
	if want := []string{"z"}; !slices.Equal(names, want) || s.Ages.Unknown.Files != 0 || !s.Ages.Oldest.Equal(archivetest.T0) {
		t.Errorf("read %v, want %v; then %+v", names, want, s.Ages)
	}
	b.At(archivetest.T0.AddDate(20, 0, 0))
	b.Put("y", catalog.Gentoo, true, "yyy")
	b.At(archivetest.T0.AddDate(0, 3, 0))
	_, names = verify(t, b, Options{Bytes: 1})
	if want := []string{"y"}; !slices.Equal(names, want) {
		t.Errorf("read %v, want %v first", names, want)
	}
	b.At(archivetest.T0)
	s, _ = verify(t, b, Options{OlderThan: 1000 * time.Hour, Names: []catalog.Name{"a"}})
	if want := (layout.Count{Files: 3, Bytes: 6}); s.Ages.Unknown != want || s.Ages.Older != want || s.Ages.Within[0].Files != 1 || !s.Ages.Oldest.IsZero() {
		t.Errorf("ages are %+v, want y, z and b unknown", s.Ages)
	}
}

// TestVerifyTime: no file is begun when the time is over.
func TestVerifyTime(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		b.Put(n, catalog.Gentoo, true, n)
	}
	var calls atomic.Int64
	b.Now = func() time.Time { return archivetest.T0.Add(time.Duration(calls.Add(1)) * time.Hour) }
	s, names := verify(t, b, Options{Time: 3 * time.Hour})
	if len(names) != 2 || s.Left.Files != 4 {
		t.Errorf("read %v, left %+v; want two files in three hours", names, s.Left)
	}
}

// TestVerifyInterrupted: what was read before counts, and is not read again.
func TestVerifyInterrupted(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	for _, n := range []string{"a", "b", "c", "d"} {
		b.Put(n, catalog.Gentoo, true, n)
	}
	b.At(archivetest.T0.Add(time.Hour))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	var before []string
	b.Events.Checked = func(name string, _ int64, _ string) {
		if before = append(before, name); len(before) == 2 {
			cancel(stop)
		}
	}
	b.Do(func(a *vault.Vault) {
		s, err := Verify(ctx, a, Options{})
		if !errors.Is(err, stop) || !s.Interrupted || s.Verified.Files != len(before) {
			t.Errorf("Verify = %+v, %v", s, err)
		}
	})
	b.At(archivetest.T0.Add(2 * time.Hour))
	_, after := verify(t, b, Options{OlderThan: 2 * time.Hour})
	if all := append(slices.Clone(before), after...); len(all) != 4 {
		t.Errorf("read %v, then %v; want each once", before, after)
	}
}

// TestVerifyOnce: a content with several names is one file, and read once.
func TestVerifyOnce(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	text := string(make([]byte, 100000))
	b.Put("a", catalog.Gentoo, true, text)
	b.Put("b", catalog.OpenBSD, true, text)
	read := 0
	b.Events.Read = func(n int) { read += n }
	s, names := verify(t, b, Options{})
	if s.Verified != (layout.Count{Files: 1, Bytes: 100000}) || !slices.Equal(names, []string{"a", "b"}) || read > 2*len(text) {
		t.Errorf("verified %+v under %v, read %d bytes", s.Verified, names, read)
	}
}

// split makes the links of name another file with the same bytes.
func split(t *testing.T, b *archivetest.Box, name string, sum digest.Digest) {
	t.Helper()
	for _, p := range []string{b.Path(name), b.Path("by_cipher", "sha256", sum.Hex()[:2], sum.Hex(), name)} {
		fi, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Remove(p), os.WriteFile(p, text, 0o644), os.Chtimes(p, fi.ModTime(), fi.ModTime())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyAnotherCopy: a damaged file is replaced from another of the same
// content.
func TestVerifyAnotherCopy(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	k := b.Put("a", catalog.Gentoo, true, "content")
	b.Put("b", catalog.Gentoo, true, "content")
	split(t, b, "b", k.SHA256)
	fi, err := os.Stat(b.Path("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(b.Path("b"), []byte("CONTENT"), 0o644), os.Chtimes(b.Path("b"), fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
	s, _ := verify(t, b, Options{Jobs: 4})
	if len(s.Damaged) != 1 || !s.Damaged[0].Healed || len(s.Damaged[0].Kept) != 1 {
		t.Fatalf("damaged: %+v", s.Damaged)
	}
	if kept, err := os.ReadFile(s.Damaged[0].Kept[0]); err != nil || string(kept) != "CONTENT" {
		t.Errorf("quarantine has %q, %v", kept, err)
	}
	if text, err := os.ReadFile(b.Path("b")); err != nil || string(text) != "content" {
		t.Errorf("b = %q, %v", text, err)
	}
	healthy(t, b)
}

// TestVerifyGone: a file that is not there at all is damage, one with another
// time is not.
func TestVerifyGone(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	k := b.Put("a", catalog.Gentoo, true, "a")
	b.Put("b", catalog.Gentoo, true, "b")
	if err := errors.Join(os.Remove(b.Path("a")), os.RemoveAll(b.Path("by_cipher", "sha256", k.SHA256.Hex()[:2]))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(b.Path("b"), archivetest.T0, archivetest.T0); err != nil {
		t.Fatal(err)
	}
	s, _ := verify(t, b, Options{})
	if len(s.Damaged) != 1 || s.Damaged[0].SHA256 != k.SHA256.Hex() || s.Damaged[0].Healed || s.Verified.Files != 1 {
		t.Errorf("%+v", s)
	}
	healthy(t, b)
}
