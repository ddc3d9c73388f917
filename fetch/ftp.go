package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An ftpTransport fetches by ftp (RFC 959, RFC 2428, RFC 3659), always in passive
// mode. One connection makes one transfer. Servers are asked for what improves a
// transfer (binary mode, the size, a beginning in the middle), and do without it
// when they refuse; digests decide.
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

// maxReply bounds what a server may say between two commands. Of real ones,
// greetings are the longest, and have a few KiB.
const maxReply = 64 << 10

var errLongReply = errors.New("ftp: reply is longer than 64 KiB")

func (f *ftpTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	path, err := ftpPath(u)
	if err != nil {
		return nil, err
	}
	d := &ftpDialer{f: f, ctx: ctx}
	// No command takes a context: the end of ours closes all connections.
	stop := context.AfterFunc(ctx, d.conns.close)
	b, err := f.try(d, u, path, from.offset)
	if err != nil {
		stop()
		d.conns.close()
		return nil, f.discreet(ftpErr(err), u)
	}
	b.ReadCloser.(*ftpBody).stop = stop
	return b, nil
}

func (f *ftpTransport) try(d *ftpDialer, u *url.URL, path string, offset int64) (*body, error) {
	c, err := d.control(hostPort(u))
	if err != nil {
		return nil, err
	}
	s := &ftpSession{conn: c, text: textproto.NewReader(bufio.NewReader(c)), dial: d.data}
	login, password := f.login(u)
	if err := s.enter(login, password); err != nil {
		return nil, err
	}
	size := s.size(path)
	data, offset, err := s.retrieve(path, offset)
	if err != nil {
		return nil, err
	}
	r := &ftpBody{Conn: data, s: s, conns: &d.conns, left: size - offset}
	return &body{ReadCloser: r, offset: offset, size: size, final: u, clean: true}, nil
}

// ftpPath is the path of u, relative to where the login leads (RFC 1738, section
// 3.2.2), or absolute where it begins with %2F. The type of the transfer is no part
// of it.
func ftpPath(u *url.URL) (string, error) {
	password, _ := u.User.Password()
	if strings.ContainsAny(u.Path+u.User.Username()+password, "\r\n\x00") {
		return "", &uriError{"URI has an escaped line break or null byte, which no command of ftp can have"}
	}
	path := strings.TrimPrefix(u.Path, "/")
	if i := len(path) - len(";type=i"); i >= 0 && strings.EqualFold(path[i:i+len(";type=")], ";type=") {
		path = path[:i]
	}
	if path == "" || strings.HasSuffix(path, "/") {
		return "", &uriError{"ftp URI names no file"}
	}
	return path, nil
}

// credentials are those for the host of u, empty where anybody may log in.
func (f *ftpTransport) credentials(u *url.URL) (login, password string) {
	if l, p, ok := f.creds.find(u); ok {
		return l, p
	}
	password, _ = u.User.Password()
	return u.User.Username(), password
}

