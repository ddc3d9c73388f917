package oldtls

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
)

// The kinds of handshake messages.
const (
	helloRequest       = 0
	clientHello        = 1
	serverHello        = 2
	sessionTicket      = 4
	certificate        = 11
	serverKeyExchange  = 12
	certificateRequest = 13
	serverHelloDone    = 14
	clientKeyExchange  = 16
	finished           = 20
)

const (
	// maxMessage bounds one message of a handshake, maxHandshake all of them.
	maxMessage   = 128 << 10
	maxHandshake = 512 << 10
	// A modulus is no smaller than minPrime, for what that is worth, and no
	// larger than maxPrime, which is work for us.
	minPrime, maxPrime = 512, 8192
)

var (
	errMalformed = errors.New("oldtls: malformed handshake")
	errOrder     = errors.New("oldtls: unexpected message")
)

// signatures are the algorithms that a server may sign with.
var signatures = []struct {
	id   uint16
	hash crypto.Hash
	pss  bool
	ec   bool
}{
	{0x0403, crypto.SHA256, false, true}, {0x0503, crypto.SHA384, false, true}, {0x0603, crypto.SHA512, false, true},
	{0x0804, crypto.SHA256, true, false}, {0x0805, crypto.SHA384, true, false}, {0x0806, crypto.SHA512, true, false},
	{0x0401, crypto.SHA256, false, false}, {0x0501, crypto.SHA384, false, false}, {0x0601, crypto.SHA512, false, false},
	{0x0201, crypto.SHA1, false, false}, {0x0203, crypto.SHA1, false, true},
}

// curves are those of ECDHE.
var curves = []struct {
	id    uint16
	curve ecdh.Curve
}{{29, ecdh.X25519()}, {23, ecdh.P256()}, {24, ecdh.P384()}, {25, ecdh.P521()}}

// A greeting is what both sides have said in a handshake.
type greeting struct {
	clientRandom, serverRandom []byte
	leaf                       *x509.Certificate
	// public and premaster are our half of the exchange.
	public, premaster []byte
}

func (c *Conn) handshake(config *Config) error {
	g := &greeting{clientRandom: make([]byte, 32)}
	rand.Read(g.clientRandom)
	hello := message(clientHello, helloBody(config, g.clientRandom))
	if err := c.writeRecord(recordHandshake, hello); err != nil {
		return err
	}
	if err := c.serverHello(g, hello); err != nil {
		return err
	}
	asked, err := c.serverFlight(config, g)
	if err != nil {
		return err
	}
	if asked { // for a certificate, which we have not
		if err := c.send(certificate, []byte{0, 0, 0}); err != nil {
			return err
		}
	}
	if err := c.send(clientKeyExchange, g.public); err != nil {
		return err
	}
	master := c.suite.random(g.premaster, "master secret", slices.Concat(g.clientRandom, g.serverRandom), 48)
	client, server, err := c.suite.halves(master, g.serverRandom, g.clientRandom)
	if err != nil {
		return err
	}
	if err := c.writeRecord(recordChange, []byte{1}); err != nil {
		return err
	}
	c.out = client
	if err := c.send(finished, c.suite.random(master, "client finished", c.sum.Sum(nil), 12)); err != nil {
		return err
	}
	return c.end(server, master)
}

// end reads the server's side of the change of keys.
func (c *Conn) end(server half, master []byte) error {
	for {
		kind, data, err := c.readRecord()
		switch {
		case err != nil:
			return early(err)
		case kind == recordChange && len(c.hand) == 0:
		case kind == recordHandshake: // a ticket that was not asked for
			if c.hand = append(c.hand, data...); len(c.hand) > maxMessage {
				return errMalformed
			}
			for len(c.hand) >= 4 {
				if typ, _, ok := c.message(); !ok {
					break
				} else if typ != sessionTicket {
					return errOrder
				}
			}
			continue
		default:
			return errOrder
		}
		break
	}
	c.in = server
	want := c.suite.random(master, "server finished", c.sum.Sum(nil), 12)
	body, err := c.expect(finished)
	if err != nil {
		return err
	}
	if !hmac.Equal(body, want) {
		return errors.New("oldtls: the handshake was changed on its way")
	}
	if len(c.hand) > 0 {
		return errOrder
	}
	return nil
}

// early makes the end of a connection within a handshake an error.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// serverHello reads what the server has chosen.
func (c *Conn) serverHello(g *greeting, hello []byte) error {
	typ, body, raw, err := c.next()
	if err != nil {
		return err
	}
	if typ != serverHello {
		return errOrder
	}
	r := reader{b: body}
	chosen := r.uint(2)
	g.serverRandom = r.take(32)
	r.take(int(r.uint(1)))
	id := uint16(r.uint(2))
	if compression := r.uint(1); r.bad || compression != 0 {
		return errMalformed
	}
	if chosen != version {
		return fmt.Errorf("oldtls: the server selected protocol version %#x", chosen)
	}
	for _, s := range suites {
		if s.id == id {
			c.suite = s
		}
	}
	if c.suite == nil {
		return fmt.Errorf("oldtls: the server chose suite %#04x, which was not offered", id)
	}
	c.sum = c.suite.prf.New()
	c.sum.Write(hello)
	c.sum.Write(raw)
	return nil
}

