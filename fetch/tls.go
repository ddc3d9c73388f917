package fetch

import "crypto/tls"

// A tlsLevel is how far the demands on a server's TLS have been lowered.
type tlsLevel int

const (
	modernTLS tlsLevel = iota
)

// tlsConfig is the configuration for connections of a kind.
func (p *connPool) tlsConfig(k connKind) *tls.Config {
	return &tls.Config{RootCAs: p.o.RootCAs, InsecureSkipVerify: !k.verify}
}
