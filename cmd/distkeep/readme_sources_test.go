package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"distkeep/catalog/digest"
)

// listUpstream makes the lists of README.md's examples: signed checksums and the
// sources of Guix on a server, ports and a list of our own below root. The files
// that they name are on the server, which has all that the example hosts have.
func listUpstream(t *testing.T, root string) *httptest.Server {
	t.Helper()
	key, err := openpgp.NewEntity("Signer", "", "signer@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public, sig bytes.Buffer
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	const image, ported, own, guix = "an image", "of a port", "of the company", "of Guix"
	sums := digest.SHA512.Sum([]byte(image)).Hex() + "  list-image.iso\n"
	if err := openpgp.DetachSign(&sig, []*openpgp.Entity{key}, bytes.NewReader([]byte(sums)), nil); err != nil {
		t.Fatal(err)
	}
	web := filepath.Join(root, "web")
	u := httptest.NewServer(http.FileServer(http.Dir(web)))
	t.Cleanup(u.Close)
	for name, text := range map[string]string{
		"srv/signers.gpg":                   public.String(),
		"web/current/SHA512SUMS":            sums,
		"web/current/SHA512SUMS.sign":       sig.String(),
		"web/current/list-image.iso":        image,
		"web/ports-distfiles/list-port.tgz": ported,
		"web/list-company.tgz":              own,
		"web/list-guix.tgz":                 guix,
		"usr/ports/misc/list/distinfo":      fmt.Sprintf("TIMESTAMP = 1700000000\nSHA256 (list-port.tgz) = %s\nSIZE (list-port.tgz) = %d\n", digest.SHA256.Sum([]byte(ported)).Hex(), len(ported)),
		"srv/company.jsonl":                 fmt.Sprintf("{\"name\": \"list-company.tgz\", \"digests\": {\"sha256\": %q}, \"uris\": [%q]}\n", digest.SHA256.Sum([]byte(own)).Hex(), u.URL+"/list-company.tgz"),
		"web/sources.json":                  fmt.Sprintf(`{"version": "1", "sources": [{"type": "url", "urls": [%q], "integrity": "sha256-%s"}]}`, u.URL+"/list-guix.tgz", digest.SHA256.Sum([]byte(guix)).Base64()),
	} {
		writeFile(t, filepath.Join(root, filepath.FromSlash(name)), text)
	}
	return u
}
