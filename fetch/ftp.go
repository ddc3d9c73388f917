package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jlaffaye/ftp"
)

// An ftpTransport fetches by ftp (RFC 959, RFC 3659), always in passive mode.
// One connection makes one transfer.
type ftpTransport struct {
	o     *Options
	guard *guard
	creds *netrc
	count func(host string, n int)
}

var _ transport = (*ftpTransport)(nil)

// ftpShut is how long a server may take to confirm that a transfer is complete.
// Some never do; the size tells then.
const ftpShut = 10 * time.Second

func (f *ftpTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	b, err := f.try(ctx, u, from, false)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && is[*ftpDataError](err) {
		// Servers behind address translation may offer EPSV in vain.
		b, err = f.try(ctx, u, from, true)
	}
	return b, ftpErr(err)
}

func (f *ftpTransport) try(ctx context.Context, u *url.URL, from resume, pasv bool) (_ *body, err error) {
	// The library takes no context for what follows the connection: the end of
	// ours closes everything that it has opened.
	conns := new(connSet)
	stop := context.AfterFunc(ctx, conns.close)
	defer func() {
		if err != nil {
			stop()
			conns.close()
		}
	}()
	control := true
	dial := func(network, addr string) (net.Conn, error) {
		if !control {
			c, err := f.guard.dial(ctx, network, addr)
			if err != nil {
				return nil, &ftpDataError{err}
			}
			return conns.add(c)
		}
		control = false
		c, err := f.guard.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return conns.add(countConn(c, addr, f.count))
	}
	c, err := ftp.Dial(net.JoinHostPort(u.Hostname(), port(u)), ftp.DialWithDialFunc(dial),
		ftp.DialWithShutTimeout(ftpShut), ftp.DialWithDisabledEPSV(pasv))
	if err != nil {
		return nil, err
	}
	login, password := "anonymous", "distkeep@"
	if f.o.Contact != "" {
		password = strings.ReplaceAll(f.o.Contact, " ", "")
	}
	if l, p, ok := f.creds.find(u); ok {
		login, password = l, p
	} else if u.User != nil {
		login = u.User.Username()
		password, _ = u.User.Password()
	}
	if err := c.Login(login, password); err != nil {
		var network net.Error
		if !errors.As(err, &network) && !errors.Is(err, io.EOF) && !is[*textproto.Error](err) {
			// The library drops the code of a refused USER.
			err = &textproto.Error{Code: ftp.StatusNotLoggedIn, Msg: err.Error()}
		}
		return nil, err
	}
	// The path is relative to where the login leads (RFC 1738, section 3.2.2).
	path := strings.TrimPrefix(u.Path, "/")
	size, err := c.FileSize(path)
	if err != nil {
		size = -1 // an extension that not all servers have
	}
	offset := from.offset
	resp, err := c.RetrFrom(path, uint64(offset))
	var proto *textproto.Error
	if offset > 0 && errors.As(err, &proto) && proto.Code >= 500 && proto.Code <= 504 {
		offset = 0 // no REST
		resp, err = c.Retr(path)
	}
	if err != nil {
		return nil, err
	}
	r := &ftpBody{resp: resp, conn: c, conns: conns, stop: stop}
	return &body{ReadCloser: r, offset: offset, size: size, final: u, clean: true}, nil
}

// An ftpBody is the data connection. Its end counts as the end of the file only
// when the server confirms it.
type ftpBody struct {
	resp  *ftp.Response
	conn  *ftp.ServerConn
	conns *connSet
	stop  func() bool
	ended bool
}

func (b *ftpBody) Read(p []byte) (int, error) {
	n, err := b.resp.Read(p)
	if err == io.EOF && !b.ended {
		b.ended = true
		if cerr := b.resp.Close(); cerr != nil {
			return n, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, ftpErr(cerr))
		}
	}
	return n, err
}

func (b *ftpBody) Close() error {
	b.stop()
	if b.ended {
		b.conn.Quit()
	}
	b.conns.close()
	return nil
}

// A connSet closes connections together.
type connSet struct {
	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func (s *connSet) add(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	s.conns = append(s.conns, c)
	return c, nil
}

func (s *connSet) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// An ftpDataError is a failure to open the data connection.
type ftpDataError struct{ err error }

func (e *ftpDataError) Error() string { return "data connection: " + e.err.Error() }
func (e *ftpDataError) Unwrap() error { return e.err }

// ftpErr makes the replies of RFC 959, section 4.2 into the words of HTTP. 550
// and 530 mean several things, which only their text tells apart.
func ftpErr(err error) error {
	var p *textproto.Error
	if !errors.As(err, &p) {
		return err
	}
	code := http.StatusBadGateway
	text := strings.ToLower(p.Msg)
	switch {
	case p.Code == ftp.StatusNotAvailable,
		p.Code == ftp.StatusNotLoggedIn && (strings.Contains(text, "too many") || strings.Contains(text, "maximum")):
		code = http.StatusTooManyRequests
	case p.Code == ftp.StatusNotLoggedIn, p.Code == ftp.StatusInvalidCredentials,
		p.Code == ftp.StatusFileUnavailable && (strings.Contains(text, "permission") || strings.Contains(text, "denied")):
		code = http.StatusForbidden
	case p.Code == ftp.StatusFileUnavailable, p.Code == ftp.StatusBadFileName:
		code = http.StatusNotFound
	}
	return &statusError{code: code, text: fmt.Sprintf("%d %s", p.Code, p.Msg), method: "ftp"}
}
