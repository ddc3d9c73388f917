package gentoo

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"distkeep/catalog"
)

// TestScan scans the trees of testdata. A case has, in this order: a comment
// with one setting a line, the files of one or more repositories, and the
// listing of the scan. UPDATE=1 rewrites the listings.
//
// Settings are "repo DIR" (the repository to scan, "repo" by default), "name",
// "master", "override NAME=URL…", "skip", "exempt", and "link PATH TARGET" for
// symbolic links. "@" after _md5_= stands for the MD5 of the ebuild.
func TestScan(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("../../testdata/gentoo/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := len(ar.Files) - 1
			if last < 0 || ar.Files[last].Name != "want" {
				t.Fatal("the last file is not the listing")
			}
			got := scanArchive(t, string(ar.Comment), ar.Files[:last])
			if got == string(ar.Files[last].Data) {
				return
			}
			if os.Getenv("UPDATE") == "" {
				t.Fatalf("-want +got:\n%s", cmp.Diff(string(ar.Files[last].Data), got))
			}
			ar.Files[last].Data = []byte(got)
			if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// scanArchive scans the tree that files describe, once with one worker, once with
// several, and twice with stamps, and returns the listing.
func scanArchive(t *testing.T, settings string, files []txtar.File) string {
	tmp := t.TempDir()
	unpack(t, tmp, files)
	repo := "repo"
	var o Options
	for line := range strings.Lines(settings) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "repo":
			repo = value
		case "name":
			o.Name = value
		case "master":
			o.Masters = append(o.Masters, filepath.Join(tmp, value))
		case "skip":
			o.MirrorSkip = append(o.MirrorSkip, value)
		case "exempt":
			o.MirrorExemptions = append(o.MirrorExemptions, value)
		case "override":
			name, urls, _ := strings.Cut(value, "=")
			o.MirrorOverrides = map[string][]string{name: strings.Fields(urls)}
		case "link":
			path, target, _ := strings.Cut(value, " ")
			if err := os.Symlink(target, filepath.Join(tmp, path)); err != nil {
				t.Fatal(err)
			}
		case "", "#":
		default:
			t.Fatalf("unknown setting %q", line)
		}
	}
	var got [4]string
	for i, workers := range []int{1, 3, 3, 3} {
		if o.Workers = workers; i == 2 {
			o = stamping(t, o)
		}
		r, err := Open(filepath.Join(tmp, repo), o)
		if err != nil {
			return "error: " + strings.ReplaceAll(err.Error(), tmp+"/", "") + "\n"
		}
		s, err := r.Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got[i] = strings.ReplaceAll(listing(s), tmp+"/", "")
	}
	for i := range got {
		if got[0] != got[i] {
			t.Errorf("the listing depends on the number of workers, or on stamps:\n%s", cmp.Diff(got[0], got[i]))
		}
	}
	return got[0]
}

func unpack(t *testing.T, tmp string, files []txtar.File) {
	sums := make(map[string]string)
	for _, f := range files {
		if p, ok := strings.CutSuffix(f.Name, ".ebuild"); ok {
			sum := md5.Sum(f.Data)
			repo, rest, _ := strings.Cut(p, "/")
			cat, rest, _ := strings.Cut(rest, "/")
			_, pf, _ := strings.Cut(rest, "/")
			sums[repo+"/metadata/md5-cache/"+cat+"/"+pf] = hex.EncodeToString(sum[:])
		}
	}
	for _, f := range files {
		data := f.Data
		if sum := sums[f.Name]; sum != "" {
			data = []byte(strings.Replace(string(data), "_md5_=@", "_md5_="+sum, 1))
		}
		write(t, filepath.Join(tmp, f.Name), data)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// listing writes all that a scan says.
func listing(s *catalog.Scan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d packages, %d unreferenced\n", s.Kind, s.Repo, s.Packages, s.Unreferenced)
	for _, d := range s.Distfiles {
		fmt.Fprintf(&b, "file %s %d", d.Name, d.Size)
		for _, sum := range d.Digests {
			fmt.Fprintf(&b, " %s:%.6s", sum.Alg, sum.Hex())
		}
		if d.Restrict != "" {
			fmt.Fprintf(&b, " [%s: %s]", d.Restrict, d.Reason)
		}
		b.WriteByte('\n')
		for _, o := range d.Owners {
			fmt.Fprintf(&b, "  for %s\n", o)
		}
		for _, src := range d.Sources {
			fmt.Fprintf(&b, "  at %s", src.URI)
			for _, base := range src.Bases {
				fmt.Fprintf(&b, " | %s", base)
			}
			if src.Missing != "" {
				fmt.Fprintf(&b, " (%s)", src.Missing)
			}
			b.WriteByte('\n')
		}
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "problem %s\n", p.Error())
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	return b.String()
}

func TestScanCancelled(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	generate(t, tmp, 3)
	r, err := Open(tmp, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want one that wraps context.Canceled", err)
	}
}
