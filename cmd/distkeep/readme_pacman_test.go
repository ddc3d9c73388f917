package main

import (
	"bytes"
	"path"
	"strings"
	"testing"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"distkeep/catalog/digest"
)

// signedUpstream serves the pacman repositories of README.md's example, signed
// by a key of its own, which keyring is the export of.
func signedUpstream(t *testing.T) (u *pacUpstream, keyring []byte) {
	t.Helper()
	key, err := openpgp.NewEntity("Packager", "", "packager@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"/lastupdate": []byte("1700000000\n")}
	put := func(name string, data []byte) {
		var sig bytes.Buffer
		if err := openpgp.DetachSign(&sig, []*openpgp.Entity{key}, bytes.NewReader(data), nil); err != nil {
			t.Fatal(err)
		}
		files[name], files[name+".sig"] = data, sig.Bytes()
	}
	for dir, packages := range map[string][]string{
		"/core/os/x86_64/":  {"a-1-1-x86_64", "b-1-1-any"},
		"/extra/os/x86_64/": {"b-1-1-any", "c-1-1-x86_64"},
		"/aarch64/core/":    {"a-1-1-aarch64", "b-1-1-any"},
	} {
		repo := strings.Split(strings.Trim(dir, "/"), "/")[0]
		if repo == "aarch64" {
			repo = path.Base(dir)
		}
		var entries []pacEntry
		for _, p := range packages {
			p += ".pkg.tar.zst"
			put(dir+p, pacContent(p))
			entries = append(entries, pacEntry{file: p, size: len(pacContent(p)), sha256: digest.SHA256.Sum(pacContent(p)).Hex()})
		}
		put(dir+repo+".db", pacDatabase(entries, false))
		put(dir+repo+".files", pacDatabase(entries, true))
	}
	u = newPacUpstream(t)
	u.set(files)
	return u, public.Bytes()
}
