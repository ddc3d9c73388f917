package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"distkeep/fetch/failure"
	"distkeep/fetch/oldtls"
)

// A tlsLevel is how far the demands on a server's TLS are lowered. Old servers
// are left with what was good in their time. Where the tree has a strong digest
// nothing is lost by that: a level below is tried when a handshake has failed,
// and noted.
type tlsLevel int

const (
	modernTLS tlsLevel = iota
	// lowTLS adds the versions and suites that crypto/tls still knows, and leaves
	// out what is new: some servers cannot bear to hear of it.
	lowTLS
	// oldTLS is package oldtls.
	oldTLS
)

// tlsConfig is the configuration for connections of a kind.
func (p *connPool) tlsConfig(k connKind) *tls.Config {
	c := &tls.Config{
		RootCAs: p.o.RootCAs, InsecureSkipVerify: !k.verify, MinVersion: max(tls.VersionTLS12, p.o.TLSMin),
		Renegotiation: tls.RenegotiateOnceAsClient, // some ask for it before they send a file
	}
	if k.tls < lowTLS {
		return c
	}
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS12
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		c.CipherSuites = append(c.CipherSuites, s.ID)
	}
	c.CurvePreferences = []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519}
	return c
}

// A handshake is what was seen of one: that it failed, or that HTTP/2 was agreed on.
type handshake struct{ failed, two atomic.Bool }

func (h *handshake) done(s tls.ConnectionState, err error) {
	h.two.Store(err == nil && s.NegotiatedProtocol == "h2")
	if err != nil {
		h.failed.Store(true)
	}
}

var unseen handshake // where there is none

// lowered makes a request, at lower demands where the server's TLS refuses it.
func (p *connPool) lowered(r *http.Request, try func(*http.Request, tlsLevel) (*http.Response, error)) (*http.Response, error) {
	for {
		level := p.door(r.URL).tls
		if r.Header.Get("Authorization") != "" {
			level = modernTLS
		}
		traced, seen := r, &unseen
		if r.URL.Scheme == "https" && level < oldTLS {
			seen = new(handshake)
			traced = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{TLSHandshakeDone: seen.done}))
		}
		resp, err := try(traced, level)
		if err == nil {
			if level != modernTLS && resp.TLS != nil {
				p.noteLow(r.URL, fmt.Sprintf("%s, %s", tls.VersionName(resp.TLS.Version), tls.CipherSuiteName(resp.TLS.CipherSuite)))
			}
			return resp, nil
		}
		if seen.two.Load() && (Classify(err) == failure.Stalled || errors.Is(context.Cause(r.Context()), errNoAnswer)) {
			p.learn(r.URL, func(d *door) { d.manner = plain }) // it has said that it speaks HTTP/2
		}
		if !seen.failed.Load() && !is[*tlsError](err) || r.Context().Err() != nil || level == oldTLS || !p.mayLower(r, err) {
			return nil, err
		}
		p.learn(r.URL, func(d *door) { d.tls = max(d.tls, level+1) })
	}
}

// noteLow notes what was agreed on with a server at lower demands.
func (p *connPool) noteLow(u *url.URL, agreed string) {
	p.learn(u, func(d *door) { d.lowered = "old TLS: " + agreed })
}

type strongKey struct{}

// withStrong returns a context for a file whose digests prove what it is.
func withStrong(ctx context.Context) context.Context {
	return context.WithValue(ctx, strongKey{}, true)
}

// mayLower reports whether lower demands are allowed for a request, and may help
// after err. A connection that breaks is no answer to a request by net/http: it
// is made once more, plainly, first.
func (p *connPool) mayLower(r *http.Request, err error) bool {
	switch {
	case r.Context().Value(strongKey{}) == nil || p.o.TLSMin > tls.VersionTLS11:
		return false
	case r.Header.Get("Authorization") != "":
		return false // a password is worth more than a file
	case is[*tls.CertificateVerificationError](err), is[tls.RecordHeaderError](err), errors.Is(err, http.ErrSchemeMismatch):
		return false
	case r.Close:
		return true
	}
	return isTLS(err) || strings.HasPrefix(err.Error(), "tls: ") || strings.HasSuffix(err.Error(), "TLS handshake timeout")
}

// secure makes a TLS connection of c.
func (p *connPool) secure(ctx context.Context, c net.Conn, host string, k connKind) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.ConnectTimeout)
	defer cancel()
	config := p.tlsConfig(k)
	config.ServerName = host
	if k.tls != oldTLS {
		tc := tls.Client(c, config)
		if err := tc.HandshakeContext(ctx); err != nil {
			return c, &tlsError{err}
		}
		return tc, nil
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	tc, err := oldtls.Client(c, &oldtls.Config{ServerName: host, Verify: func(certs []*x509.Certificate) error {
		return verifyCertificates(config, certs)
	}})
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return c, &tlsError{err}
	}
	return tc, nil
}

// verifyCertificates judges certificates as crypto/tls does.
func verifyCertificates(config *tls.Config, certs []*x509.Certificate) error {
	if config.InsecureSkipVerify {
		return nil
	}
	o := x509.VerifyOptions{Roots: config.RootCAs, DNSName: config.ServerName, Intermediates: x509.NewCertPool()}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := certs[0].Verify(o); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return nil
}

// certificateHint says what is wrong with a server's certificate, and what can be
// done; it is empty when err is about something else.
func certificateHint(err error) string {
	var (
		failed  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		foreign x509.HostnameError
	)
	const skip = "; --tls-skip-verify-host HOST if digests suffice"
	switch {
	case errors.As(err, &foreign):
		return "the certificate is for other names: fix the host in the URI, or tell the operator of the host" + skip
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or the clock of this machine is wrong: tell the operator of the host" + skip
	case errors.As(err, &unknown) && errors.As(err, &failed) && len(failed.UnverifiedCertificates) > 0:
		if leaf := failed.UnverifiedCertificates[0]; leaf.Issuer.String() == leaf.Subject.String() {
			return "the host has signed its certificate itself" + skip
		} else if len(failed.UnverifiedCertificates) == 1 {
			return "the host leaves out an intermediate certificate, or its authority is not known here: tell the operator of the host" + skip
		}
		return "the authority of the certificate is not known here: look at the certificates that this machine trusts" + skip
	}
	return ""
}
