package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An rsyncTransport has the rsync program write the scratch file. What is there
// serves the program as the basis of its delta, so that a continued file is
// right even if its beginning was not.
type rsyncTransport struct {
	o     *Options
	guard *guard
	creds *netrc
	// program is looked for when the first URI asks for it.
	program func() (string, error)
}

var _ transport = (*rsyncTransport)(nil)

func newRsyncTransport(o *Options, g *guard, creds *netrc) *rsyncTransport {
	program := sync.OnceValues(func() (string, error) {
		path, err := exec.LookPath(o.RsyncProgram)
		if err != nil {
			return "", missing(o, err)
		}
		return path, nil
	})
	return &rsyncTransport{o, g, creds, program}
}

// missing is a failure of the sources that need the program, and of no other.
func missing(o *Options, err error) error {
	var inner *exec.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &policyError{fmt.Sprintf("the program rsync, which this URI needs, cannot be run: %s: %v", o.RsyncProgram, err)}
}

// rsyncReads is how many bytes a second both sides read, at least, of what is
// there already, before the file grows.
const rsyncReads = 8 << 20

const (
	// rsyncPoll is how often the growing file is looked at.
	rsyncPoll = 100 * time.Millisecond
	// rsyncEnd is how long a killed program may take to end: with salvage, less
	// than the five seconds after which services are killed.
	rsyncEnd = 2 * time.Second
)

func (t *rsyncTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	if from.scratch == nil {
		return nil, &policyError{"only files of a tree are asked for by rsync"}
	}
	path, err := rsyncPath(u)
	if err != nil {
		return nil, err
	}
	program, err := t.program()
	if err != nil {
		return nil, err
	}
	addr, err := t.guard.lookup(ctx, u)
	if err != nil {
		return nil, err
	}
	login, password, ok := t.creds.find(u)
	if !ok && u.User != nil {
		login = u.User.Username()
		password, _ = u.User.Password()
	}
	host := net.JoinHostPort(addr.String(), port(u))
	if login != "" {
		if strings.ContainsAny(login, "/@:") || hasControl(login+password) {
			return nil, &uriError{"rsync login with one of /@: or a control byte"}
		}
		host = login + "@" + host
	}
	file, err := from.scratch()
	if err != nil {
		return nil, err
	}
	dest, err := filepath.Abs(file.Name()) // a colon in a relative one would name a host
	if err != nil {
		return nil, &diskError{err}
	}
	limit := from.size
	if limit < 0 {
		limit = t.o.MaxSize
	}
	args := append(t.args(limit), "--", "rsync://"+host+path, dest)
	var said limitedBuffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"LC_ALL=C", "RSYNC_PASSWORD=" + password}
	cmd.Stdout, cmd.Stderr = &said, &said
	// rsync is two processes; both end with the transfer. Of the two, only the
	// first is sure to end with us (parent_signal.go).
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = rsyncEnd
	if err := cmd.Start(); err != nil {
		return nil, t.startErr(err)
	}
	// The second process, which writes, inherits the limit: it is started when
	// the server has answered. One byte more tells too long from long enough.
	// Where there is no such limit, supervise is less exact.
	_ = limitFiles(cmd.Process.Pid, limit+1)
	if err := supervise(cmd, file, limit, from); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, rsyncErr(err, said.String(), filepath.Dir(dest))
	}
	switch text := said.String(); {
	case strings.Contains(text, " is over max-size"):
		return nil, &sizeError{want: limit, more: true}
	case strings.Contains(text, "skipping directory"), strings.Contains(text, "skipping non-regular file"):
		return nil, &statusError{code: http.StatusNotFound, text: "no regular file", method: "rsync: "}
	}
	return &body{ReadCloser: http.NoBody, size: -1, final: u, clean: true}, nil
}

// startErr is the error of a program that could not be started. It says nothing
// about the disk.
func (t *rsyncTransport) startErr(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		return missing(t.o, err)
	}
	return fmt.Errorf("run rsync: %v", err) // no %w: EAGAIN is no timeout of the host
}

// args are the options: nothing of the attributes of the file is wanted, only
// its bytes, through symbolic links, and no more of them than can be right.
// Without --perms a file that exists keeps its mode. With --info=skip1 rsync
// says why it has not transferred a file.
func (t *rsyncTransport) args(limit int64) []string {
	args := []string{"--inplace", "--ignore-times", "--copy-links", "--no-motd", "--protect-args", "--info=skip1",
		"--max-size=" + strconv.FormatInt(limit, 10) + "B", "--contimeout=" + seconds(t.o.ConnectTimeout)}
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
// dash for an option. Without a file, rsync would list what there is.
func rsyncPath(u *url.URL) (string, error) {
	module, file, _ := strings.Cut(strings.TrimLeft(u.Path, "/"), "/")
	file = strings.TrimLeft(file, "/")
	switch {
	case module == "", file == "", strings.HasSuffix(file, "/"):
		return "", &uriError{"rsync URI names no file: it needs a module and a file in it"}
	case hasControl(u.Path):
		return "", &uriError{"rsync URI has a control byte"}
	}
	return "/" + rsyncQuote.Replace(module) + "/./" + rsyncQuote.Replace(file), nil
}

var rsyncQuote = strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`)

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// supervise waits for the program and tells from.grown how the file grows. The
// program is killed when grown returns an error, or when the file grows beyond
// limit, and that error is returned.
func supervise(cmd *exec.Cmd, file *os.File, limit int64, from resume) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(rsyncPoll)
	defer tick.Stop()
	size := from.offset
	look := func() error {
		fi, err := file.Stat()
		if err != nil || fi.Size() <= size {
			return nil
		}
		n := fi.Size() - size
		size = fi.Size()
		err = from.grown(n)
		if size > limit {
			return &sizeError{want: limit, got: size, more: true}
		}
		return err
	}
	for {
		select {
		case err := <-ended:
			if lerr := look(); is[*sizeError](lerr) || err != nil && is[*diskError](lerr) {
				return lerr
			}
			return err // that what has come was too slow is of no interest now
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
// Value and text can both be what the server wants them to be: whether it is the
// disk of dir, we find out ourselves.
func rsyncErr(err error, said, dir string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	return rsyncFailure(exit.ExitCode(), exit.Error(), said, dir)
}

// rsyncFailure is rsyncErr for an exit value that is called name.
func rsyncFailure(value int, name, said, dir string) error {
	text := rsyncText(said)
	if text == "" {
		text = name
	}
	status := func(code int) error { return &statusError{code: code, text: text, method: "rsync: "} }
	has := func(s string) bool { return strings.Contains(said, s) }
	switch value {
	case 3, 11, 12, 14, 20, 22, 23:
		if derr := probe(dir); derr != nil {
			return derr
		}
	}
	switch value {
	case 24: // it was removed in the meantime
		return status(http.StatusNotFound)
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
		return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New(text)}
	case 12, 20:
		return &truncatedError{want: -1, err: errors.New("rsync: " + text)}
	case 30:
		return fmt.Errorf("%w: rsync: %s", errStalled, text)
	}
	return status(http.StatusBadGateway)
}

// rsyncText is what the program has said, in one line, without the lines that
// only sum up, unless there are no other.
func rsyncText(said string) string {
	var text, sums []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "rsync error: "):
			sums = append(sums, line)
		default:
			text = append(text, strings.TrimPrefix(line, "rsync: "))
		}
	}
	if len(text) == 0 {
		text = sums
	}
	return oneLine(strings.Join(text, "; "))
}

// A limitedBuffer keeps the beginning of what a program says.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := 4<<10 - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
