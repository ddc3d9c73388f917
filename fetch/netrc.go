package fetch

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"distkeep/catalog/regular"
)

// A netrc holds the passwords of a netrc file, by host. A nil netrc is empty.
type netrc struct{ machines map[string]machine }

type machine struct{ login, password string }

// maxNetrc bounds the file: real ones have a few lines.
const maxNetrc = 1 << 20

// loadNetrc reads the file at path; an empty path is no file.
func loadNetrc(path string) (*netrc, error) {
	if path == "" {
		return nil, nil
	}
	f, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("netrc: %w", err)
	}
	defer f.Close()
	return parseNetrc(path, f)
}

// parseNetrc reads the format that ftp(1) describes: words separated by blanks
// and line breaks; a macro definition ends at an empty line, a comment at the
// end of its line. The default entry is not used: it would send a password to
// whatever host an untrusted URI names.
func parseNetrc(file string, r io.Reader) (*netrc, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxNetrc+1))
	if err != nil {
		return nil, fmt.Errorf("netrc: %w", err)
	}
	if len(data) > maxNetrc {
		return nil, fmt.Errorf("netrc: %s is larger than 1 MiB", file)
	}
	n := &netrc{machines: make(map[string]machine)}
	var host string
	var m machine
	keep := func() {
		if _, known := n.machines[host]; host != "" && !known { // the first entry counts, as for ftp
			n.machines[host] = m
		}
		host, m = "", machine{}
	}
	macro := false
	var pending string // the keyword whose value is on the next line
	for num, line := range strings.Split(string(data), "\n") {
		if macro {
			macro = strings.TrimSpace(line) != ""
			continue
		}
		for _, word := range strings.Fields(line) {
			if pending == "" && strings.HasPrefix(word, "#") {
				break
			}
			switch pending {
			case "machine":
				host = oneSpelling(word)
			case "login":
				m.login = word
			case "password":
				m.password = word
			case "macdef":
				macro = true
			}
			if pending != "" {
				pending = ""
				continue
			}
			switch word {
			case "machine":
				keep()
				pending = word
			case "default":
				keep()
			case "login", "password", "account", "macdef":
				pending = word
			default:
				return nil, fmt.Errorf("netrc: %s:%d: %q is no netrc keyword", file, num+1, word)
			}
		}
	}
	if pending != "" {
		return nil, fmt.Errorf("netrc: %s: ends behind %q", file, pending)
	}
	keep()
	return n, nil
}

// find returns what to log in to u's host with: what the URL says itself is
// not its business.
func (n *netrc) find(u *url.URL) (login, password string, ok bool) {
	if n == nil || u.User != nil {
		return "", "", false
	}
	m, ok := n.machines[oneSpelling(u.Hostname())]
	return m.login, m.password, ok
}
