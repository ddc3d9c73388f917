package openbsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// closeDelay is how long descendants of the command that outlive it may keep
// its output open: make waits for its children, so that anything longer is a
// daemon.
const closeDelay = 5 * time.Second

// runCommand runs the command and reads the dump that it prints. That it fails
// is a problem of the tree, because the ports that it printed are known; that
// it cannot be run is an error.
func (r *Repository) runCommand(ctx context.Context) (*dump, error) {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	d := newDump("output of " + clip(strings.Join(r.o.Command, " ")))
	cmd := exec.CommandContext(run, r.o.Command[0], r.o.Command[1:]...)
	cmd.Dir = r.path
	// A process group of its own, so that all of make's children go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = closeDelay
	out, in := io.Pipe()
	var msgs messages
	cmd.Stdout, cmd.Stderr = in, &msgs
	if err := cmd.Start(); err != nil {
		return d, err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		in.Close()
		ended <- err
	}()
	err := d.read(ctx, out)
	if err != nil {
		cancel()
	}
	out.Close()
	status := <-ended
	if ctx.Err() != nil {
		return d, ctx.Err()
	}
	if err != nil {
		return d, err
	}
	for _, line := range msgs.lines {
		d.failure(0, line)
	}
	if status != nil {
		if errors.Is(status, exec.ErrWaitDelay) {
			status = errors.New("children of the command kept its output open")
		}
		d.problem("", 0, "command failed: %v%s", status, msgs.tail())
	}
	return d, nil
}

// messages keeps what is of use in the standard error of the command: lines
// about single ports, and the last lines of all.
type messages struct {
	lines [][]byte
	last  [][]byte
	part  []byte // of a line
}

func (m *messages) Write(p []byte) (int, error) {
	const most = 4 << 10
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		m.part = append(m.part, line[:min(len(line), most-len(m.part))]...)
		if ended {
			m.line()
		}
		rest = after
	}
	return len(p), nil
}

func (m *messages) line() {
	const lines, last = maxProblems, 3
	line := bytes.Clone(m.part)
	m.part = m.part[:0]
	switch {
	case bytes.HasPrefix(line, []byte("===>")), bytes.HasPrefix(line, []byte(">>")):
		if len(m.lines) < lines {
			m.lines = append(m.lines, line)
		}
	case len(line) > 0:
		m.last = append(m.last, line)
		m.last = m.last[max(0, len(m.last)-last):]
	}
}

// tail returns the last lines for an error message.
func (m *messages) tail() string {
	m.line()
	if len(m.last) == 0 {
		return ""
	}
	last := make([]string, len(m.last))
	for i, l := range m.last {
		last[i] = label(l)
	}
	return fmt.Sprintf(": %s", strings.Join(last, "; "))
}
