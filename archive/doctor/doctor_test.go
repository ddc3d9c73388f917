package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/archivetest"
	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/undo"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// diagnose calls Doctor and returns the kinds of what it found and has not
// repaired.
func diagnose(t *testing.T, b *archivetest.Box, repair bool) (kinds []string) {
	t.Helper()
	r, err := Doctor(t.Context(), b.Options, Options{Repair: repair})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if repair != f.Repaired {
			t.Errorf("not repaired: %+v", f)
		}
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	return kinds
}

// withSlash returns a text whose SHA-256 has a "/" at that index of its base64
// spelling.
func withSlash(t *testing.T, at int) string {
	for i := range 100000 {
		text := strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String()
		if digest.SHA256.Sum([]byte(text)).Base64()[at] == '/' {
			return text
		}
	}
	t.Fatal("no such text")
	return ""
}

// TestRebuild: what the archive has is all that is needed to make the ledger
// anew: names with directories, both spellings of by_cipher, contents without a
// name, several names for one content.
func TestRebuild(t *testing.T) {
	t.Parallel()
	hashed := func(s string) layout.Layout {
		l, err := layout.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for name, conf := range map[string]layout.Conf{
		"flat":          nil,
		"filename-hash": {hashed("filename-hash BLAKE2B 8")},
		"content-hash":  {hashed("content-hash SHA512 8:8")},
		"all":           {hashed("content-hash SHA512 8:8"), layout.Flat(), hashed("filename-hash BLAKE2B 4:4")},
	} {
		for _, exports := range []bool{true, false} {
			t.Run(name+map[bool]string{true: " with", false: " without"}[exports]+" exports", func(t *testing.T) {
				t.Parallel()
				b := archivetest.New(t, conf...)
				b.Put("a%2Fb@v1.zip", catalog.Gentoo, true, "one")
				b.Put("other.zip", catalog.Gentoo, true, "one")
				b.Put("re.tgz", catalog.Gentoo, true, "new bytes")
				b.Put("re.tgz", catalog.Gentoo, false, "old bytes")
				b.Put("sub/dir/x.tgz", catalog.OpenBSD, true, withSlash(t, 20))
				b.Put("first.tgz", catalog.OpenBSD, true, withSlash(t, 0))
				b.Put("second.tgz", catalog.OpenBSD, true, withSlash(t, 1))
				b.Put("gone.tgz", catalog.OpenBSD, false, "nobody wants it")
				if found := diagnose(t, b, false); found != nil {
					t.Fatalf("before: %v", found)
				}
				want := b.Records()
				if !exports {
					// The kind of a repository is then told by base64 alone.
					for i := range want {
						want[i] = strings.Replace(want[i], "kind=gentoo", "kind=", 1)
						if name == "content-hash" {
							// Nothing tells the directories of names.
							want[i] = strings.TrimPrefix(want[i], "sub/dir/")
						}
					}
				}
				if err := os.RemoveAll(filepath.Join(b.State, "ledger")); err != nil {
					t.Fatal(err)
				}
				if !exports {
					if err := os.RemoveAll(filepath.Join(b.State, "report")); err != nil {
						t.Fatal(err)
					}
				}
				if found := diagnose(t, b, false); !slices.Equal(found, []string{FindLedger}) {
					t.Errorf("findings: %v, want that the ledger is empty", found)
				}
				diagnose(t, b, true)
				got := b.Records()
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("-before +rebuilt:\n%s", d)
				}
				if found := diagnose(t, b, false); found != nil {
					t.Errorf("after: %v", found)
				}
			})
		}
	}
}

// TestRebuildRun: the last run comes back with a new ledger, whose exports are made
// of it from then on.
func TestRebuildRun(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a.tgz", catalog.Gentoo, true, "a")
	dir := filepath.Join(b.State, "report")
	run := report.Summary{Command: "mirror", Start: archivetest.T0, Relinked: 7, RecycleDelay: time.Hour}
	if err := errors.Join(report.WriteStatus(dir, &run, regular.Replace), os.RemoveAll(filepath.Join(b.State, "ledger"))); err != nil {
		t.Fatal(err)
	}
	b.At(archivetest.T0.Add(time.Hour))
	diagnose(t, b, true)
	if err := os.Remove(filepath.Join(dir, "status.json")); err != nil {
		t.Fatal(err)
	}
	b.Put("b.tgz", catalog.Gentoo, true, "b")
	var got report.Summary
	if err := report.LoadStatus(dir, &got); err != nil {
		t.Fatal(err)
	}
	if !got.Start.Equal(run.Start) || got.Relinked != 7 || got.RecycleDelay != time.Hour || got.Archive.Files != 2 {
		t.Errorf("status: %+v", got)
	}
}

