package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// progress draws one line on a terminal while a run goes on, and nothing
// anywhere else.
type progress struct {
	w     io.Writer
	width int

	files, bytes atomic.Int64

	mu    sync.Mutex
	name  string
	total int
	size  int64
	begin time.Time
	drawn bool
	done  chan struct{}
	ended bool

	stopTick func() // nil: nothing is drawn
}

// newProgress returns a progress line that is drawn only if standard error is a
// terminal. SIGUSR1 prints it in any case, as a line of its own.
func newProgress(e *env) *progress {
	p := &progress{w: e.stderr, width: e.terminal(), done: make(chan struct{})}
	p.begin = time.Now() // of the display; decisions use the injected clock
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	var tick <-chan time.Time
	if p.width > 0 {
		t := time.NewTicker(200 * time.Millisecond)
		tick, p.stopTick = t.C, t.Stop
	}
	go func() {
		defer signal.Stop(asked)
		for {
			select {
			case <-tick:
				p.mu.Lock()
				p.draw()
				p.mu.Unlock()
			case <-asked:
				p.above(func() { fmt.Fprintln(p.w, "distkeep:", p.line()) })
			case <-p.done:
				return
			}
		}
	}()
	return p
}

func (p *progress) phase(name string, files int, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.total, p.size, p.begin = name, files, size, time.Now()
	p.files.Store(0)
	p.bytes.Store(0)
}

func (p *progress) file()          { p.files.Add(1) }
func (p *progress) received(n int) { p.bytes.Add(int64(n)) }

// above calls f, which writes whole lines, with the progress line out of the
// way.
func (p *progress) above(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	f()
}

// line says where the run stands. p.mu is held.
func (p *progress) line() string {
	if p.name == "" {
		return "starting"
	}
	s := fmt.Sprintf("%s: %d/%d files", p.name, p.files.Load(), p.total)
	if n := p.bytes.Load(); n > 0 {
		rate := float64(n) / max(time.Since(p.begin).Seconds(), 0.001)
		s += fmt.Sprintf(", %s of %s, %s/s", humanSize(n), humanSize(p.size), humanSize(int64(rate)))
	}
	return s
}

// draw and erase are called with p.mu held.
func (p *progress) draw() {
	if p.ended || p.name == "" {
		return
	}
	s := p.line()
	if len(s) >= p.width {
		s = s[:p.width-1]
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", s)
	p.drawn = true
}

func (p *progress) erase() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// stop erases the line for good. It may be called more than once.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	p.erase()
	if p.stopTick != nil {
		p.stopTick()
	}
	close(p.done)
}

// plural returns "1 file" or "n files".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "y") && !strings.HasSuffix(what, "ay") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}
