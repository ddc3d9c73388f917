package pacman

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distkeep/catalog"
)

// trees are real databases that are not part of the project; the tests over
// them are skipped where they are missing.
const trees = "../../../shared/trees/pacman"

// realDatabases are all of them, with what `bsdtar tf` and `bsdtar xOf` count:
// desc members, PGPSIG and MD5SUM keys, and file names with an epoch.
var realDatabases = []struct {
	file                    string
	c                       Compression
	descs, sigs, md5, epoch int
}{
	{"arcolinux_repo/arcolinux_repo.db", Gzip, 341, 0, 0, 1},
	{"arcolinux_repo_submicron/arcolinux_repo_submicron.db", Gzip, 22, 0, 0, 0},
	{"arcolinux_repo_testing/arcolinux_repo_testing.db", Gzip, 1, 0, 0, 0},
	{"ctlos_repo/ctlos_repo.db.tar.zst", Zstd, 28, 0, 0, 0},
	{"gfw-x86_64/git-for-windows-mingw64.db", XZ, 32, 11, 11, 0},
	{"gfw-x86_64/git-for-windows-x86_64.db", XZ, 85, 23, 23, 0},
	{"malr-arch/archcraft.db.tar.xz", Gzip, 105, 0, 105, 0}, // its name lies
	{"malr-arch/core.db.tar.gz", Gzip, 261, 261, 261, 10},
	{"malr-arch/multilib.db.tar.gz", Gzip, 278, 278, 278, 11},
	{"tmarcolinux-repo/tmarcolinux-repo.db.tar.gz", Gzip, 3, 3, 3, 0},
	{"tmarcolinux-repo/tmarcolinux-repo.db.tar.gz.old", Gzip, 3, 3, 3, 0},
}

func TestRealDatabases(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(trees); err != nil {
		t.Skip(err)
	}
	for _, c := range realDatabases {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(trees, c.file)
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			db, problems, err := ParseDatabase(c.file, f)
			if err != nil {
				t.Fatal(err)
			}
			if len(problems) > 0 {
				t.Errorf("%d problems, the first: %v", len(problems), problems[0])
			}
			if db.Compression != c.c {
				t.Errorf("compression is %s, want %s", db.Compression, c.c)
			}
			var sigs, md5, epoch int
			for _, p := range db.Packages {
				if p.CSize <= 0 || p.SHA256.IsZero() || p.Arch == "" {
					t.Errorf("%s is not complete: %+v", p.ID(), p)
				}
				if p.PGPSig != nil {
					sigs++
				}
				if !p.MD5.IsZero() {
					md5++
				}
				if strings.Contains(string(p.Filename), ":") {
					epoch++
				}
			}
			if n := len(db.Packages); n != c.descs || db.Entries != n || sigs != c.sigs || md5 != c.md5 || epoch != c.epoch {
				t.Errorf("%d packages of %d entries, %d signatures, %d MD5, %d epochs; want %+v", n, db.Entries, sigs, md5, epoch, c)
			}
			if out, err := exec.Command("bsdtar", "tf", name).Output(); err == nil {
				if n := strings.Count(string(out), "/desc\n"); n != len(db.Packages) {
					t.Errorf("bsdtar counts %d desc members, %d packages", n, len(db.Packages))
				}
			}
		})
	}
}

// TestRealRepositories scans the trees as an operator would name them.
func TestRealRepositories(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(trees); err != nil {
		t.Skip(err)
	}
	var repos []catalog.Repository
	for _, o := range []Options{
		{Name: "arco", Repos: []string{"arcolinux_repo", "arcolinux_repo_submicron", "arcolinux_repo_testing", "ctlos_repo", "tmarcolinux-repo"}, Template: "$repo"},
		{Name: "gfw", Repos: []string{"git-for-windows-x86_64", "git-for-windows-mingw64"}, Arches: []string{"x86_64"}, Template: "gfw-$arch"},
		{Name: "malr", Repos: []string{"core", "multilib", "archcraft"}, Template: "malr-arch"},
	} {
		r, err := Open(trees, o)
		if err != nil {
			t.Fatal(err)
		}
		repos = append(repos, r)
	}
	c, err := catalog.Collect(t.Context(), repos)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Complete() {
		t.Errorf("%d problems, the first: %v", len(c.Problems), c.Problems[0])
	}
	var n int
	for _, st := range c.Repos {
		n += st.Packages
	}
	// All 32 packages of one git-for-windows database are in the other too.
	if n != 1156 || len(c.Distfiles) != 1124 || len(c.Conflicts) != 0 {
		t.Errorf("%d packages, %d distfiles, %d conflicts", n, len(c.Distfiles), len(c.Conflicts))
	}
}
