// Package serve is the server of an archive: everything that is published, to
// whoever asks for it, in the spelling of any of the clients that it knows.
//
// The rules that callers may rely on:
//
//   - It only reads: the published tree, and what runs export to the report directory.
//     It needs no lock, and follows a run while that is going on.
//   - It sends nothing that is not below the published directory, whatever the path, and
//     no hidden file.
//   - Paths of the published tree are answered as any server of files would. A path for
//     which the tree has nothing is one of the dialects: by digest, by name, or by the
//     URL that a file came from. None of them costs a byte or a link on disk.
//   - A file that the archive has verified has its SHA-256 as its ETag, which is strong. One that
//     has changed since, by its size or time, has another ETag in the tree, and is not there at
//     all by digest.
//   - The contents of an archive that has them elsewhere are asked for in the same ways: what
//     its paths and directories are, its records tell.
//   - A name that several contents may be meant by is answered with the list of them.
//
// Begin reading at Server.answer, then the table of dialects.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
)

// Options say what is served.
type Options struct {
	// Distfiles is the published directory, Reports that of what runs export.
	Distfiles, Reports string
	// Demand, if not nil, gets what the archive has not when somebody asks for it.
	Demand *Demand
	// Accel, if not empty, is the prefix of the paths by which a web server before this
	// one has the published tree: it is told to send the files.
	Accel string
	// Elsewhere, if not nil, has the contents, by the shard that they are recorded in.
	// Clients are told where to get them, unless Stream says that they get them through
	// this server.
	Elsewhere map[string]Elsewhere
	Stream    bool
	// Log gets a line a request in the combined format. Nil is none.
	Log io.Writer
	// Warn is told what the operator should know. Nil is nobody.
	Warn func(format string, args ...any)
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// A Server answers requests. Its methods may be called concurrently.
type Server struct {
	Options
	tree     tree
	known    atomic.Pointer[known]
	listings listings
	demand   demands
	counts   counts
	logging  logging
}

// known is what the server has read of an archive. It is replaced as a whole.
type known struct {
	contents *contents
	version  report.Version
	// run is the last run, nil when there was none.
	run *report.Summary
	// page is the report for people.
	page func() string
	// err is why what was exported could not be read. The rest is what was before.
	err error
}

// New makes a server of an archive. Close ends it.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
	root, err := os.OpenRoot(o.Distfiles)
	if err != nil {
		return nil, err
	}
	s := &Server{Options: o, tree: tree{root}, logging: logging{w: o.Log}}
	s.demand.Demand = o.Demand
	s.demand.wanted.Store(new(contents))
	s.known.Store(&known{contents: new(contents)})
	s.Refresh()
	return s, nil
}

// Close ends a server that answers nobody any more.
func (s *Server) Close() error { return s.tree.root.Close() }

// Refresh reads what was exported, if that has changed. What cannot be read is
// warned of once, and what was known before stays.
func (s *Server) Refresh() {
	old := s.known.Load()
	version, err := report.VersionOf(s.Reports)
	if err == nil && version == old.version {
		return
	}
	k := &known{contents: old.contents, version: version, run: old.run, page: old.page}
	if err == nil {
		err = s.read(k, old)
	}
	if err != nil {
		if old.err == nil || old.err.Error() != err.Error() {
			s.Warn("%v; what was known before is served", err)
		}
		k.contents, k.run, k.page, k.err = old.contents, old.run, old.page, err
	}
	s.known.Store(k)
	s.demand.forget(k.contents)
}

// read fills k with what was exported. What has not changed is taken from old.
func (s *Server) read(k, old *known) error {
	layouts, err := layout.Load(s.Distfiles)
	if err != nil {
		return err
	}
	if k.version.Distfiles != old.version.Distfiles || !slices.Equal(layouts, old.contents.layouts) {
		k.contents, err = loadContents(s.Reports, layouts)
		if errors.Is(err, report.ErrNoRun) {
			k.contents = &contents{layouts: layouts}
		} else if err != nil {
			return err
		}
	}
	k.page = sync.OnceValue(func() string { return s.reportPage(k) })
	k.run = new(report.Summary)
	if err := report.LoadStatus(s.Reports, k.run); errors.Is(err, report.ErrNoRun) {
		k.run = nil
	} else if err != nil {
		return err
	}
	return nil
}

// The times that a client has. A transfer of any length may take as long as it moves,
// see conn.
const (
	headerTime = 10 * time.Second
	idleTime   = time.Minute
	stopTime   = 30 * time.Second
	followTime = time.Second
)