// TestInterruptedDeletion: a crash between the record of a deletion and the
// removal of its links.
func TestInterruptedDeletion(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	k := b.Put("a.tgz", catalog.Gentoo, true, "a")
	b.Put("b.tgz", catalog.Gentoo, true, "b")
	b.Do(func(a *vault.Vault) {
		s, err := a.Ledger().Load()
		if err != nil {
			t.Fatal(err)
		}
		d := s.Distfiles.Get(k)
		c := &d.Content
		missing, _, err := a.Store.Recycle.Keep([]*layout.Content{c})
		if err != nil || missing != nil {
			t.Fatal(missing, err)
		}
		var batch ledger.Batch
		batch.DropDistfile(k)
		batch.PutRecycled(&ledger.Recycled{Distfile: *d, Since: archivetest.T0, Pending: true})
		if err := a.Ledger().Commit(&batch, nil); err != nil {
			t.Fatal(err)
		}
	})
	if found := diagnose(t, b, false); !slices.Equal(found, []string{FindPending}) {
		t.Errorf("findings: %v", found)
	}
	diagnose(t, b, true)
	if found := diagnose(t, b, false); found != nil {
		t.Errorf("after: %v", found)
	}
	if _, err := os.Lstat(b.Path("a.tgz")); err == nil {
		t.Error("a.tgz is still published")
	}
	b.Do(func(a *vault.Vault) {
		us, err := undo.Undo(t.Context(), a, []catalog.Name{"a.tgz"})
		if err != nil || len(us) != 1 || !us[0].Recycled {
			t.Errorf("Undo = %+v, %v", us, err)
		}
	})
	if got, err := os.ReadFile(b.Path("a.tgz")); err != nil || string(got) != "a" {
		t.Errorf("a.tgz = %q, %v", got, err)
	}
}

// TestMissingDigest: a layout that is added needs a digest that the records do
// not have.
func TestMissingDigest(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a.tgz", catalog.Gentoo, true, "a")
	if err := os.WriteFile(b.Path("layout.conf"), []byte("[structure]\n0=flat\n1=content-hash SHA3_512 8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if found := diagnose(t, b, false); !slices.Equal(found, []string{FindNoPath}) {
		t.Errorf("findings: %v", found)
	}
	diagnose(t, b, true)
	if found := diagnose(t, b, false); found != nil {
		t.Errorf("after: %v", found)
	}
	hex := digest.SHA3_512.Sum([]byte("a")).Hex()
	if _, err := os.Lstat(b.Path(hex[:2], hex)); err != nil {
		t.Error(err)
	}
}

// TestDoctorInterrupted: what was repaired before counts.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a.tgz", catalog.Gentoo, true, "a")
	if err := os.RemoveAll(filepath.Join(b.State, "ledger")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	b.Events.Phase = func(string, int, int64) { cancel(stop) }
	r, err := Doctor(ctx, b.Options, Options{Repair: true})
	if !errors.Is(err, stop) || r == nil || r.Left() != 1 {
		t.Errorf("Doctor = %+v, %v", r, err)
	}
	b.Events.Phase = nil
	diagnose(t, b, true)
	if n := len(b.Records()); n != 1 {
		t.Errorf("%d records", n)
	}
}

// TestSharedPath: by content-hash, the names of one content have one path, and
// one line in distinfo.
func TestSharedPath(t *testing.T) {
	t.Parallel()
	l, err := layout.Parse("content-hash SHA512 8:8")
	if err != nil {
		t.Fatal(err)
	}
	b := archivetest.New(t, l)
	b.Put("a.tgz", catalog.Gentoo, true, "one")
	b.Put("b.tgz", catalog.Gentoo, true, "one")
	b.Put("c.tgz", catalog.Gentoo, true, "two")
	b.Do(func(a *vault.Vault) {
		if err := a.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var batch ledger.Batch
		batch.PutNotes(&ledger.Notes{Changed: true}, new(ledger.Notes))
		if err := errors.Join(export.WriteDistinfo(a), a.Ledger().Commit(&batch, nil)); err != nil {
			t.Fatal(err)
		}
	})
	if found := diagnose(t, b, false); found != nil {
		t.Errorf("findings: %v", found)
	}
	if err := os.WriteFile(b.Path("distinfo"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if found := diagnose(t, b, false); !slices.Equal(found, []string{FindList}) {
		t.Errorf("findings: %v, want that distinfo is empty", found)
	}
	diagnose(t, b, true)
	if found := diagnose(t, b, false); found != nil {
		t.Errorf("after: %v", found)
	}
}

// TestDoctorMerge: layouts that put a name into the same directory find one
// thing twice. What becomes of it is noted at the finding that is reported.
func TestDoctorMerge(t *testing.T) {
	d := &doctor{report: &Report{}, last: new(examination)}
	missing := func() *Finding { return &Finding{Kind: FindMissingLink, Path: "a/n.tar", Name: "n.tar"} }
	d.last.findings = []*Finding{missing(), missing()}
	d.merge(0)
	if len(d.report.Findings) != 1 || d.last.findings[0] != d.report.Findings[0] || d.last.findings[1] != d.report.Findings[0] {
		t.Errorf("%d findings are reported, and %v are worked on", len(d.report.Findings), d.last.findings)
	}
	d.last.findings = nil
	d.merge(1)
	if !d.report.Findings[0].Repaired {
		t.Error("what is not found any more was not repaired")
	}
}
