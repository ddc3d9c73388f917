package serve

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A logged writer knows what was answered.
type logged struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (l *logged) WriteHeader(status int) {
	l.status = status
	l.ResponseWriter.WriteHeader(status)
}

func (l *logged) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p)
	l.bytes += int64(n)
	return n, err
}

// small is the size up to which a file goes out with the header, in one call of the
// system instead of four.
const small = 32 << 10

var buffers = sync.Pool{New: func() any { return new([small]byte) }}

// ReadFrom lets the kernel send a file, unless that is small.
func (l *logged) ReadFrom(src io.Reader) (int64, error) {
	if lr, ok := src.(*io.LimitedReader); ok && lr.N <= small {
		buf := buffers.Get().(*[small]byte)
		defer buffers.Put(buf)
		n, err := io.ReadFull(lr.R, buf[:lr.N])
		lr.N -= int64(n)
		if _, werr := l.Write(buf[:n]); werr != nil {
			err = werr
		}
		return int64(n), err
	}
	n, err := io.Copy(l.ResponseWriter, src)
	l.bytes += n
	return n, err
}

func (l *logged) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// logging writes the access log.
type logging struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// write writes a line in the combined format of other servers. A log that cannot be
// written keeps nobody from getting a file.
func (l *logging) write(start time.Time, r *http.Request, a *logged) {
	if l.w == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := append(l.buf[:0], addressOf(r.RemoteAddr)...)
	b = append(b, " - - ["...)
	b = start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, r.Method+" "+r.RequestURI+" "+r.Proto)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, a.bytes, 10)
	for _, h := range [...]string{r.Referer(), r.UserAgent()} {
		if h == "" {
			h = "-"
		}
		b = append(b, ` "`...)
		b = appendEscaped(b, h)
		b = append(b, '"')
	}
	l.buf = append(b, '\n')
	_, _ = l.w.Write(l.buf)
}

// addressOf is the client in the log: its address, or "-" behind a Unix socket.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return "-"
	}
	return host
}

// appendEscaped appends text in which nothing can end a field or a line.
func appendEscaped(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = fmt.Appendf(b, `\x%02X`, c)
		} else {
			b = append(b, c)
		}
	}
	return b
}

// counts are what was answered since the start.
type counts struct {
	classes  [6]atomic.Int64 // by the first digit of the status
	bytes    atomic.Int64
	dialects [64]atomic.Int64
}

func (c *counts) add(l *logged) {
	c.classes[min(l.status/100, 5)].Add(1)
	c.bytes.Add(l.bytes)
}
