package pacman

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"distkeep/catalog"
)

// show is the text of a parsed database that the cases compare.
func show(db *Database, problems []catalog.Problem) string {
	var b strings.Builder
	fmt.Fprintf(&b, "entries %d\n", db.Entries)
	for _, p := range db.Packages {
		fmt.Fprintf(&b, "%s %s %q %s %d sig=%q weak=%v\n", p.Name, p.Version, p.Arch, p.Filename, p.CSize, p.PGPSig, p.weak())
		for _, d := range p.Digests() {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "problem: %s\n", p.Error())
	}
	return b.String()
}

// TestParseDatabase reads each case in every compression under a name that
// lies about it.
func TestParseDatabase(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("../../testdata/pacman/db/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		for _, c := range []Compression{None, Gzip, XZ, Zstd, Bzip2} {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+string(c), func(t *testing.T) {
				t.Parallel()
				ar, err := txtar.ParseFile(path)
				if err != nil {
					t.Fatal(err)
				}
				last := len(ar.Files) - 1
				if last < 0 || ar.Files[last].Name != "want" {
					t.Fatal("the last file is not want")
				}
				data := compress(t, c, packages(t, ar.Files[:last]))
				db, problems, err := ParseDatabase("t.db.tar.lz", bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				got := show(db, problems)
				if diff := cmp.Diff(string(ar.Files[last].Data), got); diff != "" {
					if os.Getenv("UPDATE") == "" || c != None {
						t.Fatalf("-want +got:\n%s", diff)
					}
					ar.Files[last].Data = []byte(got)
					if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				sum := sha256.Sum256(data)
				if db.Compression != c || db.Size != int64(len(data)) || db.SHA256.Hex() != hex.EncodeToString(sum[:]) {
					t.Errorf("database is %s, %d bytes, %s", db.Compression, db.Size, db.SHA256)
				}
			})
		}
	}
}

// desc is the text of a good entry.
func desc(name string) string {
	return "%FILENAME%\n" + name + "-1-1-any.pkg.tar.zst\n\n%NAME%\n" + name + "\n\n%VERSION%\n1-1\n\n%CSIZE%\n7\n\n%SHA256SUM%\n" + strings.Repeat("0a", 32) + "\n\n%ARCH%\nany\n"
}

// smallDatabase is an uncompressed database of n good packages.
func smallDatabase(t testing.TB, n int) []byte {
	var files []txtar.File
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		files = append(files, txtar.File{Name: name + "-1-1/desc", Data: []byte(desc(name))})
	}
	return packages(t, files)
}

func TestParseDatabaseErrors(t *testing.T) {
	t.Parallel()
	raw := smallDatabase(t, 3)
	// Without its end marker an archive of whole members looks complete.
	members := bytes.TrimRight(raw, "\x00")
	members = members[:(len(members)+511)/512*512]
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "x.db: empty file"},
		{"error page", []byte("<!DOCTYPE html><html><head><title>404</title></head></html>" + strings.Repeat(" ", 1024)), "x.db: neither a tar archive nor compressed with gzip, xz, zstd or bzip2: is it an error page?"},
		{"short text", []byte("not found\n"), "x.db: neither a tar archive nor compressed with gzip, xz, zstd or bzip2: is it an error page?"},
		{"lz4", []byte("\x04\x22\x4d\x18aaaaaaaaaaa"), "x.db: lz4: compressed with lz4, which is not supported: use gzip, xz or zstd"},
		{"no end marker", members, "x.db: cut short: the tar archive has no end marker"},
		{"member cut short", raw[:1024+100], "x.db: cut short: unexpected EOF"},
		{"nothing in gzip", compress(t, Gzip, nil), "x.db: cut short: the tar archive has no end marker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, problems, err := ParseDatabase("x.db", bytes.NewReader(c.data))
			if err == nil || err.Error() != c.want {
				t.Errorf("error = %v\nwant    %s", err, c.want)
			}
			if db != nil || problems != nil {
				t.Error("a result besides the error")
			}
		})
	}
}

