package serve

import (
	"bytes"
	"fmt"
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

// A directory is one of the published tree that is open.
type directory struct {
	*os.File
	fi fs.FileInfo
}

// A state tells one state of a directory from every other: of the directory itself, and of
// the records that tell what else is there.
type state struct{ dir, records regular.ID }

// listing sends the names of a directory, which is d or, where that is nil, there by the
// records alone. It looks at none of the files: there may be 100,000 of them.
func (s *Server) listing(w http.ResponseWriter, r *http.Request, k *known, rel string, d *directory) {
	if !strings.HasSuffix(r.URL.Path, "/") {
		// A path that was cleaned: "//host/" would lead elsewhere.
		http.Redirect(w, r, escape(rel)+"/", http.StatusMovedPermanently)
		return
	}
	var is state
	var changed time.Time
	var tag string
	if d != nil {
		is.dir, changed, tag = regular.IDOf(d.fi), d.fi.ModTime(), etag(d.fi)
	}
	// File systems count time in steps, and two changes in one step look the same. The
	// records are another file each time.
	keep := s.Now().Sub(changed) >= settled
	if s.Elsewhere != nil {
		is.records = k.version.Distfiles
		if at := time.Unix(0, is.records.ModTime); at.After(changed) {
			changed = at
		}
		tag = fmt.Sprintf(`"%s-%x-%x"`, strings.Trim(tag, `"`), is.records.ModTime, is.records.Inode)
	}
	body, err := s.listings.get(rel, is, keep, func() ([]byte, error) { return s.list(k, rel, d) })
	if err != nil {
		s.Warn("%v", err)
		http.Error(w, "the directory cannot be read now", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", changed, bytes.NewReader(body))
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
	state
	body []byte
}

const (
	maxListings = 32 << 20
	// settled is how long a directory must have been left alone for its page to be kept.
	settled = 2 * time.Second
)

// get returns the page of the directory rel, which is kept if keep says so.
func (l *listings) get(rel string, is state, keep bool, list func() ([]byte, error)) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, ok := l.pages[rel]; ok && p.state == is {
		return p.body, nil
	}
	body, err := list()
	if err != nil || len(body) > maxListings || !keep {
		return body, err
	}
	if l.bytes += len(body); l.pages == nil || l.bytes > maxListings {
		l.pages, l.bytes = make(map[string]listed), len(body)
	}
	l.pages[rel] = listed{is, body}
	return body, nil
}

// list makes the page of a directory.
func (s *Server) list(k *known, rel string, d *directory) (page []byte, err error) {
	var names []string
	if d != nil {
		if names, err = s.names(rel, d.File); err != nil {
			return nil, err
		}
	}
	if s.Elsewhere != nil {
		names = append(names, k.contents.children(rel)...)
	}
	slices.Sort(names)
	return renderListing(rel, slices.Compact(names)), nil
}

// names are those in the directory f, which is at rel; those of directories end in "/".
func (s *Server) names(rel string, f *os.File) ([]string, error) {
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
	return names, nil
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
