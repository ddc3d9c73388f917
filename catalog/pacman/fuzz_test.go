package pacman

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"distkeep/catalog"
)

// format is the desc that parses as p.
func format(p Package) string {
	var b strings.Builder
	put := func(key, value string) { fmt.Fprintf(&b, "%%%s%%\n%s\n\n", key, value) }
	put("FILENAME", string(p.Filename))
	put("NAME", p.Name)
	put("VERSION", p.Version)
	if p.Arch != "" {
		put("ARCH", p.Arch)
	}
	if p.CSize >= 0 {
		put("CSIZE", fmt.Sprint(p.CSize))
	}
	if !p.SHA256.IsZero() {
		put("SHA256SUM", p.SHA256.Hex())
	}
	if !p.MD5.IsZero() {
		put("MD5SUM", p.MD5.Hex())
	}
	if p.PGPSig != nil {
		put("PGPSIG", base64.StdEncoding.EncodeToString(p.PGPSig))
	}
	return b.String()
}

func checkPackage(t *testing.T, p Package) {
	t.Helper()
	if _, err := catalog.ParseName(string(p.Filename)); err != nil {
		t.Fatal(err)
	}
	if again, err := parseDesc(format(p)); err != nil || !reflect.DeepEqual(p, again) {
		t.Fatalf("parse(format(x)) = %+v, %v\nwant %+v", again, err, p)
	}
}

func FuzzDesc(f *testing.F) {
	f.Add(desc("acl"))
	f.Add("%NAME%\n\n\n%NAME%")
	f.Add("%DEPENDS%\na\n%FILENAME%\n\n%FILENAME%\na-1-1-any.pkg.tar\n%NAME%\na\n%VERSION%\n1:2-3\n%PGPSIG%\naWNo\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseDesc(text)
		if err == nil {
			checkPackage(t, p)
		} else if p.Name != "" {
			t.Fatal("a package besides the error")
		}
	})
}

func FuzzDatabase(f *testing.F) {
	for _, c := range []Compression{None, Gzip, XZ, Zstd} {
		f.Add(compress(f, c, smallDatabase(f, 2)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lim := limits{packed: 1 << 20, unpacked: 1 << 20, entries: 100, desc: 1 << 12, signed: 1 << 12}
		db, problems, err := parseDatabase("x.db", bytes.NewReader(data), lim)
		if err != nil {
			return
		}
		if db.Size != int64(len(data)) {
			t.Fatalf("size %d of %d bytes", db.Size, len(data))
		}
		if n := len(db.Packages); n > db.Entries || n+len(problems) < db.Entries {
			t.Fatalf("%d packages, %d problems of %d entries", n, len(problems), db.Entries)
		}
		for _, p := range db.Packages {
			checkPackage(t, p)
		}
	})
}