// TestCutShort cuts a database at every length: none must pass for whole.
func TestCutShort(t *testing.T) {
	t.Parallel()
	raw := smallDatabase(t, 2)
	for _, c := range []Compression{None, Gzip, XZ, Zstd, Bzip2} {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			data := compress(t, c, raw)
			end := len(data)
			if c == None {
				end -= 1024 // half of the end marker is enough for libarchive
			}
			for n := range end {
				if _, _, err := ParseDatabase("x.db", bytes.NewReader(data[:n])); err == nil {
					t.Errorf("%d of %d bytes are taken for a database", n, len(data))
				}
			}
		})
	}
}

// TestDamage flips bits: a compressor's checksum must be looked at.
func TestDamage(t *testing.T) {
	t.Parallel()
	raw := smallDatabase(t, 2)
	for _, c := range []Compression{Gzip, XZ, Zstd, Bzip2} {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			good := compress(t, c, raw)
			want, _, err := ParseDatabase("x.db", bytes.NewReader(good))
			if err != nil {
				t.Fatal(err)
			}
			for i := range good {
				data := bytes.Clone(good)
				data[i] ^= 0x10
				// Some bits mean nothing, as the time in a gzip header.
				if db, problems, err := ParseDatabase("x.db", bytes.NewReader(data)); err == nil && show(db, problems) != show(want, nil) {
					t.Errorf("flipped bit in byte %d changes the result unnoticed:\n%s", i, show(db, problems))
				}
			}
		})
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	good := limits{packed: 1 << 20, unpacked: 1 << 20, entries: 6, desc: 400, signed: 100}
	raw := smallDatabase(t, 3)
	var signed []txtar.File
	for _, p := range []string{"p0", "p1", "p2"} {
		signed = append(signed, txtar.File{Name: p + "-1-1/desc", Data: []byte(desc(p) + "\n%PGPSIG%\n" + strings.Repeat("A", 40) + "\n")})
	}
	for _, c := range []struct {
		name string
		data []byte
		lim  func(*limits)
		want string
	}{
		{"just right", raw, func(l *limits) { l.packed, l.unpacked = int64(len(raw)), int64(len(raw)) }, ""},
		{"packed", raw, func(l *limits) { l.packed = int64(len(raw)) - 1 }, fmt.Sprintf("file is larger than %d bytes", len(raw)-1)},
		{"unpacked", compress(t, Zstd, raw), func(l *limits) { l.unpacked = int64(len(raw)) - 1 }, fmt.Sprintf("zstd: what it unpacks to is larger than %d bytes", len(raw)-1)},
		{"bomb", compress(t, Gzip, append(bytes.Clone(raw), make([]byte, 2<<20)...)), func(*limits) {}, "gzip: what it unpacks to is larger than 1048576 bytes"},
		{"signatures", packages(t, signed), func(l *limits) { l.signed = 89 }, "signatures of more than 89 bytes in all"},
		{"signatures that fit", packages(t, signed), func(l *limits) { l.signed = 90 }, ""},
		{"members", compress(t, Gzip, raw), func(l *limits) { l.entries = 5 }, "gzip: more than 5 members"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lim := good
			c.lim(&lim)
			db, problems, err := parseDatabase("x.db", bytes.NewReader(c.data), lim)
			switch {
			case c.want == "" && (err != nil || len(problems) > 0 || len(db.Packages) != 3):
				t.Errorf("error = %v, problems %v", err, problems)
			case c.want != "" && (err == nil || err.Error() != c.want):
				t.Errorf("error = %v\nwant    %s", err, c.want)
			}
		})
	}
	t.Run("signature", func(t *testing.T) {
		t.Parallel()
		for n, want := range map[int]string{MaxSignature / 3 * 4: "", MaxSignature/3*4 + 8: "bad %PGPSIG%: signature is longer than 65536 bytes"} {
			_, err := parseDesc(desc("p0") + "\n%PGPSIG%\n" + strings.Repeat("A", n))
			if got := fmt.Sprint(err); err == nil && want != "" || err != nil && got != want {
				t.Errorf("%d characters: %v", n, err)
			}
		}
	})
	t.Run("desc", func(t *testing.T) {
		t.Parallel()
		lim := good
		lim.desc = int64(len(desc("p0"))) - 1
		db, problems, err := parseDatabase("x.db", bytes.NewReader(smallDatabase(t, 1)), lim)
		if err != nil || len(db.Packages) != 0 || len(problems) != 1 {
			t.Errorf("%v, %v, %v", db, problems, err)
		}
	})
}
