package fetchtest

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// An FTP is an ftp server on loopback, as old ones are.
type FTP struct {
	// URL is the base URL, without a slash at its end.
	URL string
	// NoEPSV, NoSIZE and NoREST lack these commands. BadEPSV offers a port that
	// nobody listens on.
	NoEPSV, NoSIZE, NoREST, BadEPSV bool
	// Replies are given in place of carrying out a command, by its verb; the
	// greeting is the one to "".
	Replies map[string]string
	// Passive is the reply to PASV with the two numbers of the port, Begin and End
	// those around a transfer, where they are not the usual ones. No End is said
	// where it is "-".
	Passive, Begin, End string
	// Flat takes no path in a command but that of CWD.
	Flat bool
	// Users bounds the clients at one time; zero is no bound.
	Users int
	// User and Password must be given where User is not empty.
	User, Password string

	l     net.Listener
	mu    sync.Mutex
	files map[string][]byte
	cut   map[string]bool
	conns map[net.Conn]bool
	users int
	wg    sync.WaitGroup
}

// StartFTP listens until Close. configure may set the exported fields.
func StartFTP(configure func(*FTP)) (*FTP, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &FTP{URL: "ftp://" + l.Addr().String(), l: l, files: make(map[string][]byte), cut: make(map[string]bool), conns: make(map[net.Conn]bool)}
	if configure != nil {
		configure(f)
	}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(c) })
		}
	})
	return f, nil
}

// Add makes a file known by its path, which has no slash at its beginning. With
// cut the first transfer breaks off in the middle.
func (f *FTP) Add(path string, data []byte, cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[path], f.cut[path] = data, cut
}

// Close ends all connections.
func (f *FTP) Close() error {
	err := f.l.Close()
	f.mu.Lock()
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	return err
}

// keep notes a connection, so that Close ends it.
func (f *FTP) keep(c net.Conn, n int) (users int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users += n; n >= 0 {
		f.conns[c] = true
	} else {
		delete(f.conns, c)
	}
	return f.users
}

// A session is one control connection.
type session struct {
	f      *FTP
	c      net.Conn
	data   net.Listener
	user   string
	offset int64
	dir    string
}

func (f *FTP) serve(c net.Conn) {
	users := f.keep(c, 1)
	s := &session{f: f, c: c}
	defer func() {
		f.keep(c, -1)
		c.Close()
		if s.data != nil {
			s.data.Close()
		}
	}()
	if f.Users > 0 && users > f.Users {
		s.say("421 too many users")
		return
	}
	s.say("%s", cmp.Or(f.Replies[""], "220 ready"))
	for sc := bufio.NewScanner(c); sc.Scan(); {
		verb, arg, _ := strings.Cut(sc.Text(), " ")
		if verb == "QUIT" {
			s.say("221 bye")
			return
		}
		s.command(verb, arg)
	}
}

func (s *session) say(format string, v ...any) { fmt.Fprintf(s.c, format+"\r\n", v...) }

func (s *session) command(verb, arg string) {
	f := s.f
	if reply, ok := f.Replies[verb]; ok {
		s.say("%s", reply)
		return
	}
	if f.Flat && strings.Contains(arg, "/") && verb != "CWD" {
		s.say("550 no paths")
		return
	}
	switch {
	case verb == "CWD":
		s.dir = arg + "/"
		s.say("250 there")
	case verb == "USER":
		s.user = arg
		s.say("331 password")
	case verb == "PASS":
		if f.User != "" && (s.user != f.User || arg != f.Password) {
			s.say("530 login incorrect")
			return
		}
		s.say("230 in")
	case verb == "TYPE":
		s.say("200 ok")
	case verb == "EPSV" && f.BadEPSV:
		s.say("229 entering (|||1|)")
	case verb == "EPSV" && !f.NoEPSV:
		if l := s.listen(); l != nil {
			s.say("229 entering (|||%d|)", l.Addr().(*net.TCPAddr).Port)
		}
	case verb == "PASV":
		if l := s.listen(); l != nil {
			p := l.Addr().(*net.TCPAddr).Port
			s.say(cmp.Or(f.Passive, "227 entering (127,0,0,1,%d,%d)"), p>>8, p&255)
		}
	case verb == "SIZE" && !f.NoSIZE:
		if data, _, ok := f.file(s.dir + arg); ok {
			s.say("213 %d", len(data))
			return
		}
		s.say("550 no such file")
	case verb == "REST" && !f.NoREST:
		s.offset, _ = strconv.ParseInt(arg, 10, 64)
		s.say("350 from %d", s.offset)
	case verb == "RETR":
		s.retrieve(s.dir + arg)
	default:
		s.say("502 not implemented")
	}
}

func (s *session) listen() net.Listener {
	if s.data != nil {
		s.data.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.say("425 no port")
		return nil
	}
	s.data = l
	return l
}

// file returns a file, and how many bytes of it are sent this time.
func (f *FTP) file(path string) (data []byte, end int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok = f.files[path]
	end = len(data)
	if f.cut[path] {
		end /= 2
	}
	return data, end, ok
}

func (s *session) retrieve(path string) {
	data, end, ok := s.f.file(path)
	if !ok || s.data == nil {
		s.say("550 no such file")
		return
	}
	s.f.mu.Lock()
	s.f.cut[path] = false
	s.f.mu.Unlock()
	s.say("%s", cmp.Or(s.f.Begin, "150 here it comes"))
	if strings.HasPrefix(s.f.Begin, "5") {
		return
	}
	c, err := s.data.Accept()
	if err != nil {
		s.say("425 nobody came")
		return
	}
	offset := int(min(s.offset, int64(end)))
	s.offset = 0
	_, err = c.Write(data[offset:end])
	c.Close()
	if err != nil || end < len(data) {
		s.say("426 connection lost")
		return
	}
	if s.f.End != "-" {
		s.say("%s", cmp.Or(s.f.End, "226 complete"))
	}
}
