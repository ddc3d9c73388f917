package fetch_test

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// ftpReplies starts an ftp server that answers each command by a table, and
// counts the clients. It greets with the reply to "".
func ftpReplies(t *testing.T, replies map[string]string) (base string, clients *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clients = new(atomic.Int64)
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	serve := func(c net.Conn) {
		defer c.Close()
		fmt.Fprintf(c, "%s\r\n", replies[""])
		for sc := bufio.NewScanner(c); sc.Scan(); {
			verb, _, _ := strings.Cut(sc.Text(), " ")
			reply, ok := replies[verb]
			if !ok {
				reply = "500 no"
			}
			if _, err := fmt.Fprintf(c, "%s\r\n", reply); err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			clients.Add(1)
			wg.Go(func() { serve(c) })
		}
	})
	return "ftp://" + l.Addr().String(), clients
}

// TestFTPNonsense: whatever an ftp server says is a failure of the one file, and
// takes neither the program with it nor its memory.
func TestFTPNonsense(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60<<10)
	for name, c := range map[string]struct {
		replies map[string]string
		class   failure.Class
		text    string
	}{
		"brackets":  {map[string]string{"PASV": "227 )("}, failure.Server, "a reply cannot be understood"},
		"banner":    {map[string]string{"": "220 " + strings.Repeat("a", 16<<20)}, failure.Server, "longer than 64 KiB"},
		"lines":     {map[string]string{"": "220-a\r\n" + strings.Repeat("220-a\r\n", 1<<20)}, failure.Server, "longer than 64 KiB"},
		"login":     {map[string]string{"PASS": "530-" + strings.Repeat("a", 1<<20)}, failure.Server, "longer than 64 KiB"},
		"no code":   {map[string]string{"": long}, failure.Server, "aaa…"},
		"long":      {map[string]string{"PASV": "550 " + long}, failure.Gone, "ftp: 404 550 aaa"},
		"long USER": {map[string]string{"USER": "421 " + long}, failure.Throttled, "aaa…"},
		"numbers":   {map[string]string{"PASV": "227 (1,2,3,4," + long + ",6)"}, failure.Server, "aaa…"},
		"port":      {map[string]string{"PASV": "227 (1,2,3,4,99999,6)"}, failure.Server, "a reply cannot be understood"},
		"short":     {map[string]string{"PASV": "500 no"}, failure.Server, "ftp: 502 500 no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replies := map[string]string{"": "220 hi", "USER": "331 password", "PASS": "230 in", "TYPE": "200 ok"}
			for verb, reply := range c.replies {
				replies[verb] = reply
			}
			base, _ := ftpReplies(t, replies)
			o := options(base)
			o.Retries = 1
			r := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", []byte("x"), base+"/f"))["f"]
			checkClass(t, r, c.class, nil)
			if !strings.Contains(r.Err.Error(), c.text) {
				t.Errorf("error %v, want one with %q", r.Err, c.text)
			}
			for _, a := range r.Attempts {
				if n := len(a.Err.Error()); n > 500 {
					t.Errorf("an error has %d bytes", n)
				}
			}
		})
	}
}

// TestFTPLineBreak: a path that would be two commands is the tree's fault, and
// no server is asked about it.
func TestFTPLineBreak(t *testing.T) {
	t.Parallel()
	base, clients := ftpReplies(t, map[string]string{"": "220 hi"})
	for _, uri := range []string{base + "/f%0d%0aDELE%20x", base + "/f%00", strings.Replace(base, "//", "//me%0aDELE:x@", 1) + "/f"} {
		r := run(t, t.Context(), fetcher(t, options(base)), want(t, t.TempDir(), "f", []byte("x"), uri))["f"]
		checkClass(t, r, failure.BadURI, nil)
		if len(r.Attempts) != 1 || clients.Load() != 0 {
			t.Errorf("%s: %d attempts, %d connections", uri, len(r.Attempts), clients.Load())
		}
	}
}

// TestFTPFallback: an archive that the operator has named may be at a private
// address, with its data connections, but nobody else's URI leads there.
func TestFTPFallback(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*fetchtest.FTP){"EPSV": nil, "PASV": func(f *fetchtest.FTP) { f.NoEPSV = true }} {
		s, err := fetchtest.StartFTP(configure)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		s.Add("f", []byte("x"), false)
		s.Add("pub/g", []byte("x"), false)
		base := strings.Replace(s.URL, "127.0.0.1", "archive.example", 1)
		o := options(s.URL)
		o.AllowNets, o.Resolver = nil, loopback(t)
		o.Fallbacks = []string{base}
		dir := t.TempDir()
		res := run(t, t.Context(), fetcher(t, o), want(t, dir, "f", []byte("x")), want(t, dir, "g", []byte("x"), base+"/pub/g"))
		checkClass(t, res["f"], "", []byte("x"))
		checkClass(t, res["g"], failure.Policy, nil)
		if t.Failed() {
			t.Log(name)
		}
	}
}

// TestFTPGreets: a long greeting is none of our business as long as it ends.
func TestFTPGreets(t *testing.T) {
	t.Parallel()
	base, _ := ftpReplies(t, map[string]string{"": strings.Repeat("220-welcome\r\n", 2000) + "220 hi"})
	o := options(base)
	o.Stall = 5 * time.Second
	r := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", []byte("x"), base+"/f"))["f"]
	if r.Err == nil || !strings.Contains(r.Err.Error(), "500 no") {
		t.Errorf("error %v, want that of the login", r.Err)
	}
}

