package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"distkeep/catalog/regular"
)

// Limits bound what one client, and all together, can hold.
type Limits struct {
	// Connections and PerAddress are the most connections at one time, of all and of
	// one address; those of a /64 of IPv6 are one. Zero is no limit. Clients behind a
	// Unix socket have no address.
	Connections, PerAddress int
}

// Listen listens on addr, a TCP address or "unix:" with the path of a socket. A socket
// that a server has left behind which was killed is replaced.
func Listen(addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, "unix:")
	if !ok {
		return net.Listen("tcp", addr)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && isDead(path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, err
	}
	// What is served is public; who comes to the directory may ask.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// isDead reports whether path is a socket that nobody listens on.
func isDead(path string) bool {
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Limit returns l, of which no connections are taken beyond the limits, and whose clients
// have to read what they have asked for.
func (m Limits) Limit(l net.Listener) net.Listener {
	return &limited{Listener: l, limits: m, open: make(map[netip.Addr]int)}
}

type limited struct {
	net.Listener
	limits Limits
	mu     sync.Mutex
	all    int
	open   map[netip.Addr]int
}

// tooMany is what a client reads that has too many connections.
const tooMany = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := clientOf(c.RemoteAddr())
		if l.enter(addr) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.leave(addr) })}, nil
		}
		// It fits into the buffer of a new connection.
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(c, tooMany)
		c.Close()
	}
}

func (l *limited) enter(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.limits.Connections; n > 0 && l.all >= n {
		return false
	}
	if n := l.limits.PerAddress; n > 0 && addr.IsValid() && l.open[addr] >= n {
		return false
	}
	l.all++
	l.open[addr]++
	return true
}

func (l *limited) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.open[addr]--; l.open[addr] == 0 {
		delete(l.open, addr)
	}
}

// clientOf is the address that counts, invalid for a Unix socket.
func clientOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// A conn is a connection whose client has a minute for each piece: one that reads less
// than 4 KiB a second for so long is gone.
type conn struct {
	net.Conn
	leave func()
	until atomic.Int64 // the deadline in Unix nanoseconds
}

const (
	piece     = 256 << 10
	pieceTime = time.Minute
)

// extend gives the client time for the next piece. The deadline is moved when a quarter of the
// time has gone: to move it costs more than to write a few bytes.
func (c *conn) extend() error {
	now := time.Now()
	if c.until.Load()-now.UnixNano() > int64(pieceTime)*3/4 {
		return nil
	}
	return c.SetWriteDeadline(now.Add(pieceTime))
}

// SetWriteDeadline and SetDeadline are those of the connection. net/http moves deadlines, too.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.until.Store(t.UnixNano())
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

func (c *conn) Write(p []byte) (n int, err error) {
	for err == nil && len(p) > 0 {
		var m int
		if err = c.extend(); err == nil {
			m, err = c.Conn.Write(p[:min(piece, len(p))])
		}
		n, p = n+m, p[m:]
	}
	return n, err
}

// ReadFrom lets the kernel send a file.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	to, ok := c.Conn.(io.ReaderFrom)
	whole, limited := r.(*io.LimitedReader)
	if !ok || !limited {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	for whole.N > 0 {
		if err := c.extend(); err != nil {
			return n, err
		}
		want := min(piece, whole.N)
		m, err := to.ReadFrom(&io.LimitedReader{R: whole.R, N: want})
		n, whole.N = n+m, whole.N-m
		if err != nil || m < want {
			return n, err
		}
	}
	return n, nil
}

// Certificate returns a configuration with the certificate and the key in two files, which are
// read again when they have changed: certificates of today live for weeks.
func Certificate(cert, key string) (*tls.Config, error) {
	c := &certificate{cert: cert, key: key}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

type certificate struct {
	cert, key string
	mu        sync.Mutex
	was       [2]regular.ID
	last      *tls.Certificate
}

// get returns the certificate of now, or the last that could be read.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var is [2]regular.ID
	for i, file := range []string{c.cert, c.key} {
		if fi, err := os.Stat(file); err == nil {
			is[i] = regular.IDOf(fi)
		}
	}
	if c.last != nil && is == c.was {
		return c.last, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil && c.last == nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err == nil {
		c.last, c.was = &pair, is
	}
	return c.last, nil
}
