package openbsd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestScan scans the trees in testdata: the files of an archive are a ports
// tree, "dump" is the output of make dump-vars, "options" has the options, and
// "want" the result. UPDATE=1 writes the latter.
func TestScan(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("../../testdata/openbsd/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var o Options
			var want string
			dir := t.TempDir()
			for _, f := range ar.Files {
				switch f.Name {
				case "options":
					o = parseOptions(t, string(f.Data))
				case "want":
					want = string(f.Data)
				default:
					write(t, filepath.Join(dir, f.Name), f.Data)
				}
			}
			o.Dump = filepath.Join(dir, "dump")
			got := strings.ReplaceAll(scanText(t, dir, o), dir+"/", "")
			if diff := gocmp.Diff(want, got); diff != "" && os.Getenv("UPDATE") == "" {
				t.Errorf("-want +got:\n%s", diff)
			} else if diff != "" {
				ar.Files = slices.DeleteFunc(ar.Files, func(f txtar.File) bool { return f.Name == "want" })
				ar.Files = append(ar.Files, txtar.File{Name: "want", Data: []byte(got)})
				write(t, file, txtar.Format(ar))
			}
		})
	}
}

func parseOptions(t *testing.T, text string) (o Options) {
	t.Helper()
	for line := range strings.Lines(text) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key {
		case "root":
			o.Root = value
		case "backup":
			o.BackupSites = append(o.BackupSites, value)
		default:
			t.Fatalf("unknown option %s", key)
		}
	}
	return o
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, path string, o Options) (*catalog.Scan, error) {
	t.Helper()
	r, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Scan(t.Context())
}

// scanText is the result of a scan for people to read.
func scanText(t *testing.T, path string, o Options) string {
	s, err := scan(t, path, o)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s packages=%d unreferenced=%d\n", s.Kind, s.Repo, s.Packages, s.Unreferenced)
	for _, d := range s.Distfiles {
		fmt.Fprintf(&b, "%s %d", d.Name, d.Size)
		for _, g := range d.Digests {
			fmt.Fprintf(&b, " %s %s", g.Alg, g.Base64())
		}
		b.WriteByte('\n')
		if d.Restrict != "" {
			fmt.Fprintf(&b, "\trestrict %s: %s\n", d.Restrict, d.Reason)
		}
		for _, o := range d.Owners {
			fmt.Fprintf(&b, "\towner %s\n", o)
		}
		for _, u := range d.Sources {
			fmt.Fprintf(&b, "\turi %s\n", u.URI)
		}
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "problem in %s: %v\n", p.Repo, p)
	}
	return b.String()
}

// trees returns the directory of real ports trees, or skips.
func trees(t testing.TB) string {
	t.Helper()
	const dir = "../../../shared/trees/openbsd"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no real trees here")
	}
	return dir
}

