// Package oldtls is the client's half of TLS 1.2 (RFC 5246) for servers that share
// no cipher suite with crypto/tls: those with an ephemeral Diffie-Hellman exchange
// over integers, and those with ciphers that crypto/tls never had.
//
// It is for transfers whose bytes are verified afterwards. Certificates and
// signatures are checked as ever, but the ciphers are of their time: no secret
// that is worth guarding belongs on such a connection. There is no resumption, no
// renegotiation and no certificate of the client.
//
// [Client] begins a connection. The handshake is in handshake.go, records are in
// record.go, suites in suites.go.
package oldtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
)

// A Config says who is expected.
type Config struct {
	// ServerName is sent to the server, unless it is empty or an address.
	ServerName string
	// Verify judges the certificates, the server's own first. Nil trusts all.
	Verify func(certs []*x509.Certificate) error
}

// A Conn is a connection after its handshake. Reads and writes may go on at the
// same time, but only one of each.
type Conn struct {
	net.Conn
	in, out half
	plain   []byte // read and not yet returned
	hand    []byte // handshake messages not yet taken
	sum     hash.Hash
	seen    int // bytes of handshake
	suite   *suite
	err     error // of reads
}

// Client makes a TLS connection of c. Deadlines and cancellation are those of c,
// which the caller closes when the handshake fails.
func Client(c net.Conn, config *Config) (*Conn, error) {
	t := &Conn{Conn: c}
	if err := t.handshake(config); err != nil {
		return nil, err
	}
	return t, nil
}

// Suite names what was agreed on.
func (c *Conn) Suite() string { return c.suite.name }

// Read implements io.Reader. A connection that ends without the server's word is
// io.ErrUnexpectedEOF.
func (c *Conn) Read(p []byte) (int, error) {
	for empty := 0; len(c.plain) == 0 && c.err == nil; empty++ {
		var kind byte
		kind, c.plain, c.err = c.readRecord()
		switch {
		case c.err != nil:
		case kind == recordHandshake:
			c.plain = nil // it asks for another handshake, which it does not get
		case kind != recordData:
			c.err = errors.New("oldtls: unexpected record")
		}
		if empty > 100 {
			c.err = errors.New("oldtls: too many empty records")
		}
	}
	if len(c.plain) > 0 {
		n := copy(p, c.plain)
		c.plain = c.plain[n:]
		return n, nil
	}
	return 0, c.err
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		k := min(maxPlain, len(p)-n)
		if err := c.writeRecord(recordData, p[n:n+k]); err != nil {
			return n, err
		}
		n += k
	}
	return len(p), nil
}

// Close tells the server and closes the connection.
func (c *Conn) Close() error {
	c.writeRecord(recordAlert, []byte{1, alertClose}) // it may be gone already
	return c.Conn.Close()
}

// An AlertError is why the server refuses.
type AlertError byte

const (
	alertClose             = 0
	alertHandshakeFailure  = 40
	alertNoRenegotiation   = 100
	alertProtocolVersion   = 70
	alertUnrecognizedName  = 112
	alertInsufficientLevel = 71
)

func (e AlertError) Error() string {
	switch e {
	case alertHandshakeFailure:
		return "remote error: tls: handshake failure"
	case alertProtocolVersion:
		return "remote error: tls: protocol version not supported"
	case alertInsufficientLevel:
		return "remote error: tls: insufficient security level"
	}
	return fmt.Sprintf("remote error: tls: alert(%d)", byte(e))
}

// alert judges the body of an alert; nil means that it is to be ignored.
func alert(body []byte) error {
	switch {
	case len(body) != 2:
		return errors.New("oldtls: malformed alert")
	case body[1] == alertClose:
		return io.EOF
	case body[0] == 1:
		return nil
	}
	return AlertError(body[1])
}
