// Package keyring checks signatures against public keys of the operator's
// choosing: the detached OpenPGP signatures of pacman databases and packages,
// and those of lists of checksums, by OpenPGP or by signify, beside the list or
// around it. It is apart from the packages of the catalogs so that a program
// can leave it, and OpenPGP, out.
//
// Load makes a [Keyring]; [Keyring.Verify] checks a signature that is apart from
// its data, [Keyring.VerifyInline] one that came with it.
package keyring

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// What a signature that Verify refuses can suffer from.
var (
	// ErrUnknownSigner means that no key of the keyring made the signature.
	ErrUnknownSigner = errors.New("signed by no key of the keyring")
	// ErrRevoked means that the signature fits the data, but that its key
	// has been revoked, whenever that was and whatever for.
	ErrRevoked = errors.New("signed by a revoked key")
	// ErrExpired means that the signature fits the data, but that it or its
	// key has expired. pacman accepts such a key; whoever wants to do the
	// same can tell this case from the others.
	ErrExpired = errors.New("signature or its key has expired")
	// ErrBadSignature means that the signature does not fit the data, is
	// malformed, uses a broken hash (MD5, SHA-1), or is by a key that is too
	// weak or not made for signing.
	ErrBadSignature = errors.New("bad signature")
)

const (
	maxKeyring   = 64 << 20 // keyrings of distributions have a few MiB
	maxSignature = 64 << 10 // pacman downloads at most 16 KiB

	maxSignatures = 8 // each costs a pass of hashing

	maxSkew = 10 * time.Minute // the signer's clock may be ahead of ours
)

// A Keyring holds the keys whose signatures count. Every key in it is trusted
// alike: pacman's web of trust is not computed, so that it should be an export
// of the wanted keys alone. The zero value has no keys. Once its keys are added
// it is safe for concurrent use.
type Keyring struct {
	// Now is the clock that expiry is judged by. Nil means time.Now. It must
	// not be changed once Verify is in use.
	Now func() time.Time

	keys    openpgp.EntityList
	names   map[*openpgp.Entity]string
	signify map[keyNumber]ed25519.PublicKey
	// mu guards keys: go-crypto keeps what it found out about a key's own
	// signatures inside the key.
	mu sync.Mutex
}

// Load returns the keys of one file. See Add.
func Load(file string, r io.Reader) (*Keyring, error) {
	k := new(Keyring)
	return k, k.Add(file, r)
}

// Add reads public keys: those of OpenPGP, binary or armored, one block after
// the other, as gpg --export writes them, or one of signify. Keys that cannot
// be understood are left out, so that signatures by them are ErrUnknownSigner;
// it is an error when none remains, and when one occurs twice. Errors begin
// with file.
func (k *Keyring) Add(file string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxKeyring+1))
	switch {
	case err != nil:
	case len(data) > maxKeyring:
		err = fmt.Errorf("keyring is larger than %d bytes", maxKeyring)
	case len(data) >= 12 && string(data[8:12]) == "KBXf":
		err = errors.New("is a GnuPG keybox; give the file that gpg --export writes")
	case bytes.HasPrefix(data, []byte(signifyComment)):
		err = k.addSignify(data)
	default:
		err = k.addOpenPGP(data)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (k *Keyring) addOpenPGP(data []byte) error {
	keys, err := readKeys(data)
	switch {
	case err != nil:
		return err
	case len(keys) == 0:
		return errors.New("no OpenPGP public key in it")
	}
	if k.names == nil {
		k.names = make(map[*openpgp.Entity]string)
	}
	for _, e := range keys {
		fpr := fingerprint(e)
		if slices.ContainsFunc(k.keys, func(o *openpgp.Entity) bool { return fingerprint(o) == fpr }) {
			// One copy may be revoked and the other not.
			return fmt.Errorf("key %s occurs twice; import all into gpg and export them at once", fpr)
		}
		k.keys = append(k.keys, e)
		k.names[e] = name(e)
	}
	return nil
}

func readKeys(data []byte) (openpgp.EntityList, error) {
	if !isArmored(data) {
		return openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	var keys openpgp.EntityList
	br := bufio.NewReader(bytes.NewReader(data)) // armor.Decode reads on where it stopped
	for {
		block, err := armor.Decode(br)
		switch {
		case err == io.EOF && keys != nil:
			return keys, nil
		case err != nil:
			return nil, fmt.Errorf("armor: %w", err)
		case block.Type != openpgp.PublicKeyType:
			return nil, fmt.Errorf("holds a %s and not a %s", block.Type, openpgp.PublicKeyType)
		}
		more, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
		if _, err := io.Copy(io.Discard, block.Body); err != nil {
			return nil, fmt.Errorf("armor: %w", err)
		}
	}
}

func isArmored(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP "))
}

// Len is the number of keys, subkeys not counted.
func (k *Keyring) Len() int { return len(k.keys) + len(k.signify) }

// A candidate is a signature by a key of the keyring.
type candidate struct {
	sig  *packet.Signature
	key  openpgp.Key
	hash hash.Hash
}

// Verify reads data to its end and checks the detached signature sig, binary,
// armored or signify's, of it. Of several signatures one good one is enough. signer is the
// fingerprint of the primary key and its user ID; it is also set beside
// ErrRevoked and ErrExpired. The error wraps one of the errors of this package,
// or it is that of data; then data may not have been read at all.
func (k *Keyring) Verify(data io.Reader, sig []byte) (signer string, err error) {
	if bytes.HasPrefix(sig, []byte(signifyComment)) {
		return k.verifySignify(data, sig)
	}
	return k.verify(data, sig, packet.SigTypeBinary)
}

// verify checks an OpenPGP signature of that type.
func (k *Keyring) verify(data io.Reader, sig []byte, kind packet.SignatureType) (signer string, err error) {
	candidates, err := k.candidates(sig, kind)
	if err != nil {
		return "", err
	}
	ws := make([]io.Writer, len(candidates))
	for i, c := range candidates {
		ws[i] = c.hash
	}
	if _, err := io.Copy(io.MultiWriter(ws...), data); err != nil {
		return "", err
	}
	for _, c := range candidates {
		who := k.names[c.key.Entity]
		switch e := k.judge(c); {
		case e == nil:
			return who, nil
		case !errors.Is(e, ErrBadSignature):
			signer, err = who, e
		case err == nil:
			err = e
		}
	}
	return signer, err
}

// candidates returns the signatures of sig by keys of the keyring, at least one.
func (k *Keyring) candidates(sig []byte, kind packet.SignatureType) ([]candidate, error) {
	if len(sig) > maxSignature {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrBadSignature, maxSignature)
	}
	packets := io.Reader(bytes.NewReader(sig))
	if isArmored(sig) {
		block, err := armor.Decode(packets)
		if err != nil {
			return nil, fmt.Errorf("%w: armor: %w", ErrBadSignature, err)
		}
		packets = block.Body
	}
	var cs []candidate
	n := 0
	for pr := packet.NewReader(packets); ; n++ {
		p, err := pr.Next()
		if err == io.EOF {
			break
		}
		sig, ok := p.(*packet.Signature)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
		case !ok:
			return nil, fmt.Errorf("%w: it holds more than signatures", ErrBadSignature)
		case n == maxSignatures:
			return nil, fmt.Errorf("%w: more than %d of them", ErrBadSignature, maxSignatures)
		case sig.IssuerKeyId == nil:
			continue
		}
		keys := k.keys.KeysById(*sig.IssuerKeyId)
		if len(keys) == 0 {
			continue
		}
		switch {
		case sig.SigType != kind:
			return nil, fmt.Errorf("%w: it is not one of such a file", ErrBadSignature)
		case sig.Hash == crypto.MD5 || sig.Hash == crypto.SHA1 || sig.Hash == crypto.RIPEMD160:
			return nil, fmt.Errorf("%w: made with %s", ErrBadSignature, sig.Hash)
		}
		h, err := sig.PrepareVerify()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
		}
		cs = append(cs, candidate{sig, keys[0], h})
	}
	switch {
	case n == 0:
		return nil, fmt.Errorf("%w: it holds none", ErrBadSignature)
	case len(cs) == 0:
		return nil, ErrUnknownSigner
	}
	return cs, nil
}