func (f *ftpTransport) login(u *url.URL) (login, password string) {
	login, password = f.credentials(u)
	if login != "" {
		return login, password
	}
	if f.o.Contact != "" {
		return "anonymous", strings.ReplaceAll(f.o.Contact, " ", "")
	}
	return "anonymous", "distkeep@"
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

// An ftpSession is a control connection.
type ftpSession struct {
	conn net.Conn
	text *textproto.Reader
	// dial opens a data connection to a port of the server. It goes where the
	// commands go, whatever address the server names.
	dial func(port int) (net.Conn, error)
	// plain: EPSV does not work here.
	plain bool
	// over tells that the server has said that the transfer is complete.
	over bool
}

// cmd sends a command and reads the reply. The error is that of the connection.
func (s *ftpSession) cmd(verb, arg string) (code int, msg string, err error) {
	if arg != "" {
		verb += " " + arg
	}
	if _, err := io.WriteString(s.conn, verb+"\r\n"); err != nil {
		return 0, "", err
	}
	return s.reply()
}

func (s *ftpSession) reply() (code int, msg string, err error) {
	code, msg, err = s.text.ReadResponse(-1)
	if err == nil && code == 421 { // it is about to close the connection
		err = &textproto.Error{Code: code, Msg: msg}
	}
	return code, msg, err
}

// enter reads the greeting, logs in and asks for binary mode.
func (s *ftpSession) enter(login, password string) error {
	code, msg, err := s.reply()
	for err == nil && code/100 == 1 { // "ready in two minutes"
		code, msg, err = s.reply()
	}
	if err == nil && code/100 == 2 {
		code, msg, err = s.cmd("USER", login)
	}
	if err == nil && code/100 == 3 {
		code, msg, err = s.cmd("PASS", password)
	}
	if err == nil && code/100 != 2 {
		err = &textproto.Error{Code: code, Msg: msg}
	}
	if err == nil {
		_, _, err = s.cmd("TYPE", "I")
	}
	return err
}

// size returns the size of a file, or -1: the command is an extension.
func (s *ftpSession) size(path string) int64 {
	code, msg, err := s.cmd("SIZE", path)
	if size, ok := parseNumber(strings.TrimSpace(msg)); err == nil && code == 213 && ok {
		return size
	}
	return -1
}

// retrieve starts a transfer. Some servers take no path, but the name of a file in
// the current directory.
func (s *ftpSession) retrieve(path string, offset int64) (net.Conn, int64, error) {
	data, at, err := s.transfer(path, offset)
	var refused *textproto.Error
	dir, file := path[:strings.LastIndexByte(path, '/')+1], path[strings.LastIndexByte(path, '/')+1:]
	if dir == "" || !errors.As(err, &refused) || refused.Code < 500 {
		return data, at, err
	}
	if code, _, cerr := s.cmd("CWD", directory(dir)); cerr != nil || code/100 != 2 {
		return nil, 0, err
	}
	return s.transfer(file, offset)
}

// directory is a directory without the slash at its end, unless it is the root.
func directory(dir string) string {
	if dir == "/" {
		return dir
	}
	return strings.TrimSuffix(dir, "/")
}

// transfer opens a data connection and asks for the file from offset on, or from 0
// where the server cannot continue.
func (s *ftpSession) transfer(path string, offset int64) (net.Conn, int64, error) {
	data, err := s.passive()
	if err != nil {
		return nil, 0, err
	}
	if offset > 0 {
		code, _, err := s.cmd("REST", strconv.FormatInt(offset, 10))
		if err != nil {
			return nil, 0, err
		}
		if code/100 != 3 {
			offset = 0
		}
	}
	code, msg, err := s.cmd("RETR", path)
	switch {
	case err != nil:
		return nil, 0, err
	case code/100 == 1, code/100 == 2:
		s.over = code/100 == 2
		return data, offset, nil
	}
	data.Close()
	if offset > 0 && code >= 500 && code <= 504 { // REST was said to work
		return s.transfer(path, 0)
	}
	return nil, 0, &textproto.Error{Code: code, Msg: msg}
}

// passive opens a data connection. Servers behind address translation may offer
// EPSV in vain.
func (s *ftpSession) passive() (net.Conn, error) {
	var vain error
	if !s.plain {
		_, msg, err := s.cmd("EPSV", "")
		if err != nil {
			return nil, err
		}
		if port, ok := parseEPSV(msg); ok {
			var data net.Conn
			if data, vain = s.dial(port); vain == nil {
				return data, nil
			}
		}
		s.plain = true
	}
	code, msg, err := s.cmd("PASV", "")
	if err != nil {
		return nil, err
	}
	port, ok := parsePASV(msg)
	switch {
	case code/100 == 2 && ok:
		return s.dial(port)
	case vain != nil:
		return nil, vain
	case code/100 == 2:
		return nil, errors.New("ftp: a reply cannot be understood: " + quote(msg))
	}
	return nil, &textproto.Error{Code: code, Msg: msg}
}

// parseEPSV reads the port of a 229: "Entering (|||6446|)", with any delimiter.
func parseEPSV(msg string) (port int, ok bool) {
	for i := 0; i+4 < len(msg); i++ {
		d := msg[i]
		if d != msg[i+1] || d != msg[i+2] || '0' <= d && d <= '9' || d == ' ' {
			continue
		}
		digits, _, found := strings.Cut(msg[i+3:], string(rune(d)))
		if n, isNumber := parseNumber(digits); found && isNumber && n > 0 && n <= 65535 {
			return int(n), true
		}
	}
	return 0, false
}

// parsePASV reads the port of a 227: six numbers, wherever they are in the text.
func parsePASV(msg string) (port int, ok bool) {
	words := strings.FieldsFunc(msg, func(r rune) bool { return r != ',' && (r < '0' || r > '9') && r != ' ' })
	for _, w := range words {
		nums := strings.Split(w, ",")
		if len(nums) < 6 {
			continue
		}
		nums = nums[:6]
		var n [6]int64
		good := true
		for i, s := range nums {
			if f := strings.Fields(s); len(f) > 0 {
				s = f[0]
				if i == 0 {
					s = f[len(f)-1]
				}
			}
			var isNumber bool
			n[i], isNumber = parseNumber(s)
			good = good && isNumber && n[i] <= 255
		}
		if good && n[4]<<8+n[5] > 0 {
			return int(n[4]<<8 + n[5]), true
		}
	}
	return 0, false
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

func (d *ftpDialer) control(addr string) (net.Conn, error) {
	g := d.f.guard
	d.exempt = g.exempt(d.ctx, addr)
	c, err := g.connect(d.ctx, "tcp", addr, d.exempt)
	if err != nil {
		return nil, err
	}
	d.peer, _, _ = net.SplitHostPort(c.RemoteAddr().String())
	return d.conns.add(&controlConn{Conn: countConn(c, addr, d.f.count)})
}

func (d *ftpDialer) data(port int) (net.Conn, error) {
	c, err := d.f.guard.connect(d.ctx, "tcp", net.JoinHostPort(d.peer, strconv.Itoa(port)), d.exempt)
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
// when the server confirms it, or when that is the size that it has told.
type ftpBody struct {
	net.Conn
	s     *ftpSession
	conns *connSet
	stop  func() bool
	// left are the bytes that are to come, negative where that is not known.
	left  int64
	ended bool
}

func (b *ftpBody) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.Conn.Read(p)
	b.left -= int64(n)
	if err != io.EOF {
		return n, err
	}
	b.ended = true
	b.Conn.Close()
	if cerr := b.confirmed(); cerr != nil && b.left != 0 {
		return n, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, ftpErr(cerr))
	}
	return n, io.EOF
}

// confirmed waits for the last reply.
func (b *ftpBody) confirmed() error {
	if b.s.over {
		return nil
	}
	b.s.conn.SetReadDeadline(time.Now().Add(ftpShut))
	code, msg, err := b.s.reply()
	if err == nil && code/100 != 2 {
		err = &textproto.Error{Code: code, Msg: msg}
	}
	return err
}

func (b *ftpBody) Close() error {
	b.stop()
	if b.ended {
		io.WriteString(b.s.conn, "QUIT\r\n")
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
		return curt(err)
	}
	code := http.StatusBadGateway
	text := strings.ToLower(p.Msg)
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case p.Code == 421, p.Code == 530 && says("too many", "maximum", "limit", "busy", "later"):
		code = http.StatusTooManyRequests
	case p.Code == 530, p.Code == 430, p.Code == 532, p.Code == 331, p.Code == 332, p.Code == 550 && says("permission", "denied"):
		code = http.StatusForbidden
	case p.Code == 550, p.Code == 553:
		code = http.StatusNotFound
	}
	return &statusError{code: code, text: fmt.Sprintf("%d %s", p.Code, brief(p.Msg)), method: "ftp: "}
}