// Serve answers the requests of what connects to ls until ctx is ended, and follows the
// runs of the archive. Requests that are under way then have half a minute to end. With config, it
// talks TLS.
func (s *Server) Serve(ctx context.Context, config *tls.Config, ls ...net.Listener) error {
	h := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: 32 << 10, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan error, len(ls))
	for _, l := range ls {
		go func() {
			if config != nil {
				ended <- h.ServeTLS(l, "", "")
			} else {
				ended <- h.Serve(l)
			}
		}()
	}
	working, stop := context.WithCancel(ctx)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		s.demand.work(working, s)
	}()
	defer func() { stop(); <-worked }()
	tick := time.NewTicker(followTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Refresh()
		case err := <-ended: // a listener that fails ends all
			return errors.Join(err, h.Close())
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			if err := h.Shutdown(last); errors.Is(err, context.DeadlineExceeded) {
				return h.Close()
			} else if err != nil {
				return err
			}
			return nil
		}
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.Now()
	lw := &logged{ResponseWriter: w, status: http.StatusOK}
	defer func() { // also when the connection is broken
		s.counts.add(lw)
		s.logging.write(start, r, lw)
	}()
	w.Header()["X-Content-Type-Options"] = []string{"nosniff"}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		s.answer(lw, r)
	} else {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(lw, "this server can only be read", http.StatusMethodNotAllowed)
	}
}

// answer answers what may be asked.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if page := s.page(r.URL.Path); page != nil {
		page(w, r)
		return
	}
	paths := spellings(r.URL)
	if s.held(w, r, paths) || s.demand.answer(s, w, r, paths) {
		return
	}
	missing := "nothing is known of it"
	for i := range dialects {
		for _, p := range paths {
			if want, ok := dialects[i].parse(p); ok && len(want.sums) > 0 {
				missing = fmt.Sprintf("no content is known with this %s: the archive knows SHA-256 of all that it has, and of the others those that a list names", want.sums[0].Alg)
			}
		}
	}
	http.Error(w, missing, http.StatusNotFound)
}

// held answers with what the archive holds, and reports whether that is anything.
func (s *Server) held(w http.ResponseWriter, r *http.Request, paths []string) bool {
	k := s.known.Load()
	for _, p := range paths {
		if s.published(w, r, k, p) {
			return true
		}
	}
	for i := range dialects {
		for _, p := range paths {
			if want, ok := dialects[i].parse(p); ok && s.grant(w, r, k, want) {
				s.counts.dialects[i].Add(1)
				return true
			}
		}
	}
	return false
}

// grant answers a wish, unless nothing is known of what it is about.
func (s *Server) grant(w http.ResponseWriter, r *http.Request, k *known, want wish) bool {
	if want.path != "" {
		return s.published(w, r, k, want.path)
	}
	found := k.contents.want(want)
	switch len(found) {
	case 0:
	case 1:
		return s.content(w, r, k, found[0], len(want.sums) > 0)
	default:
		s.choices(w, found)
		return true
	}
	for _, sum := range want.sums {
		if rel := s.tree.held(sum); rel != "" {
			return s.published(w, r, k, rel)
		}
	}
	return false
}

// content sends a content from where its verified file is. forever says that the path
// has a digest, so that it will never mean anything else.
func (s *Server) content(w http.ResponseWriter, r *http.Request, k *known, c *content, forever bool) bool {
	if s.Elsewhere != nil {
		s.elsewhere(w, r, c, forever)
		return true
	}
	rels := c.CipherPaths()
	for _, l := range k.contents.layouts {
		if rel := c.Path(l); c.Named && rel != "" {
			rels = append(rels, rel)
		}
	}
	for _, rel := range rels {
		f, fi, err := s.tree.open(rel)
		if err != nil {
			continue
		}
		defer f.Close()
		verified := c.isFile(fi)
		if fi.IsDir() || !verified && (!c.ModTime.IsZero() || fi.Size() != c.Size) {
			continue
		}
		if forever {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		if !verified {
			c = nil // as far as is known
		}
		s.file(w, r, rel, f, fi, c)
		return true
	}
	return false
}

// published sends what the published tree has at the path p, and reports whether there is
// anything.
func (s *Server) published(w http.ResponseWriter, r *http.Request, k *known, p string) bool {
	rel, ok := clean(p)
	if !ok {
		return false
	}
	f, fi, err := s.tree.open(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.Elsewhere != nil && s.recorded(w, r, k, rel, p[len(p)-1] == '/')
	case errors.Is(err, fs.ErrPermission):
		http.Error(w, "this file may not be read", http.StatusForbidden)
		return true
	case err != nil:
		s.Warn("%v", err)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "the file cannot be read now", http.StatusServiceUnavailable)
		return true
	}
	defer f.Close()
	if fi.IsDir() {
		s.listing(w, r, k, rel, &directory{f, fi})
	} else if p[len(p)-1] == '/' {
		return false
	} else {
		s.file(w, r, rel, f, fi, k.contents.verifiedAt(rel, fi, s.tree.same(fi)))
	}
	return true
}

// choices lists the contents that a name may mean.
func (s *Server) choices(w http.ResponseWriter, found []*content) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusMultipleChoices)
	for _, c := range found {
		at := "-" // what is only wanted has no path yet
		if !c.SHA256().IsZero() {
			at = escape(c.CipherPaths()[0])
		}
		sum := c.Digests.Strongest()
		fmt.Fprintf(w, "%s:%s %d %s\n", strings.ToLower(sum.Alg.String()), sum.Hex(), c.Size, at)
	}
}
