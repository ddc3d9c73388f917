package keyring

import (
	"bytes"
	"crypto/ed25519"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// An Inline is a message that came with its signature: a cleartext signature of
// OpenPGP (RFC 9580, section 7), or one that signify -e made.
type Inline struct {
	// Message is what was signed, but for blanks at the end of lines, which a
	// cleartext signature does not cover. Nothing else of the file is in it.
	Message []byte

	signed, sig []byte // what the signature is of, and the signature
	text        bool   // it is OpenPGP's
}

// FindInline returns the message of data, or nil when data is not of such a
// form.
func FindInline(data []byte) *Inline {
	if bytes.HasPrefix(data, []byte(signifyComment)) {
		_, _, message, err := readSignify(data, ed25519.SignatureSize)
		if err != nil || len(message) == 0 {
			return nil
		}
		return &Inline{Message: message, signed: message, sig: data[:len(data)-len(message)]}
	}
	if !bytes.HasPrefix(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil
	}
	block, _ := clearsign.Decode(data)
	if block == nil {
		return nil
	}
	sig, err := io.ReadAll(io.LimitReader(block.ArmoredSignature.Body, maxSignature+1))
	if err != nil {
		return nil
	}
	return &Inline{Message: block.Plaintext, signed: block.Bytes, sig: sig, text: true}
}

// VerifyInline checks the signature of m, as Verify does.
func (k *Keyring) VerifyInline(m *Inline) (signer string, err error) {
	if m.text {
		return k.verify(bytes.NewReader(m.signed), m.sig, packet.SigTypeText)
	}
	return k.verifySignify(bytes.NewReader(m.signed), m.sig)
}
