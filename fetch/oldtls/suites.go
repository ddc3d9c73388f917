package oldtls

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	_ "crypto/sha1" // registers the hash
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// How the secret is agreed on.
const (
	kexRSA = iota
	kexDHE
	kexECDHE
)

// A suite is a cipher suite. GCM suites have no mac.
type suite struct {
	id     uint16
	name   string
	kex    int
	keyLen int
	block  func([]byte) (cipher.Block, error)
	mac    crypto.Hash // 0: GCM
	prf    crypto.Hash
}

// suites are in the order of preference. The first two are known to crypto/tls,
// but not with signatures by SHA-1.
var suites = []*suite{
	{0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384", kexECDHE, 32, aes.NewCipher, 0, crypto.SHA384},
	{0xc030, "ECDHE-RSA-AES256-GCM-SHA384", kexECDHE, 32, aes.NewCipher, 0, crypto.SHA384},
	{0x009f, "DHE-RSA-AES256-GCM-SHA384", kexDHE, 32, aes.NewCipher, 0, crypto.SHA384},
	{0x009e, "DHE-RSA-AES128-GCM-SHA256", kexDHE, 16, aes.NewCipher, 0, crypto.SHA256},
	{0xc024, "ECDHE-ECDSA-AES256-SHA384", kexECDHE, 32, aes.NewCipher, crypto.SHA384, crypto.SHA384},
	{0xc028, "ECDHE-RSA-AES256-SHA384", kexECDHE, 32, aes.NewCipher, crypto.SHA384, crypto.SHA384},
	{0xc023, "ECDHE-ECDSA-AES128-SHA256", kexECDHE, 16, aes.NewCipher, crypto.SHA256, crypto.SHA256},
	{0xc027, "ECDHE-RSA-AES128-SHA256", kexECDHE, 16, aes.NewCipher, crypto.SHA256, crypto.SHA256},
	{0x006b, "DHE-RSA-AES256-SHA256", kexDHE, 32, aes.NewCipher, crypto.SHA256, crypto.SHA256},
	{0x0067, "DHE-RSA-AES128-SHA256", kexDHE, 16, aes.NewCipher, crypto.SHA256, crypto.SHA256},
	{0x0039, "DHE-RSA-AES256-SHA", kexDHE, 32, aes.NewCipher, crypto.SHA1, crypto.SHA256},
	{0x0033, "DHE-RSA-AES128-SHA", kexDHE, 16, aes.NewCipher, crypto.SHA1, crypto.SHA256},
	{0x009d, "AES256-GCM-SHA384", kexRSA, 32, aes.NewCipher, 0, crypto.SHA384},
	{0x009c, "AES128-GCM-SHA256", kexRSA, 16, aes.NewCipher, 0, crypto.SHA256},
	{0x003d, "AES256-SHA256", kexRSA, 32, aes.NewCipher, crypto.SHA256, crypto.SHA256},
	{0x003c, "AES128-SHA256", kexRSA, 16, aes.NewCipher, crypto.SHA256, crypto.SHA256},
	{0x0016, "DHE-RSA-DES-CBC3-SHA", kexDHE, 24, des.NewTripleDESCipher, crypto.SHA1, crypto.SHA256},
}

// random is the pseudo-random function of TLS 1.2 (RFC 5246, section 5).
func (s *suite) random(secret []byte, label string, seed []byte, n int) []byte {
	seed = append([]byte(label), seed...)
	h := hmac.New(s.prf.New, secret)
	sum := func(parts ...[]byte) []byte {
		h.Reset()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// halves makes the ciphers of both directions of the keys of a connection.
func (s *suite) halves(master, serverRandom, clientRandom []byte) (client, server half, err error) {
	macLen, ivLen := 0, 4
	if s.mac != 0 {
		macLen, ivLen = s.mac.Size(), 0 // each record brings its own
	}
	block := s.random(master, "key expansion", append(append([]byte{}, serverRandom...), clientRandom...), 2*(macLen+s.keyLen+ivLen))
	next := func(n int) []byte {
		b := block[:n]
		block = block[n:]
		return b
	}
	macs := [][]byte{next(macLen), next(macLen)}
	keys := [][]byte{next(s.keyLen), next(s.keyLen)}
	ivs := [][]byte{next(ivLen), next(ivLen)}
	var hs [2]half
	for i := range hs {
		b, err := s.block(keys[i])
		if err != nil {
			return half{}, half{}, err
		}
		if s.mac != 0 {
			hs[i] = half{block: b, mac: hmac.New(s.mac.New, macs[i])}
			continue
		}
		gcm, err := cipher.NewGCM(b)
		if err != nil {
			return half{}, half{}, err
		}
		hs[i] = half{aead: gcm, salt: ivs[i]}
	}
	return hs[0], hs[1], nil
}