// TestBitrig scans a complete tree. The result was compared, name by name with
// sizes, digests, owners and URIs, with that of a Python script written from the
// Perl of DPB; it has 2,093 references in 1,537 blocks. In the tree itself:
//
//	awk -F'[.][A-Z][A-Z_0-9]*=' 'NF>1 {print $1}' dump-vars.txt | sort -u | wc -l     1455
//	find . -name distinfo | grep -v -e devel/gmake -e lang/compcert -e lang/go-current \
//	    -e lang/php/7.0 -e www/nginx | xargs grep -h '^SHA256' | sort -u | wc -l      1332
//
// where the five are the distinfo files that no port of the dump names.
func TestBitrig(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(trees(t), "bitrig-2016")
	s, err := scan(t, dir, Options{Dump: filepath.Join(dir, "dump-vars.txt")})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Problems {
		t.Errorf("problem: %v", p)
	}
	c := catalog.Merge([]*catalog.Scan{s})
	got := fmt.Sprintf("packages %d, unreferenced %d, distfiles %d, restricted %d, conflicts %d, URIs %d",
		s.Packages, s.Unreferenced, len(c.Distfiles), len(c.Restricted), len(c.Conflicts), c.Repos[0].URIs)
	if want := "packages 1455, unreferenced 0, distfiles 1310, restricted 22, conflicts 0, URIs 6938"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, d := range slices.Concat(c.Distfiles, c.Restricted) {
		if d.Size <= 0 || d.Digests.Get(digest.SHA256).IsZero() || len(d.Owners) == 0 {
			t.Errorf("incomplete: %+v", d)
		}
		if len(d.Sources) == 0 {
			t.Errorf("%s has no sources", d.Name)
		}
	}

	// The default DPB prints more variables of the same ports.
	part, err := scan(t, dir, Options{Dump: filepath.Join(dir, "dump-vars.archivers.default-DPB.txt"), Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	var fromAll []catalog.Name
	for _, d := range s.Distfiles {
		if strings.HasPrefix(d.Owners[0].Package, "archivers/") {
			fromAll = append(fromAll, d.Name)
		}
	}
	var fromPart []catalog.Name
	for _, d := range part.Distfiles {
		fromPart = append(fromPart, d.Name)
	}
	if !slices.Equal(fromAll, fromPart) || len(part.Problems) > 0 {
		t.Errorf("the archivers of both dumps differ: %s", gocmp.Diff(fromAll, fromPart))
	}
}

// A tree is what the distinfo files of a tree have in common.
type tree struct {
	Files, Entries, Names, Subdirs, NoSize, NoSHA256, Conflicts, OtherAlgs, Problems int
}

// TestRealDistinfo counts the anomalies of real distinfo files. Independently, in
// each tree:
//
//	find . -name distinfo | wc -l                                            Files
//	for f in $(find . -name distinfo); do sed 's/^[A-Z0-9]* //;s/ = .*//' $f | sort -u; done > e
//	wc -l < e; sort -u e | wc -l; grep -c / e                     Entries, Names, Subdirs
//	for f in $(find . -name distinfo); do awk '
//	    {n = $2; all[n]} /^SIZE/ {z[n]} /^SHA256/ {s[n]} /^(MD5|SHA1|RMD160)/ {o++}
//	    END {for (n in all) {a += !(n in z); b += !(n in s)}; print a+0, b+0, o+0}' $f
//	done | awk '{a+=$1; b+=$2; o+=$3} END {print a, b, o}'      NoSize, NoSHA256, OtherAlgs
//	find . -name distinfo | xargs sed -n '/^SIZE\|^SHA256/p' | sort -u |
//	    sed 's/ = .*//' | uniq -d | wc -l                                    Conflicts
func TestRealDistinfo(t *testing.T) {
	t.Parallel()
	dir := trees(t)
	for name, want := range map[string]tree{
		"bitrig-2016": {Files: 1178, Entries: 1352, Names: 1342, Subdirs: 149},
		"wip-2026":    {Files: 125, Entries: 388, Names: 363, Subdirs: 277, NoSize: 1, NoSHA256: 5, OtherAlgs: 21},
		"kidaak-2012": {Files: 60, Entries: 70, Names: 70, Subdirs: 12, OtherAlgs: 204},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got tree
			first := make(map[catalog.Name]entry)
			err := filepath.WalkDir(filepath.Join(dir, name), func(path string, _ os.DirEntry, err error) error {
				if err != nil || filepath.Base(path) != "distinfo" {
					return err
				}
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				entries, problems := parseDistinfo(path, f)
				got.Files++
				got.Entries += len(entries)
				got.Problems += len(problems)
				for _, e := range entries {
					got.count(e, first)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			got.Names = len(first)
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func (c *tree) count(e entry, first map[catalog.Name]entry) {
	if strings.Contains(string(e.Name), "/") {
		c.Subdirs++
	}
	if e.Size < 0 {
		c.NoSize++
	}
	if e.sha256().IsZero() {
		c.NoSHA256++
	}
	for _, a := range e.Digests.Algorithms() {
		if a != digest.SHA256 {
			c.OtherAlgs++
		}
	}
	f, ok := first[e.Name]
	if !ok {
		first[e.Name] = e
	} else if f.Digests.Compare(e.Digests) == digest.Different || cmp.Compare(f.Size, e.Size) != 0 {
		c.Conflicts++
	}
}

func TestScanCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := Open(dir, Options{Dump: "-", Stdin: strings.NewReader("a/b.DISTFILES=x\n")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}
