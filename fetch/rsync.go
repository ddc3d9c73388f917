package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An rsyncTransport has the rsync program write the .part file. What is there
// serves the program as the basis of its delta, so that a continued file is
// right even if its beginning was not.
type rsyncTransport struct {
	o     *Options
	guard *guard
	creds *netrc
}

var _ transport = (*rsyncTransport)(nil)

// rsyncReads is how many bytes a second both sides read, at least, of what is
// there already, before the file grows.
const rsyncReads = 8 << 20

// rsyncPoll is how often the growing file is looked at.
const rsyncPoll = 100 * time.Millisecond

func (t *rsyncTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	addr, err := t.guard.lookup(ctx, u)
	if err != nil {
		return nil, err
	}
	dest, err := filepath.Abs(from.path) // a colon in a relative one would name a host
	if err != nil {
		return nil, &diskError{err}
	}
	if from.offset == 0 {
		if err := removePart(dest); err != nil {
			return nil, err
		}
	}
	login, password, ok := t.creds.find(u)
	if !ok && u.User != nil {
		login = u.User.Username()
		password, _ = u.User.Password()
	}
	host := net.JoinHostPort(addr.String(), port(u))
	if login != "" {
		if strings.ContainsAny(login, "/@:") {
			return nil, &uriError{"rsync login with one of /@:"}
		}
		host = login + "@" + host
	}
	args := append(t.args(from.size), "--", "rsync://"+host+rsyncPath(u), dest)
	var said limitedBuffer
	cmd := exec.CommandContext(ctx, t.o.RsyncProgram, args...)
	cmd.Env = []string{"LC_ALL=C", "RSYNC_PASSWORD=" + password}
	cmd.Stdout, cmd.Stderr = &said, &said
	// rsync is two processes; both end with the transfer, and with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, &diskError{fmt.Errorf("run rsync: %w", err)}
	}
	if err := supervise(cmd, dest, from); err != nil {
		return nil, rsyncErr(err, said.String())
	}
	if _, err := os.Lstat(dest); err != nil {
		if strings.Contains(said.String(), "skipping") {
			return nil, &statusError{code: http.StatusNotFound, text: "no regular file", method: "rsync: "}
		}
		return nil, &sizeError{want: from.size, more: true} // --max-size
	}
	return &body{ReadCloser: http.NoBody, size: -1, final: u, clean: true, written: true}, nil
}

// args are the options: nothing of the attributes of the file is wanted, only
// its bytes, through symbolic links, and no more of them than can be right.
func (t *rsyncTransport) args(size int64) []string {
	if size < 0 {
		size = t.o.MaxSize
	}
	args := []string{"--inplace", "--partial", "--copy-links", "--no-motd", "--protect-args",
		"--max-size=" + strconv.FormatInt(size, 10) + "B", "--contimeout=" + seconds(t.o.ConnectTimeout)}
	if t.o.Stall > 0 {
		args = append(args, "--timeout="+seconds(t.o.Stall))
	}
	if rate := min(noneIsMax(t.o.Rate), noneIsMax(t.o.HostRate)); rate < math.MaxInt64 {
		args = append(args, "--bwlimit="+strconv.FormatInt(max(1, rate>>10), 10))
	}
	return args
}

func noneIsMax(n int64) int64 {
	if n <= 0 {
		return math.MaxInt64
	}
	return n
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(max(1, (d+time.Second-1)/time.Second)), 10)
}

// rsyncPath is the path of u for the daemon: module and file. It knows no
// percent-escapes, but expands wildcards, and takes a file that begins with a
// dash for an option.
func rsyncPath(u *url.URL) string {
	path := strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`).Replace(u.Path)
	module, file, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !found {
		return path
	}
	return "/" + module + "/./" + strings.TrimLeft(file, "/")
}

// supervise waits for the program and tells from.grown how the file grows. The
// program is killed when grown returns an error, and that error is returned.
func supervise(cmd *exec.Cmd, dest string, from resume) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(rsyncPoll)
	defer tick.Stop()
	size := from.offset
	look := func() error {
		fi, err := os.Lstat(dest)
		if err != nil || fi.Size() <= size {
			return nil
		}
		n := fi.Size() - size
		size = fi.Size()
		return from.grown(n)
	}
	for {
		select {
		case err := <-ended:
			return errors.Join(err, look())
		case <-tick.C:
			if err := look(); err != nil {
				cmd.Cancel()
				<-ended
				return err
			}
		}
	}
}

// rsyncErr makes the exit values of rsync(1) into errors that Classify knows.
// Several causes share a value; only the text of the program tells them apart.
func rsyncErr(err error, said string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	text := strings.TrimSpace(said)
	if i := strings.LastIndexByte(text, '\n'); i > 0 { // the last line only sums up
		text = strings.TrimSpace(text[:i])
	}
	status := func(code int) error { return &statusError{code: code, text: text, method: "rsync: "} }
	has := func(s string) bool { return strings.Contains(said, s) }
	switch exit.ExitCode() {
	case 5, 23:
		switch {
		case has("No such file"), has("Unknown module"):
			return status(http.StatusNotFound)
		case has("ermission denied"), has("auth failed"), has("access denied"):
			return status(http.StatusForbidden)
		case has("max connections"):
			return status(http.StatusTooManyRequests)
		}
	case 10, 35:
		return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New(oneLine(text))}
	case 11:
		return &diskError{errors.New("rsync: " + oneLine(text))}
	case 12, 20:
		return &truncatedError{want: -1, err: errors.New("rsync: " + oneLine(text))}
	case 30:
		return fmt.Errorf("%w: rsync: %s", errStalled, oneLine(text))
	}
	return status(http.StatusBadGateway)
}

// A limitedBuffer keeps the beginning of what a program says.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := 4<<10 - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
