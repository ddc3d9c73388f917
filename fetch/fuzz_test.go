package fetch

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"distkeep/fetch/failure"
)

// A scripted connection says what it says, whatever it is told.
type scripted struct {
	net.Conn
	said *bytes.Reader
	told bytes.Buffer
}

func (c *scripted) Read(p []byte) (int, error)      { return c.said.Read(p) }
func (c *scripted) Write(p []byte) (int, error)     { return c.told.Write(p) }
func (c *scripted) SetReadDeadline(time.Time) error { return nil }
func (c *scripted) Close() error                    { return nil }

// FuzzFTPReplies: a server may say anything. It is told only whole commands, and
// what it says makes an error of one line, or a file.
func FuzzFTPReplies(f *testing.F) {
	for _, s := range []string{
		"220 hi\r\n331 pw\r\n230 in\r\n200 I\r\n213 5\r\n229 (|||99|)\r\n350 ok\r\n150 go\r\n226 done\r\n",
		"220-a\r\nb\r\n220 c\n230 in\r\n504 no\r\n550 no\r\n500 no\r\n227 1,2,3,4,5,6\r\n502 no\r\n125 go\r\n",
		"220 hi\r\n331 pw\r\n230 in\r\n200 I\r\n213 x\r\n229 )(\r\n227 )(\r\n", "421 \xff\x00\r\n", "227", "12\r\n", "220 \r\n421 x\r\n",
	} {
		f.Add(s, "/pub/f", uint16(3))
	}
	f.Fuzz(func(t *testing.T, said, path string, offset uint16) {
		p, err := ftpPath(&url.URL{Scheme: "ftp", Host: "h", Path: path})
		if err != nil {
			t.Skip()
		}
		c := &scripted{said: bytes.NewReader([]byte(said))}
		s := &ftpSession{conn: &controlConn{Conn: c}, dial: func(port int) (net.Conn, error) {
			if port < 1 || port > 65535 {
				t.Fatalf("port %d", port)
			}
			return &scripted{said: bytes.NewReader([]byte("bytes"))}, nil
		}}
		s.text = textproto.NewReader(bufio.NewReader(s.conn))
		err = s.enter("anonymous", "x@")
		if err == nil {
			size := s.size(p)
			var data net.Conn
			var at int64
			if data, at, err = s.retrieve(p, int64(offset)); err == nil {
				b := &ftpBody{Conn: data, s: s, conns: new(connSet), stop: func() bool { return true }, left: size - at}
				if at != 0 && at != int64(offset) {
					t.Fatalf("begins at %d in place of %d", at, offset)
				}
				_, err = io.ReadAll(b)
				b.Close()
			}
		}
		if err := ftpErr(err); err != nil && (len(err.Error()) > 4*maxQuote || Classify(err) == failure.Disk || Classify(err) == failure.Interrupted) {
			t.Fatalf("%s: %v", Classify(err), err)
		}
		for line := range strings.Lines(c.told.String()) {
			if verb, _, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " "); !strings.HasSuffix(line, "\r\n") || strings.Trim(verb, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
				t.Fatalf("told %q", line)
			}
		}
	})
}

// FuzzRsyncOutput: what the program says, which may be what a server says, makes a
// failure of one line that is neither our disk's nor the end of the run.
func FuzzRsyncOutput(f *testing.F) {
	for _, s := range []string{
		"@ERROR: Unknown module 'x'\nrsync error: error starting client-server protocol (code 5) at main.c(1863)\n",
		"rsync: [sender] link_stat \"/x\" (in m) failed: No such file or directory (2)\n", "write failed: No space left on device (28)\n", "\x00\t\xff\r\n",
	} {
		f.Add(s, byte(23))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, said string, value byte) {
		err := rsyncFailure(int(value), "exit status", said, dir)
		if err == nil || strings.ContainsAny(err.Error(), "\n\t\r\x00") || len(err.Error()) > 1200 {
			t.Fatalf("%q", err)
		}
		switch Classify(err) {
		case failure.Disk, failure.Interrupted, failure.Policy, failure.Digest, failure.Size:
			t.Fatalf("%q makes %s", said, Classify(err))
		}
	})
}