// serverFlight reads all that the server says after its hello, and reports
// whether it asks for a certificate.
func (c *Conn) serverFlight(config *Config, g *greeting) (asked bool, err error) {
	body, err := c.expect(certificate)
	if err != nil {
		return false, err
	}
	certs, err := parseCertificates(body)
	if err != nil {
		return false, err
	}
	if config.Verify != nil {
		if err := config.Verify(certs); err != nil {
			return false, err
		}
	}
	g.leaf = certs[0]
	exchanged := false
	for {
		typ, body, raw, err := c.next()
		if err != nil {
			return false, err
		}
		c.sum.Write(raw)
		switch {
		case typ == serverKeyExchange && c.suite.kex != kexRSA && !exchanged && !asked:
			exchanged = true
			if err := c.exchange(g, body); err != nil {
				return false, err
			}
		case typ == certificateRequest && !asked:
			asked = true
		case typ == serverHelloDone && len(body) == 0 && exchanged == (c.suite.kex != kexRSA) && len(c.hand) == 0:
			if !exchanged {
				err = g.encrypt()
			}
			return asked, err
		default:
			return false, errOrder
		}
	}
}

// encrypt makes our half of an exchange by RSA.
func (g *greeting) encrypt() error {
	key, ok := g.leaf.PublicKey.(*rsa.PublicKey)
	if !ok {
		return errMalformed
	}
	g.premaster = make([]byte, 48)
	rand.Read(g.premaster)
	g.premaster[0], g.premaster[1] = version>>8, version&0xff
	//lint:ignore SA1019 TLS 1.2 with RSA key exchange (RFC 5246, 7.4.7.1) is defined by it; the bytes are judged by their digests
	secret, err := rsa.EncryptPKCS1v15(rand.Reader, key, g.premaster)
	g.public = prefix(2, secret)
	return err
}

// exchange checks the server's half of an exchange and makes ours.
func (c *Conn) exchange(g *greeting, body []byte) error {
	r := reader{b: body}
	params := body
	var agree func() error
	if c.suite.kex == kexDHE {
		p, base, theirs := r.take(int(r.uint(2))), r.take(int(r.uint(2))), r.take(int(r.uint(2)))
		agree = func() error { return g.agreeDHE(p, base, theirs) }
	} else {
		kind, id := r.uint(1), uint16(r.uint(2))
		theirs := r.take(int(r.uint(1)))
		if kind != 3 {
			return errMalformed
		}
		agree = func() error { return g.agreeECDHE(id, theirs) }
	}
	params = params[:len(params)-len(r.b)]
	algorithm := uint16(r.uint(2))
	signature := r.take(int(r.uint(2)))
	if r.bad || len(r.b) > 0 {
		return errMalformed
	}
	if err := g.check(algorithm, params, signature); err != nil {
		return err
	}
	return agree()
}

