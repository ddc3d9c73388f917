package keyring

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// signifyComment begins each file of signify: a comment line, a line of base64,
// and, in a signature that is not detached, the message.
const signifyComment = "untrusted comment: "

// A keyNumber tells signify's keys apart.
type keyNumber [8]byte

// maxSigned bounds what a signature of signify is of: all of it must be in
// memory, because Ed25519 reads it twice.
const maxSigned = 256 << 20

// readSignify returns the number and the value, of size bytes, of a key or a
// signature, and the message behind it.
func readSignify(data []byte, size int) (n keyNumber, value, message []byte, err error) {
	_, rest, _ := bytes.Cut(data, []byte("\n"))
	line, message, _ := bytes.Cut(rest, []byte("\n"))
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSuffix(line, []byte("\r"))))
	switch {
	case err != nil:
		return n, nil, nil, fmt.Errorf("second line: %w", err)
	case len(raw) != 2+len(n)+size || string(raw[:2]) != "Ed":
		return n, nil, nil, errors.New("second line is not signify's")
	}
	return keyNumber(raw[2:]), raw[2+len(n):], message, nil
}

func (k *Keyring) addSignify(data []byte) error {
	n, value, _, err := readSignify(data, ed25519.PublicKeySize)
	if err != nil {
		return fmt.Errorf("is no public key: %w", err)
	}
	if _, twice := k.signify[n]; twice {
		return fmt.Errorf("key %X occurs twice", n[:])
	}
	if k.signify == nil {
		k.signify = make(map[keyNumber]ed25519.PublicKey)
	}
	k.signify[n] = value
	return nil
}

// verifySignify checks a signature of signify.
func (k *Keyring) verifySignify(data io.Reader, sig []byte) (signer string, err error) {
	n, value, _, err := readSignify(sig, ed25519.SignatureSize)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	key, ok := k.signify[n]
	if !ok {
		return "", ErrUnknownSigner
	}
	message, err := io.ReadAll(io.LimitReader(data, maxSigned+1))
	switch {
	case err != nil:
		return "", err
	case len(message) > maxSigned:
		return "", fmt.Errorf("%w: of more than %d bytes", ErrBadSignature, maxSigned)
	case !ed25519.Verify(key, message, value):
		return "", ErrBadSignature
	}
	return fmt.Sprintf("signify key %X", n[:]), nil
}
