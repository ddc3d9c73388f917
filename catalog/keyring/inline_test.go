package keyring

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// signifyKey returns a key pair of signify that is made of seed: its public
// file, and what signs with it.
func signifyKey(seed byte) (public []byte, sign func(message string) string) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	line := func(value []byte) string {
		return base64.StdEncoding.EncodeToString(append([]byte{'E', 'd', seed, 2, 3, 4, 5, 6, 7, 8}, value...)) + "\n"
	}
	public = []byte("untrusted comment: test public key\n" + line(key.Public().(ed25519.PublicKey)))
	return public, func(message string) string {
		return "untrusted comment: verify with test.pub\n" + line(ed25519.Sign(key, []byte(message)))
	}
}

func TestSignify(t *testing.T) {
	t.Parallel()
	public, sign := signifyKey(1)
	other, signOther := signifyKey(2)
	k := new(Keyring)
	if err := errors.Join(k.Add("a.pub", bytes.NewReader(public)), k.Add("b.pub", bytes.NewReader(other))); err != nil || k.Len() != 2 {
		t.Fatal(k.Len(), err)
	}
	if err := k.Add("a.pub", bytes.NewReader(public)); err == nil || !strings.Contains(err.Error(), "a.pub: key 0102030405060708 occurs twice") {
		t.Errorf("error = %v", err)
	}
	_, unknown := signifyKey(3)
	for name, tc := range map[string]struct {
		data, sig string
		want      error
	}{
		"good":      {text, sign(text), nil},
		"CR LF":     {text, strings.ReplaceAll(sign(text), "\n", "\r\n"), nil},
		"other":     {text, signOther(text), nil},
		"unknown":   {text, unknown(text), ErrUnknownSigner},
		"changed":   {text + "x", sign(text), ErrBadSignature},
		"cut short": {text, sign(text)[:90], ErrBadSignature},
		"a key":     {text, string(public), ErrBadSignature},
		"nothing":   {text, "untrusted comment: ", ErrBadSignature},
	} {
		if who, err := k.Verify(strings.NewReader(tc.data), []byte(tc.sig)); !errors.Is(err, tc.want) || tc.want == nil && !strings.HasPrefix(who, "signify key ") {
			t.Errorf("%s: %q, %v, want %v", name, who, err, tc.want)
		}
	}
}

func TestInline(t *testing.T) {
	t.Parallel()
	alice, mallory := newKey(t, "Alice"), newKey(t, "Mallory")
	k := load(t, public(t, alice))
	signifyPublic, sign := signifyKey(1)
	if err := k.Add("a.pub", bytes.NewReader(signifyPublic)); err != nil {
		t.Fatal(err)
	}
	list := "- a list\nSHA256 (a) = 00\n"
	clear := func(e any) string {
		t.Helper()
		var buf bytes.Buffer
		key := alice.PrivateKey
		if e == mallory {
			key = mallory.PrivateKey
		}
		w, err := clearsign.Encode(&buf, key, at(born))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(list)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.String()
	}
	good := clear(alice)
	for name, tc := range map[string]struct {
		data    string
		message string // or none
		want    error
	}{
		"signify":            {sign(list) + list, list, nil},
		"signify, changed":   {sign(list) + list + "x", list + "x", ErrBadSignature},
		"signify, detached":  {sign(list), "", nil},
		"cleartext":          {good, list, nil},
		"cleartext, CR LF":   {strings.ReplaceAll(good, "\n", "\r\n"), list, nil},
		"cleartext, changed": {strings.Replace(good, "= 00", "= 01", 1), strings.Replace(list, "= 00", "= 01", 1), ErrBadSignature},
		"by nobody":          {clear(mallory), list, ErrUnknownSigner},
		"behind it":          {good + "SHA256 (b) = 01\n", list, nil},
		"before it":          {"SHA256 (b) = 01\n" + good, "", nil},
		"no signature":       {list, "", nil},
		"empty":              {"", "", nil},
		"cut short":          {good[:len(good)/2], "", nil},
	} {
		m := FindInline([]byte(tc.data))
		if m == nil || tc.message == "" {
			if m != nil || tc.message != "" {
				t.Errorf("%s: message = %+v, want %q", name, m, tc.message)
			}
			continue
		}
		if got := strings.ReplaceAll(string(m.Message), "\r\n", "\n"); strings.TrimRight(got, "\n") != strings.TrimRight(tc.message, "\n") {
			t.Errorf("%s: message = %q, want %q", name, got, tc.message)
		}
		if _, err := k.VerifyInline(m); !errors.Is(err, tc.want) {
			t.Errorf("%s: error = %v, want %v", name, err, tc.want)
		}
	}
}

func FuzzInline(f *testing.F) {
	public, sign := signifyKey(1)
	k, err := Load("a.pub", bytes.NewReader(public))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(sign(text) + text))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := FindInline(data)
		if m == nil {
			return
		}
		if len(m.Message) > len(data) {
			t.Fatal("the message is longer than the file")
		}
		if _, err := k.VerifyInline(m); err == nil && string(m.Message) != text {
			t.Fatalf("signed: %q", m.Message)
		}
	})
}
