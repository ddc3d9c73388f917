package pacman

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"distkeep/catalog/digest"
)

// TestRepoAdd reads what pacman's own repo-add and repo-remove write. It needs
// Debian's pacman-package-manager and makepkg, and is skipped without them.
func TestRepoAdd(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("repo-add"); err != nil {
		t.Skip(err)
	}
	// Debian has what it is made of in another package.
	if _, err := os.Stat("/usr/share/makepkg/util/compress.sh"); err != nil {
		t.Skip(err)
	}
	const info = "pkgname = a\npkgver = 1:2-3\npkgdesc = x\nbuilddate = 1\npackager = p\nsize = 1\narch = any\ndepend = b\n"
	pkg := compress(t, Zstd, packages(t, []txtar.File{{Name: ".PKGINFO", Data: []byte(info)}, {Name: "usr/a", Data: []byte("a")}}))
	h := digest.NewHasher()
	h.Write(pkg)
	for ext, c := range map[string]Compression{".tar": None, ".tar.gz": Gzip, ".tar.xz": XZ, ".tar.zst": Zstd, ".tar.bz2": Bzip2} {
		t.Run(ext, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			const file = "a-1:2-3-any.pkg.tar.zst"
			if err := os.WriteFile(filepath.Join(dir, file), pkg, 0o644); err != nil {
				t.Fatal(err)
			}
			run := func(prog, what string) {
				cmd := exec.Command(prog, "t.db"+ext, what)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", prog, err, out)
				}
			}
			parse := func(name string) *Database {
				f, err := os.Open(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				db, problems, err := ParseDatabase(name, f)
				if err != nil || len(problems) > 0 {
					t.Fatal(err, problems)
				}
				if db.Compression != c {
					t.Errorf("%s is packed with %s, want %s", name, db.Compression, c)
				}
				return db
			}
			run("repo-add", file)
			for _, name := range []string{"t.db", "t.files"} {
				db := parse(name)
				if len(db.Packages) != 1 {
					t.Fatalf("%s: %d packages", name, len(db.Packages))
				}
				p := db.Packages[0]
				if p.ID() != "a-1:2-3" || p.Filename != file || p.CSize != int64(len(pkg)) || p.SHA256 != h.Sum().Get(digest.SHA256) {
					t.Errorf("%s: %+v", name, p)
				}
			}
			run("repo-remove", "a")
			if db := parse("t.db"); db.Entries != 0 {
				t.Errorf("%d entries after the only package went", db.Entries)
			}
		})
	}
}