// TestFTPEcho: what a server repeats of a refused command is shown without the
// password in it.
func TestFTPEcho(t *testing.T) {
	t.Parallel()
	base, _ := ftpReplies(t, map[string]string{"": "220 hi", "USER": "331 password", "PASS": "500 'PASS hunter2': command not understood"})
	uri := strings.Replace(base, "//", "//me:hunter2@", 1) + "/f"
	r := run(t, t.Context(), fetcher(t, options(base)), want(t, t.TempDir(), "f", []byte("x"), uri))["f"]
	if r.Err == nil || strings.Contains(r.Err.Error(), "hunter2") || !strings.Contains(r.Err.Error(), "not understood") {
		t.Errorf("error %v, want one without the password", r.Err)
	}
}

// TestFTPShapes: servers say the same in many ways, and do without much.
func TestFTPShapes(t *testing.T) {
	t.Parallel()
	refuse := func(verbs ...string) func(*fetchtest.FTP) {
		return func(f *fetchtest.FTP) {
			f.Replies = make(map[string]string)
			for _, v := range verbs {
				verb, reply, _ := strings.Cut(v, " ")
				f.Replies[verb] = reply
			}
		}
	}
	for name, c := range map[string]struct {
		configure func(*fetchtest.FTP)
		path      string // what is asked for, pub/f where it is empty
		part      bool   // a piece is there already
		class     failure.Class
	}{
		"plain":                {},
		"type":                 {path: "pub/f;type=i"},
		"TYPE":                 {path: "pub/f;TYPE=A"},
		"a directory":          {path: "pub/", class: failure.BadURI},
		"absolute":             {path: "%2Fpub/f"},
		"no brackets":          {configure: func(f *fetchtest.FTP) { f.NoEPSV, f.Passive = true, "227 Entering Passive Mode 127,0,0,1,%d,%d" }},
		"a dot behind":         {configure: func(f *fetchtest.FTP) { f.NoEPSV, f.Passive = true, "227 Entering Passive Mode. 127,0,0,1,%d,%d." }},
		"blanks":               {configure: func(f *fetchtest.FTP) { f.NoEPSV, f.Passive = true, "227 =127, 0, 0, 1, %d, %d" }},
		"another address":      {configure: func(f *fetchtest.FTP) { f.NoEPSV, f.Passive = true, "227 ok (10,1,2,3,%d,%d)" }},
		"EPSV in vain":         {configure: func(f *fetchtest.FTP) { f.BadEPSV = true }},
		"EPSV nonsense":        {configure: refuse("EPSV 229 entering (|||x|)")},
		"no TYPE":              {configure: refuse("TYPE 504 always binary")},
		"no SIZE":              {configure: func(f *fetchtest.FTP) { f.NoSIZE = true }},
		"SIZE says no":         {configure: refuse("SIZE 550 I will not tell")},
		"SIZE is nonsense":     {configure: refuse("SIZE 213 many")},
		"no REST":              {configure: func(f *fetchtest.FTP) { f.NoREST = true }, part: true},
		"REST":                 {part: true},
		"USER is enough":       {configure: refuse("USER 230 come in")},
		"PASS is superfluous":  {configure: refuse("PASS 202 no need")},
		"a long welcome":       {configure: refuse(" 220-Welcome\r\n  to 220 of us\r\n220-and\r\n220 go on", "PASS 230-Please\r\nread\r\n230 this")},
		"be patient":           {configure: refuse(" 120 in a minute\r\n220 now")},
		"125":                  {configure: func(f *fetchtest.FTP) { f.Begin = "125 it is open" }},
		"250":                  {configure: func(f *fetchtest.FTP) { f.End = "250 done" }},
		"no end":               {configure: func(f *fetchtest.FTP) { f.End = "-" }},
		"odd end":              {configure: func(f *fetchtest.FTP) { f.End = "426 you have closed it" }},
		"names only":           {configure: func(f *fetchtest.FTP) { f.Flat = true }},
		"421 to USER":          {configure: refuse("USER 421 too many connections from your network"), class: failure.Throttled},
		"421 to RETR":          {configure: refuse("RETR 421 timeout"), class: failure.Throttled},
		"421 as a greeting":    {configure: refuse(" 421 closed"), class: failure.Throttled},
		"530 to USER":          {configure: refuse("USER 530 anonymous users are not welcome"), class: failure.Forbidden},
		"530 for a while":      {configure: refuse("PASS 530 Sorry, the maximum number of clients is connected"), class: failure.Throttled},
		"550":                  {configure: refuse("RETR 550 no such file"), class: failure.Gone},
		"450":                  {configure: refuse("RETR 450 busy"), class: failure.Server},
		"nothing but the name": {configure: refuse("RETR 550 permission denied"), class: failure.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := fetchtest.StartFTP(c.configure)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			data := []byte(strings.Repeat("the file ", 1000))
			s.Add("pub/f", data, false)
			s.Add("/pub/f", data, false)
			o := options(s.URL)
			o.Retries = -1
			req := want(t, t.TempDir(), "f", data, s.URL+"/"+cmp.Or(c.path, "pub/f"))
			if c.part {
				if err := os.WriteFile(req.Part, data[:3000], 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r := run(t, t.Context(), fetcher(t, o), req)["f"]
			if c.class != "" {
				data = nil
			}
			checkClass(t, r, c.class, data)
		})
	}
}