// judge decides on a signature whose data went through c.hash: first whether it
// fits, then whether its key may sign now. go-crypto's own way asks whether the
// key was good when the signature says it was made; but whoever has the key of
// somebody who lost it can write any date there.
func (k *Keyring) judge(c candidate) error {
	if err := c.key.PublicKey.VerifySignature(c.hash, c.sig); err != nil {
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	for _, n := range c.sig.Notations {
		if n.IsCritical {
			return fmt.Errorf("%w: critical notation %q is not known", ErrBadSignature, n.Name)
		}
	}
	now := time.Now
	if k.Now != nil {
		now = k.Now
	}
	t := now()
	switch made := c.sig.CreationTime; {
	case made.After(t.Add(maxSkew)):
		return fmt.Errorf("%w: made in the future, at %s; check the clock", ErrBadSignature, made.UTC().Format(time.RFC3339))
	case made.Before(c.key.PublicKey.CreationTime):
		return fmt.Errorf("%w: older than its key", ErrBadSignature)
	case !made.After(t) && c.sig.SigExpired(t):
		return ErrExpired
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return validKey(c.key, t)
}

// validKey decides whether key may sign at t.
func validKey(key openpgp.Key, t time.Time) error {
	e := key.Entity
	config := &packet.Config{Time: func() time.Time { return t }}
	if _, err := e.VerifyPrimaryKey(t, config); err != nil {
		return keyError(err)
	}
	for i := range e.Subkeys {
		if e.Subkeys[i].PublicKey == key.PublicKey {
			if _, err := e.Subkeys[i].Verify(t, config); err != nil {
				return keyError(err)
			}
		}
	}
	// This asks all that and more, but does not say why not.
	if _, ok := e.SigningKeyById(t, key.PublicKey.KeyId, config); !ok {
		return fmt.Errorf("%w: its key is too weak or not one for signing", ErrBadSignature)
	}
	return nil
}

func keyError(err error) error {
	switch {
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return ErrRevoked
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
		return ErrExpired
	}
	return fmt.Errorf("%w: %w", ErrBadSignature, err)
}

func fingerprint(e *openpgp.Entity) string {
	return strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
}

// name names e for a report, which must not be spoilt by what it calls itself.
func name(e *openpgp.Entity) string {
	s := fingerprint(e)
	if _, id := e.PrimaryIdentity(time.Time{}, nil); id != nil {
		s += " " + strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, id.Name)
	}
	return s
}
