package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// An Elsewhere has the contents of an archive that has none of them in its tree.
type Elsewhere interface {
	// Open reads a content from off on, n bytes or, when n is negative, to its end. Its
	// error wraps fs.ErrNotExist where there is none.
	Open(ctx context.Context, sum digest.Digest, off, n int64) (io.ReadCloser, error)
	// Presigned returns a URL by which anybody can get a content for a while.
	Presigned(ctx context.Context, sum digest.Digest, lasts time.Duration) (string, error)
}

// redirectLasts is how long a redirect leads to a content: a client that is slow to
// begin has that much time, and the transfer itself any.
const redirectLasts = time.Hour

// elsewhere answers with the content c, which is not here.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request, c *content, forever bool) {
	h, sum := w.Header(), c.SHA256()
	from := s.Elsewhere[c.shard]
	if from == nil {
		s.unreadable(w, fmt.Errorf("%s is in the shard %q, which is not known", c.Name, c.shard))
		return
	}
	h["Content-Type"] = []string{"application/octet-stream"}
	if !s.Stream && r.Method == http.MethodGet {
		url, err := from.Presigned(r.Context(), sum, redirectLasts)
		if err != nil {
			s.unreadable(w, err)
			return
		}
		h["Cache-Control"] = []string{"no-store"}
		http.Redirect(w, r, url, http.StatusFound)
		return
	}
	if forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h["Etag"] = []string{`"` + sum.Hex() + `"`}
	h["Repr-Digest"] = []string{"sha-256=:" + sum.Base64() + ":"}
	f := &away{ctx: r.Context(), from: from, c: &c.Content}
	defer f.close()
	if r.Method == http.MethodGet && r.Header.Get("Range")+r.Header.Get("If-None-Match") == "" {
		// While there is another answer to give.
		if err := f.open(); err != nil {
			for _, name := range []string{"Etag", "Repr-Digest", "Cache-Control"} {
				h.Del(name)
			}
			s.unreadable(w, err)
			return
		}
	}
	http.ServeContent(w, r, "", c.ModTime, f)
}

// recorded answers with what the records say is at rel, and reports whether that is
// anything; dir says that it is asked for as a directory.
func (s *Server) recorded(w http.ResponseWriter, r *http.Request, k *known, rel string, dir bool) bool {
	if c := k.contents.path(rel); c != nil && !dir {
		s.elsewhere(w, r, c, layout.InByCipher(rel))
		return true
	}
	if !k.contents.hasDir(rel) {
		return false
	}
	s.listing(w, r, k, rel, nil)
	return true
}

// unreadable says that a content cannot be had from elsewhere.
func (s *Server) unreadable(w http.ResponseWriter, err error) {
	s.Warn("%v", err)
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "the archive has lost it", http.StatusNotFound)
		return
	}
	w.Header().Set("Retry-After", "10")
	http.Error(w, "the file cannot be read now", http.StatusServiceUnavailable)
}

// away is a content that is elsewhere, as an io.ReadSeeker: it is asked for from where the
// first byte is read.
type away struct {
	ctx  context.Context
	from Elsewhere
	c    *layout.Content
	off  int64
	r    io.ReadCloser
}

func (a *away) open() (err error) {
	a.r, err = a.from.Open(a.ctx, a.c.SHA256(), a.off, -1)
	return err
}

func (a *away) close() {
	if a.r != nil {
		a.r.Close()
		a.r = nil
	}
}

// Read implements io.Reader.
func (a *away) Read(p []byte) (int, error) {
	if a.off >= a.c.Size {
		return 0, io.EOF
	}
	if a.r == nil {
		if err := a.open(); err != nil {
			return 0, err
		}
	}
	n, err := a.r.Read(p)
	a.off += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (a *away) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += a.off
	case io.SeekEnd:
		// ServeContent only asks for the size, and comes back.
		return a.c.Size + off, nil
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if off != a.off {
		a.close()
	}
	a.off = off
	return off, nil
}

// path returns the content that an archive has at rel, by its records alone, or nil.
func (c *contents) path(rel string) *content {
	for _, x := range c.perhapsAt(rel) {
		for _, p := range x.CipherPaths() {
			if p == rel {
				return x
			}
		}
		for _, l := range c.layouts {
			if x.Named && x.Path(l) == rel {
				return x
			}
		}
	}
	return nil
}
