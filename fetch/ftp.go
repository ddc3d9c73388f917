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

// maxReply bounds what a server may say between two commands: the library keeps
// it all in memory. Of real ones, greetings and lists of features are the
// longest, and have a few KiB.
const maxReply = 64 << 10

var errLongReply = errors.New("ftp: reply is longer than 64 KiB")

func (f *ftpTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	password, _ := u.User.Password()
	if strings.ContainsAny(u.Path+u.User.Username()+password, "\r\n\x00") {
		return nil, &uriError{"URI has an escaped line break or null byte, which no command of ftp can have"}
	}
	b, err := f.try(ctx, u, from, false)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && is[*ftpDataError](err) {
		// Servers behind address translation may offer EPSV in vain.
		b, err = f.try(ctx, u, from, true)
	}
	return b, f.discreet(ftpErr(err), u)
}

// discreet returns err without the password of u: some servers repeat a command
// that they refuse.
func (f *ftpTransport) discreet(err error, u *url.URL) error {
	status := new(statusError)
	if _, password := f.credentials(u); password != "" && errors.As(err, &status) {
		status.text = strings.ReplaceAll(status.text, password, "…")
	}
	return err
}

func (f *ftpTransport) try(ctx context.Context, u *url.URL, from resume, pasv bool) (_ *body, err error) {
	// The library takes no context for what follows the connection: the end of
	// ours closes everything that it has opened.
	d := &ftpDialer{f: f, ctx: ctx}
	stop := context.AfterFunc(ctx, d.conns.close)
	defer func() {
		if err != nil {
			stop()
			d.conns.close()
		}
	}()
	defer survive(&err)
	c, err := ftp.Dial(net.JoinHostPort(u.Hostname(), port(u)), ftp.DialWithDialFunc(d.dial),
		ftp.DialWithShutTimeout(ftpShut), ftp.DialWithDisabledEPSV(pasv))
	if err != nil {
		return nil, err
	}
	if err := f.login(c, u); err != nil {
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
	r := &ftpBody{resp: resp, conn: c, conns: &d.conns, stop: stop}
	return &body{ReadCloser: r, offset: offset, size: size, final: u, clean: true}, nil
}

// credentials are those for the host of u, empty where anybody may log in.
func (f *ftpTransport) credentials(u *url.URL) (login, password string) {
	if l, p, ok := f.creds.find(u); ok {
		return l, p
	}
	password, _ = u.User.Password()
	return u.User.Username(), password
}

func (f *ftpTransport) login(c *ftp.ServerConn, u *url.URL) error {
	login, password := f.credentials(u)
	if login == "" {
		login, password = "anonymous", "distkeep@"
		if f.o.Contact != "" {
			password = strings.ReplaceAll(f.o.Contact, " ", "")
		}
	}
	err := c.Login(login, password)
	var network net.Error
	if err == nil || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, errLongReply) || is[*textproto.Error](err) {
		return err
	}
	// The library drops the code of a refused USER.
	return &textproto.Error{Code: ftp.StatusNotLoggedIn, Msg: err.Error()}
}

// survive makes a panic of the library an error: it takes replies apart without
// looking whether they are what they should be ("227 )(").
func survive(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("ftp: a reply cannot be understood: %v", r)
	}
}

// An ftpDialer opens the connections of one transfer: first that of the
// commands, then that of the file.
type ftpDialer struct {
	f     *ftpTransport
	ctx   context.Context
	conns connSet
	// peer is the address that the commands go to, exempt tells that it need
	// not be public: then its data need not come from a public one either.
	peer   string
	exempt bool
}

func (d *ftpDialer) dial(network, addr string) (net.Conn, error) {
	g := d.f.guard
	if d.peer == "" {
		d.exempt = g.exempt(d.ctx, addr)
		c, err := g.connect(d.ctx, network, addr, d.exempt)
		if err != nil {
			return nil, err
		}
		d.peer, _, _ = net.SplitHostPort(c.RemoteAddr().String())
		return d.conns.add(&controlConn{Conn: countConn(c, addr, d.f.count)})
	}
	host, _, _ := net.SplitHostPort(addr)
	c, err := g.connect(d.ctx, network, addr, d.exempt && host == d.peer)
	if err != nil {
		return nil, &ftpDataError{err}
	}
	return d.conns.add(c)
}

// A controlConn is the connection of the commands. It fails when the server
// says more than maxReply at once.
type controlConn struct {
	net.Conn
	said int
}

func (c *controlConn) Read(p []byte) (int, error) {
	if c.said >= maxReply {
		return 0, errLongReply
	}
	n, err := c.Conn.Read(p[:min(len(p), maxReply-c.said)])
	c.said += n
	return n, err
}

func (c *controlConn) Write(p []byte) (int, error) {
	c.said = 0
	return c.Conn.Write(p)
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

func (b *ftpBody) Read(p []byte) (n int, err error) {
	defer survive(&err)
	n, err = b.resp.Read(p)
	if err == io.EOF && !b.ended {
		b.ended = true
		if cerr := b.resp.Close(); cerr != nil {
			return n, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, ftpErr(cerr))
		}
	}
	return n, err
}

func (b *ftpBody) Close() (err error) {
	b.stop()
	defer b.conns.close()
	defer survive(&err)
	if b.ended {
		b.conn.Quit()
	}
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
		return curt(err)
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
	return &statusError{code: code, text: fmt.Sprintf("%d %s", p.Code, brief(p.Msg)), method: "ftp: "}
}
