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

	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog/regular"
)

// progress draws one line on a terminal while a run goes on, and tells others who ask
// with status.
type progress struct {
	e *env
	w io.Writer

	files, failures, bytes atomic.Int64

	mu    sync.Mutex
	name  string
	total int
	size  int64
	begin time.Time
	drawn bool
	done  chan struct{}
	ended bool
	// dir is where others read of it, or empty; told says that they can.
	dir  string
	told bool
	// asked is told of SIGUSR1, or SIGHUP.
	asked chan struct{}
}

// How often the line is drawn, and others are told.
const (
	drawEvery = 200 * time.Millisecond
	tellEvery = 10 * time.Second
)

// newProgress returns a progress line that is drawn only if standard error is a
// terminal. SIGUSR1 prints it in any case, as a line of its own, and so does SIGHUP
// where nobody is at a terminal.
func newProgress(e *env) *progress {
	p := &progress{e: e, w: e.stderr, done: make(chan struct{}), asked: make(chan struct{}, 1)}
	p.begin = time.Now() // of the display; decisions use the injected clock
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	if !e.attended() && !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(asked, syscall.SIGHUP)
		e.outlives.Store(true)
	}
	draw, tell := time.NewTicker(drawEvery), time.NewTicker(tellEvery)
	if e.terminal() == 0 {
		draw.Stop()
	}
	go func() {
		defer signal.Stop(asked)
		defer draw.Stop()
		defer tell.Stop()
		for {
			select {
			case <-draw.C:
				p.mu.Lock()
				p.draw()
				p.mu.Unlock()
			case <-tell.C:
				p.mu.Lock()
				p.tell()
				p.mu.Unlock()
			case <-asked:
				p.above(func() { fmt.Fprintln(p.w, "distkeep:", p.line()) })
				select {
				case p.asked <- struct{}{}:
				default: // it was asked for before
				}
			case <-p.done:
				return
			}
		}
	}()
	return p
}

// publish lets status read where the run stands, from now on. The lock is held.
func (p *progress) publish(state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dir = store.ReportDir(state)
}

func (p *progress) phase(name string, files int, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.total, p.size, p.begin = name, files, size, time.Now()
	p.files.Store(0)
	p.bytes.Store(0)
	if name == "fetch" {
		p.tell() // what may take days begins
	}
}

func (p *progress) file()          { p.files.Add(1) }
func (p *progress) failed()        { p.files.Add(1); p.failures.Add(1) }
func (p *progress) received(n int) { p.bytes.Add(int64(n)) }

// now is where the run stands. p.mu is held.
func (p *progress) now() *report.Progress {
	return &report.Progress{
		PID: os.Getpid(), Phase: p.name, Done: int(p.files.Load()), Total: p.total, Bytes: p.bytes.Load(), TotalBytes: p.size,
		Failures: int(p.failures.Load()), Took: time.Since(p.begin), At: p.e.now().UTC(),
	}
}

// tell writes down where the run stands. That it cannot is no trouble of the run. p.mu
// is held.
func (p *progress) tell() {
	if p.ended || p.dir == "" || p.name == "" {
		return
	}
	p.told = report.WriteProgress(p.dir, p.now(), regular.Replace) == nil || p.told
}

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
	return progressText(p.now())
}

// progressText is a Progress in one line.
func progressText(p *report.Progress) string {
	s := fmt.Sprintf("%s: %d/%d files", p.Phase, p.Done, p.Total)
	if p.Bytes > 0 {
		s += fmt.Sprintf(", %s of %s, %s/s", humanSize(p.Bytes), humanSize(p.TotalBytes), humanSize(p.Rate()))
	}
	if p.Failures > 0 {
		s += ", " + plural(p.Failures, "failure")
	}
	if left := p.Left(); left > 0 {
		s += fmt.Sprintf(", %v left", left)
	}
	return s
}

// draw and erase are called with p.mu held. The width is asked for each time: a window
// is resized.
func (p *progress) draw() {
	width := p.e.terminal()
	if p.ended || p.name == "" || width == 0 {
		return
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", clip(p.line(), width-1))
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
	if p.told {
		// What stays says nothing: it has the number of this process.
		_ = report.DropProgress(p.dir)
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
