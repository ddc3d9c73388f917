package keyring

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// The keys of the tests are made at born and judged at now.
var (
	born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now  = born.AddDate(0, 6, 0)
)

const text = "the bytes of a package\n"

func at(t time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return t }, Algorithm: packet.PubKeyAlgoEdDSA}
}

func newKey(t testing.TB, name string, change ...func(*packet.Config)) *openpgp.Entity {
	t.Helper()
	c := at(born)
	for _, f := range change {
		f(c)
	}
	e, err := openpgp.NewEntity(name, "", strings.ToLower(name)+"@example.org", c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// public is the binary export of the keys.
func public(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var buf bytes.Buffer
	for _, e := range keys {
		if err := e.Serialize(&buf); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func armored(t testing.TB, kind string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := armor.Encode(&buf, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	buf.WriteByte('\n')
	return buf.Bytes()
}

func load(t testing.TB, data []byte) *Keyring {
	t.Helper()
	k, err := Load("keys.gpg", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	k.Now = func() time.Time { return now }
	return k
}

// sign makes a signature of text one day before now.
func sign(t testing.TB, key *packet.PrivateKey, change ...func(*packet.Signature)) []byte {
	t.Helper()
	sig := &packet.Signature{
		Version:      4,
		SigType:      packet.SigTypeBinary,
		PubKeyAlgo:   key.PubKeyAlgo,
		Hash:         crypto.SHA256,
		CreationTime: now.AddDate(0, 0, -1),
		IssuerKeyId:  &key.KeyId,
	}
	for _, f := range change {
		f(sig)
	}
	h, err := sig.PrepareSign(at(now))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(h, text)
	if err := sig.Sign(h, key, at(sig.CreationTime)); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := sig.Serialize(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// as returns key with the identity of another.
func as(key *packet.PrivateKey, other *packet.PublicKey) *packet.PrivateKey {
	k := *key
	k.KeyId, k.Fingerprint = other.KeyId, other.Fingerprint
	return &k
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestVerify(t *testing.T) {
	t.Parallel()
	alice, bob, mallory := newKey(t, "Alice"), newKey(t, "Bob"), newKey(t, "Mallory")
	if err := bob.AddSigningSubkey(at(born)); err != nil {
		t.Fatal(err)
	}
	sub := bob.Subkeys[len(bob.Subkeys)-1].PrivateKey
	if err := alice.AddSigningSubkey(at(born)); err != nil {
		t.Fatal(err)
	}
	other := &alice.Subkeys[len(alice.Subkeys)-1]
	binding := other.Bindings[0].Packet
	binding.FlagSign, binding.FlagAuthenticate, binding.EmbeddedSignature = false, true, nil
	if err := binding.SignKey(other.PublicKey, alice.PrivateKey, at(born)); err != nil {
		t.Fatal(err)
	}
	expiring := newKey(t, "Expiring", func(c *packet.Config) { c.KeyLifetimeSecs = 90 * 24 * 3600 })
	revoked := newKey(t, "Revoked")
	if err := revoked.Revoke(packet.KeyRetired, "", at(now)); err != nil {
		t.Fatal(err)
	}
	subRevoked := newKey(t, "Subrevoked")
	if err := subRevoked.AddSigningSubkey(at(born)); err != nil {
		t.Fatal(err)
	}
	gone := &subRevoked.Subkeys[len(subRevoked.Subkeys)-1]
	if err := gone.Revoke(packet.KeySuperseded, "", at(now)); err != nil {
		t.Fatal(err)
	}
	weak := newKey(t, "Weak", func(c *packet.Config) { c.Algorithm, c.RSABits, c.MinRSABits = packet.PubKeyAlgoRSA, 1024, 1024 })

	ring := public(t, alice, bob, expiring, revoked, subRevoked, weak)
	good := sign(t, alice.PrivateKey)
	longAgo := func(s *packet.Signature) { s.CreationTime = born.AddDate(0, 0, 1) }
	many := bytes.Repeat(good, maxSignatures+1)
	// A packet of a private kind, which is ignored, of 64 KiB.
	tooLong := join([]byte{0xfc, 0xff, 0, 1, 0, 0}, make([]byte, 1<<16), good)
	altered := bytes.Clone(good)
	altered[len(altered)-1] ^= 1

	for _, c := range []struct {
		name   string
		sig    []byte
		data   string
		want   error
		signer string
	}{
		{"primary key", good, text, nil, " Alice <alice@example.org>"},
		{"armored", armored(t, openpgp.SignatureType, good), text, nil, " Alice <alice@example.org>"},
		{"subkey", sign(t, sub), text, nil, " Bob <bob@example.org>"},
		{"stranger's beside a good one", join(sign(t, mallory.PrivateKey), good), text, nil, " Alice <alice@example.org>"},
		{"bad one beside a good one", join(altered, sign(t, sub)), text, nil, " Bob <bob@example.org>"},
		{"revoked one beside a good one", join(sign(t, revoked.PrivateKey), good), text, nil, " Alice <alice@example.org>"},
		{"slightly early", sign(t, alice.PrivateKey, func(s *packet.Signature) { s.CreationTime = now.Add(time.Minute) }), text, nil, " Alice <alice@example.org>"},

		{"other data", good, text + "x", ErrBadSignature, ""},
		{"no data", good, "", ErrBadSignature, ""},
		{"altered", altered, text, ErrBadSignature, ""},
		{"stranger", sign(t, mallory.PrivateKey), text, ErrUnknownSigner, ""},
		{"issuer forged", sign(t, as(mallory.PrivateKey, alice.PrimaryKey)), text, ErrBadSignature, ""},
		{"encryption key", sign(t, as(alice.PrivateKey, alice.Subkeys[0].PublicKey)), text, ErrBadSignature, ""},
		{"key not for signing", sign(t, other.PrivateKey), text, ErrBadSignature, ""},
		{"empty", nil, text, ErrBadSignature, ""},
		{"text", []byte("<html>not found</html>"), text, ErrBadSignature, ""},
		{"cut short", good[:len(good)-1], text, ErrBadSignature, ""},
		{"a key", public(t, alice), text, ErrBadSignature, ""},
		{"an armored key", armored(t, openpgp.PublicKeyType, public(t, alice)), text, ErrBadSignature, ""},
		{"too many", many, text, ErrBadSignature, ""},
		{"too long", tooLong, text, ErrBadSignature, ""},
		{"text signature", sign(t, alice.PrivateKey, func(s *packet.Signature) { s.SigType = packet.SigTypeText }), text, ErrBadSignature, ""},
		{"future", sign(t, alice.PrivateKey, func(s *packet.Signature) { s.CreationTime = now.Add(time.Hour) }), text, ErrBadSignature, ""},
		{"older than the key", sign(t, alice.PrivateKey, func(s *packet.Signature) { s.CreationTime = born.Add(-time.Hour) }), text, ErrBadSignature, ""},
		{"critical notation", sign(t, alice.PrivateKey, func(s *packet.Signature) {
			s.Notations = []*packet.Notation{{Name: "x@example.org", Value: []byte("y"), IsCritical: true}}
		}), text, ErrBadSignature, ""},
		{"weak key", sign(t, weak.PrivateKey), text, ErrBadSignature, ""},

		{"revoked", sign(t, revoked.PrivateKey), text, ErrRevoked, " Revoked <revoked@example.org>"},
		{"revoked later", sign(t, revoked.PrivateKey, longAgo), text, ErrRevoked, " Revoked <revoked@example.org>"},
		{"revoked subkey", sign(t, gone.PrivateKey), text, ErrRevoked, " Subrevoked <subrevoked@example.org>"},
		{"primary of a revoked subkey", sign(t, subRevoked.PrivateKey), text, nil, " Subrevoked <subrevoked@example.org>"},
		{"revoked and bad", sign(t, revoked.PrivateKey), text + "x", ErrBadSignature, ""},
		{"expired key", sign(t, expiring.PrivateKey), text, ErrExpired, " Expiring <expiring@example.org>"},
		{"key expired since", sign(t, expiring.PrivateKey, longAgo), text, ErrExpired, " Expiring <expiring@example.org>"},
		{"expired and bad", sign(t, expiring.PrivateKey), text + "x", ErrBadSignature, ""},
		{"expired signature", sign(t, alice.PrivateKey, func(s *packet.Signature) { one := uint32(1); s.SigLifetimeSecs = &one }), text, ErrExpired, " Alice <alice@example.org>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			signer, err := load(t, ring).Verify(strings.NewReader(c.data), c.sig)
			if !errors.Is(err, c.want) {
				t.Errorf("error = %v, want %v", err, c.want)
			}
			if c.signer == "" && signer != "" || !strings.HasSuffix(signer, c.signer) || c.signer != "" && len(signer) != 40+len(c.signer) {
				t.Errorf("signer = %q, want a fingerprint and %q", signer, c.signer)
			}
		})
	}

	t.Run("SHA-1", func(t *testing.T) {
		t.Parallel()
		// The library does not make such a signature, so that one is changed
		// to claim it: tag, length, version, type, algorithm, hash.
		old := bytes.Clone(good)
		old[5] = 2
		if _, err := load(t, ring).Verify(strings.NewReader(text), old); !errors.Is(err, ErrBadSignature) || !strings.Contains(err.Error(), "made with SHA-1") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("before expiry", func(t *testing.T) {
		t.Parallel()
		k := load(t, ring)
		k.Now = func() time.Time { return born.AddDate(0, 0, 2) }
		if _, err := k.Verify(strings.NewReader(text), sign(t, expiring.PrivateKey, longAgo)); err != nil {
			t.Error(err)
		}
	})
	t.Run("unreadable data", func(t *testing.T) {
		t.Parallel()
		boom := errors.New("boom")
		if _, err := load(t, ring).Verify(iotest.ErrReader(boom), good); !errors.Is(err, boom) {
			t.Errorf("error = %v, want that of the reader", err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		k := load(t, ring)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if _, err := k.Verify(strings.NewReader(text), sign(t, sub)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestLoad(t *testing.T) {
	t.Parallel()
	alice, bob := newKey(t, "Alice"), newKey(t, "Bob\x1b[31m")
	a, b := public(t, alice), public(t, bob)
	block := func(data []byte) []byte { return armored(t, openpgp.PublicKeyType, data) }
	for name, data := range map[string][]byte{
		"binary":       join(a, b),
		"armored":      block(join(a, b)),
		"two blocks":   join(block(a), []byte("a comment\n"), block(b)),
		"blank before": join([]byte("\n \n"), block(join(a, b))),
	} {
		k := load(t, data)
		if k.Len() != 2 {
			t.Errorf("%s: %d keys, want 2", name, k.Len())
		}
		signer, err := k.Verify(strings.NewReader(text), sign(t, bob.PrivateKey))
		if err != nil || !strings.HasSuffix(signer, " Bob[31m <bob[31m@example.org>") {
			t.Errorf("%s: signer %q, %v", name, signer, err)
		}
	}
	var private bytes.Buffer
	if err := alice.SerializePrivate(&private, at(born)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":       {nil, "keys.gpg: no OpenPGP public key in it"},
		"text":        {[]byte("hello, this is no keyring\n"), "keys.gpg: "},
		"signature":   {sign(t, alice.PrivateKey), "keys.gpg: "},
		"keybox":      {[]byte("\x00\x00\x00\x20\x01\x01\x00\x02KBXf\x00\x00\x00\x00"), "keys.gpg: is a GnuPG keybox; give the file that gpg --export writes"},
		"private key": {armored(t, openpgp.PrivateKeyType, private.Bytes()), "keys.gpg: holds a PGP PRIVATE KEY BLOCK and not a PGP PUBLIC KEY BLOCK"},
		"twice":       {join(a, b, a), "occurs twice; import all into gpg and export them at once"},
		"cut short":   {block(a)[:len(block(a))/2], "keys.gpg: "},
		"too large":   {make([]byte, maxKeyring+1), "keys.gpg: keyring is larger than 67108864 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Load("keys.gpg", bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	alice := newKey(f, "Alice")
	ring := public(f, alice)
	k := load(f, ring)
	good := sign(f, alice.PrivateKey)
	f.Add(good)
	f.Add(armored(f, openpgp.SignatureType, good))
	f.Add(ring)
	f.Fuzz(func(t *testing.T, data []byte) {
		// No change of a signature may make it one of other data.
		if signer, err := k.Verify(strings.NewReader(text+"x"), data); err == nil {
			t.Fatalf("signed by %s", signer)
		}
		if k, err := Load("x", bytes.NewReader(data)); err == nil && k.Len() == 0 {
			t.Fatal("a keyring without keys")
		}
	})
}
