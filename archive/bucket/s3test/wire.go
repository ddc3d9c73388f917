package s3test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A Wire is a way to a server that can be cut: then nothing comes through, and nobody is
// told, as when a cable is out.
type Wire struct {
	URL string

	to    string
	mu    sync.Mutex
	whole chan struct{} // closed while the wire is whole
	dead  bool          // connections that were cut stay so
	era   int           // grows with every cut
	wait  sync.WaitGroup
	ends  []io.Closer
}

// NewWire makes a way to the server at addr, HOST:PORT, that ends with the test. dead says
// that connections that were cut stay so when the wire is whole again.
func NewWire(t testing.TB, addr string, dead bool) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{URL: "http://" + l.Addr().String(), to: addr, whole: make(chan struct{}), dead: dead}
	close(w.whole)
	w.ends = append(w.ends, l)
	w.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.connect(c)
		}
	})
	t.Cleanup(func() {
		w.Mend()
		w.mu.Lock()
		for _, c := range w.ends {
			c.Close()
		}
		w.mu.Unlock()
		w.wait.Wait()
	})
	return w
}

// Cut cuts the wire.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = make(chan struct{})
	w.era++
}

// Mend makes it whole again.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.whole:
	default:
		close(w.whole)
	}
}

// passes waits until something may come through of a connection that was made in era,
// and reports whether it ever does.
func (w *Wire) passes(era int) bool {
	w.mu.Lock()
	whole, dead := w.whole, w.dead && w.era != era
	w.mu.Unlock()
	<-whole
	return !dead
}

func (w *Wire) connect(c net.Conn) {
	w.mu.Lock()
	era := w.era
	w.ends = append(w.ends, c)
	w.mu.Unlock()
	w.wait.Go(func() {
		if !w.passes(era) {
			return
		}
		s, err := net.Dial("tcp", w.to)
		if err != nil {
			c.Close()
			return
		}
		w.mu.Lock()
		w.ends = append(w.ends, s)
		w.mu.Unlock()
		w.wait.Go(func() { w.carry(s, c, era) })
		w.carry(c, s, era)
	})
}

// carry brings what comes from one end to the other.
func (w *Wire) carry(to, from net.Conn, era int) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !w.passes(era) {
			return // and nobody is told
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			to.Close()
			return
		}
	}
}