// check verifies the signature of the server's half.
func (g *greeting) check(algorithm uint16, params, signature []byte) error {
	for _, a := range signatures {
		if a.id != algorithm {
			continue
		}
		h := a.hash.New()
		h.Write(g.clientRandom)
		h.Write(g.serverRandom)
		h.Write(params)
		sum := h.Sum(nil)
		switch key := g.leaf.PublicKey.(type) {
		case *rsa.PublicKey:
			switch {
			case a.ec:
				return errMalformed
			case a.pss:
				return rsa.VerifyPSS(key, a.hash, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}
			return rsa.VerifyPKCS1v15(key, a.hash, sum, signature)
		case *ecdsa.PublicKey:
			if a.ec && ecdsa.VerifyASN1(key, sum, signature) {
				return nil
			}
		}
		return errors.New("oldtls: the signature of the server is wrong")
	}
	return fmt.Errorf("oldtls: the server signs by %#04x, which was not offered", algorithm)
}

func (g *greeting) agreeDHE(prime, base, theirs []byte) error {
	p, b, y := new(big.Int).SetBytes(prime), new(big.Int).SetBytes(base), new(big.Int).SetBytes(theirs)
	one := big.NewInt(1)
	last := new(big.Int).Sub(p, one)
	if n := p.BitLen(); n < minPrime || n > maxPrime || p.Bit(0) == 0 || b.Cmp(one) <= 0 || b.Cmp(last) >= 0 || y.Cmp(one) <= 0 || y.Cmp(last) >= 0 {
		return errors.New("oldtls: the server's numbers are not those of an exchange")
	}
	secret := make([]byte, min(64, p.BitLen()/8))
	rand.Read(secret)
	x := new(big.Int).SetBytes(secret)
	g.public = prefix(2, new(big.Int).Exp(b, x, p).Bytes())
	g.premaster = new(big.Int).Exp(y, x, p).Bytes() // without zeros in front
	return nil
}

func (g *greeting) agreeECDHE(id uint16, theirs []byte) error {
	for _, c := range curves {
		if c.id != id {
			continue
		}
		key, err := c.curve.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		public, err := c.curve.NewPublicKey(theirs)
		if err != nil {
			return errMalformed
		}
		g.public = prefix(1, key.PublicKey().Bytes())
		g.premaster, err = key.ECDH(public)
		return err
	}
	return errMalformed
}

// parseCertificates reads the server's certificates.
func parseCertificates(body []byte) ([]*x509.Certificate, error) {
	r := reader{b: body}
	list := reader{b: r.take(int(r.uint(3)))}
	if r.bad || len(r.b) > 0 {
		return nil, errMalformed
	}
	var certs []*x509.Certificate
	for len(list.b) > 0 {
		der := list.take(int(list.uint(3)))
		if list.bad || len(certs) >= 32 {
			return nil, errMalformed
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("oldtls: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errMalformed
	}
	return certs, nil
}

// helloBody is our hello.
func helloBody(config *Config, random []byte) []byte {
	b := []byte{version >> 8, version & 0xff}
	b = append(b, random...)
	b = append(b, 0) // no session
	var ids, groups, algorithms []byte
	for _, s := range suites {
		ids = binary.BigEndian.AppendUint16(ids, s.id)
	}
	for _, c := range curves {
		groups = binary.BigEndian.AppendUint16(groups, c.id)
	}
	for _, a := range signatures {
		algorithms = binary.BigEndian.AppendUint16(algorithms, a.id)
	}
	b = append(b, prefix(2, ids)...)
	b = append(b, 1, 0) // no compression
	var ext []byte
	add := func(id uint16, data []byte) { ext = append(binary.BigEndian.AppendUint16(ext, id), prefix(2, data)...) }
	if name := strings.TrimSuffix(config.ServerName, "."); name != "" && net.ParseIP(name) == nil {
		add(0, prefix(2, append([]byte{0}, prefix(2, []byte(name))...)))
	}
	add(10, prefix(2, groups))
	add(11, []byte{1, 0})
	add(13, prefix(2, algorithms))
	add(0xff01, []byte{0})
	return append(b, prefix(2, ext)...)
}

// send sends a message of the handshake.
func (c *Conn) send(typ byte, body []byte) error {
	m := message(typ, body)
	c.sum.Write(m)
	return c.writeRecord(recordHandshake, m)
}

// expect reads a message of one type.
func (c *Conn) expect(typ byte) ([]byte, error) {
	got, body, raw, err := c.next()
	if err != nil {
		return nil, err
	}
	if got != typ {
		return nil, errOrder
	}
	c.sum.Write(raw)
	return body, nil
}

// next reads a message, which may be in several records, and several in one. raw
// is the message with its header.
func (c *Conn) next() (typ byte, body, raw []byte, err error) {
	for {
		if typ, raw, ok := c.message(); ok {
			if typ == helloRequest {
				continue
			}
			return typ, raw[4:], raw, nil
		}
		if len(c.hand) >= 4 && int(c.hand[1])<<16|int(c.hand[2])<<8|int(c.hand[3]) > maxMessage {
			return 0, nil, nil, errMalformed
		}
		kind, data, err := c.readRecord()
		switch {
		case err != nil:
			return 0, nil, nil, early(err)
		case kind != recordHandshake || len(data) == 0:
			return 0, nil, nil, errOrder
		}
		if c.seen += len(data); c.seen > maxHandshake {
			return 0, nil, nil, errMalformed
		}
		c.hand = append(c.hand, data...)
	}
}

// message takes a message that is complete.
func (c *Conn) message() (typ byte, raw []byte, ok bool) {
	if len(c.hand) < 4 {
		return 0, nil, false
	}
	n := 4 + (int(c.hand[1])<<16 | int(c.hand[2])<<8 | int(c.hand[3]))
	if n > len(c.hand) {
		return 0, nil, false
	}
	raw, c.hand = c.hand[:n:n], c.hand[n:]
	return raw[0], raw, true
}

func message(typ byte, body []byte) []byte { return append([]byte{typ}, prefix(3, body)...) }

// prefix puts the length of b before it, in n bytes.
func prefix(n int, b []byte) []byte {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(b)))
	return append(length[8-n:8:8], b...)
}

// A reader takes fields off a message; bad is set when it is too short.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, 0)
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint(n int) (v uint64) {
	b := r.take(n)
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}
