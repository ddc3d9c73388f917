package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"

	"distkeep/catalog/regular"
)

// loadSigners reads the file of --sign-key, if there is one.
func loadSigners(file string) ([]note.Signer, error) {
	text, err := loadKey("--sign-key", file)
	if text == "" {
		return nil, err
	}
	s, err := note.NewSigner(text)
	if err != nil {
		return nil, usagef("--sign-key: %s: %w", file, err) // it does not quote the key
	}
	return []note.Signer{s}, nil
}

// loadTrusted reads the file of --trust-key, if there is one.
func loadTrusted(file string) (string, error) {
	key, err := loadKey("--trust-key", file)
	if key == "" {
		return "", err
	}
	if _, err := note.NewVerifier(key); err != nil {
		return "", usagef("--trust-key: %s: %w", file, err)
	}
	return key, nil
}

// loadKey reads the line of a file. There is none in no file.
func loadKey(option, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	const most = 4 << 10
	text, err := regular.Read(file, most)
	if err != nil {
		return "", usagef("%s: %w", option, err)
	}
	key := string(bytes.TrimSpace(text))
	if key == "" {
		return "", usagef("%s: there is no key in %s", option, file)
	}
	return key, nil
}

// generateKey writes a new secret key to file, which must not be there, and returns
// the one that --trust-key takes.
func generateKey(name, file string) (public string, err error) {
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", err
	}
	if _, err := note.NewVerifier(public); err != nil {
		return "", usagef("generate key: %q cannot be the name of a key: %w", name, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", usagef("generate key: %w", err)
	}
	_, err = fmt.Fprintln(f, secret)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return public, err
}
