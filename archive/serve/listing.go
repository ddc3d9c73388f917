package serve

import (
	"bytes"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"distkeep/catalog/regular"
)

// listing sends the names of a directory. It looks at none of the files: there may be
// 100,000 of them.
func (s *Server) listing(w http.ResponseWriter, r *http.Request, rel string, f *os.File, fi fs.FileInfo) {
	if !strings.HasSuffix(r.URL.Path, "/") {
		// A path that was cleaned: "//host/" would lead elsewhere.
		http.Redirect(w, r, escape(rel)+"/", http.StatusMovedPermanently)
		return
	}
	body, err := s.listings.get(rel, fi, s.Now(), func() ([]byte, error) { return s.list(rel, f) })
	if err != nil {
		s.Warn("%v", err)
		http.Error(w, "the directory cannot be read now", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("ETag", etag(fi))
	http.ServeContent(w, r, "", fi.ModTime(), bytes.NewReader(body))
}

// listings are pages that were made, as long as their directories stay as they are. One
// page is made at a time: hundred clients that ask for a large one need no more memory
// than one.
type listings struct {
	mu    sync.Mutex
	pages map[string]listed
	bytes int
}

type listed struct {
	dir  regular.ID
	body []byte
}

const (
	maxListings = 32 << 20
	// settled is how long a directory must have been left alone: file systems count time in
	// steps, and two changes in one step look the same.
	settled = 2 * time.Second
)

// get returns the page of the directory fi, which is at rel.
func (l *listings) get(rel string, fi fs.FileInfo, now time.Time, list func() ([]byte, error)) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := regular.IDOf(fi)
	if p, ok := l.pages[rel]; ok && p.dir == id {
		return p.body, nil
	}
	body, err := list()
	if err != nil || len(body) > maxListings || now.Sub(fi.ModTime()) < settled {
		return body, err
	}
	if l.bytes += len(body); l.pages == nil || l.bytes > maxListings {
		l.pages, l.bytes = make(map[string]listed), len(body)
	}
	l.pages[rel] = listed{id, body}
	return body, nil
}

// list makes the page of the directory f, which is at rel.
func (s *Server) list(rel string, f *os.File) ([]byte, error) {
	var text strings.Builder // of all names: one piece of memory in place of 100,000
	var ends []int
	err := readDir(f, s.tree.root.Name()+"/"+rel, func(name []byte, dir bool) {
		if name[0] == '.' {
			return
		}
		text.Write(name)
		if dir {
			text.WriteByte('/')
		}
		ends = append(ends, text.Len())
	})
	if err != nil {
		return nil, err
	}
	names, begin := make([]string, len(ends)), 0
	for i, end := range ends {
		names[i], begin = text.String()[begin:end], end
	}
	slices.Sort(names)
	return renderListing(rel, names), nil
}

// renderListing makes a page of the names of a directory; those of directories end in "/".
func renderListing(rel string, names []string) []byte {
	var b bytes.Buffer
	b.Grow(256 + 80*len(names))
	title := html.EscapeString("/" + strings.TrimPrefix(rel, "."))
	b.WriteString("<!DOCTYPE html>\n<title>Index of " + title + "</title>\n<h1>Index of " + title + "</h1>\n<pre>\n")
	if rel != "." {
		b.WriteString("<a href=\"../\">../</a>\n")
	}
	for _, name := range names {
		b.WriteString(`<a href="`)
		if isPlain(name) {
			b.WriteString(name)
			b.WriteString(`">`)
			b.WriteString(name)
		} else {
			// "./" keeps what is before a colon from being a scheme.
			b.WriteString(html.EscapeString("./" + (&url.URL{Path: name}).EscapedPath()))
			b.WriteString(`">`)
			b.WriteString(html.EscapeString(strings.ToValidUTF8(name, "\uFFFD")))
		}
		b.WriteString("</a>\n")
	}
	b.WriteString("</pre>\n")
	return b.Bytes()
}

// isPlain reports whether a name needs no escape in a URL or in HTML.
func isPlain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '+', c == '/', c == '~', c == '@', c == '=', c == ',':
		default:
			return false
		}
	}
	return true
}
