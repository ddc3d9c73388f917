package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A fallback is another archive. How it names its files is asked once, when the
// first file needs it.
type fallback struct {
	base  string
	state int
	conf  []byte   // its layout.conf, empty if it has none
	jobs  jobQueue // that wait for it
}

const (
	fallbackUnknown = iota
	fallbackAsked
	fallbackKnown
)

// maxLayout bounds a layout.conf: a real one has a few lines.
const maxLayout = 64 << 10

func (f *Fetcher) newFallback(base string) (*fallback, error) {
	u, err := parseURL(base)
	if err != nil {
		return nil, fmt.Errorf("fallback %s: %w", catalog.Redact(base), err)
	}
	if f.transports[u.Scheme] == nil {
		return nil, fmt.Errorf("fallback %s: scheme %q is not known", catalog.Redact(base), u.Scheme)
	}
	if s := schemeOf(u); s.program {
		// Its layout.conf is read without a file.
		return nil, fmt.Errorf("fallback %s: archives are not asked by %s: use http, https or ftp", catalog.Redact(base), s.name)
	}
	f.guard.trust(u)
	return &fallback{base: strings.TrimRight(base, "/")}, nil
}

// widen adds the fallback archives to the sources of a job. parked tells that
// the job waits until it is known how they name their files.
func (s *scheduler) widen(j *job) (more, parked bool) {
	if j.widened || j.layout != nil || len(s.f.fallbacks) == 0 {
		return false, false
	}
	for _, fb := range s.f.fallbacks {
		if fb.state == fallbackKnown {
			continue
		}
		fb.jobs.push(j)
		if fb.state == fallbackUnknown {
			fb.state = fallbackAsked
			s.route(&job{
				askers: j.askers[:1:1],
				work: &work{
					req:     &Request{Name: "layout.conf", Size: -1},
					sources: []source{{text: fb.base + "/layout.conf", trusted: true}},
					layout:  fb,
				},
			})
		}
		return false, true
	}
	j.widened = true
	for _, fb := range s.f.fallbacks {
		for _, path := range s.f.fallbackPaths(fb, j.req) {
			j.sources = append(j.sources, source{text: fb.base + "/" + path, trusted: true})
		}
	}
	return len(j.sources) > 0, false
}

// learnt lets the jobs go on that have waited for a fallback's layout.conf, which j
// has asked for. When it could not be had, the archive is taken for a flat one.
func (s *scheduler) learnt(j *job) {
	fb := j.layout
	fb.state = fallbackKnown
	if j.halted() != nil {
		fb.state = fallbackUnknown // for others to ask
	}
	q := fb.jobs
	fb.jobs = jobQueue{}
	for j := q.pop(); j != nil; j = q.pop() {
		s.route(j)
	}
}

// fallbackPaths returns the escaped paths at which an archive may have what r
// wants: by its layout, then by content, in hexadecimal and in OpenBSD's
// spelling, whose slashes make directories (bsd.port.mk, REFETCH).
func (f *Fetcher) fallbackPaths(fb *fallback, r *Request) []string {
	paths := []string{string(r.Name)}
	if f.o.FallbackPaths != nil {
		paths = f.o.FallbackPaths(fb.conf, r)
	}
	if d := r.Digests.Get(digest.SHA256); !d.IsZero() {
		x, b := d.Hex(), d.Base64()
		paths = append(paths,
			"by_cipher/sha256/"+x[:2]+"/"+x+"/"+r.Name.Base(),
			"by_cipher/sha256/"+b[:2]+"/"+b+"/"+r.Name.Base())
	}
	out := make([]string, 0, len(paths))
	for _, p := range paths {
		parts := strings.Split(p, "/")
		for i := range parts {
			parts[i] = url.PathEscape(parts[i])
		}
		out = append(out, strings.Join(parts, "/"))
	}
	return distinct(out, nil)
}

// readLayout reads the layout.conf of a fallback.
func (t *transfer) readLayout(fb *fallback) error {
	conf, err := io.ReadAll(io.LimitReader(t.body, maxLayout+1))
	switch {
	case err != nil:
		return &truncatedError{have: int64(len(conf)), want: -1, err: unexpectedEOF(err)}
	case len(conf) > maxLayout:
		return &sizeError{want: maxLayout, more: true}
	}
	if t.body.status != 0 && t.body.status != http.StatusOK {
		return errors.New("layout.conf: unexpected status")
	}
	t.out.received = int64(len(conf))
	fb.conf = conf
	return nil
}
