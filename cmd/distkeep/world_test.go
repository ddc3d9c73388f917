package main

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog/digest"
)

// An upstream serves files by name on loopback and remembers what it was asked
// for.
type upstream struct {
	url   string
	files map[string][]byte
	// serve writes the rest of a file, or nil: at once.
	serve func(ctx context.Context, w http.ResponseWriter, rest []byte)

	sent atomic.Int64 // bytes of files

	mu       sync.Mutex
	requests []request
}

// A request is one that an upstream got: from is where its range begins.
type request struct {
	name string
	from int
}

// newUpstream serves until the test ends.
func newUpstream(t testing.TB, files map[string][]byte, serve func(context.Context, http.ResponseWriter, []byte)) *upstream {
	t.Helper()
	u := &upstream{files: files, serve: serve}
	srv := httptest.NewUnstartedServer(u)
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		// What is counted as sent is under way, but for this.
		if err := c.(*net.TCPConn).SetWriteBuffer(128 << 10); err != nil {
			panic(err)
		}
		return ctx
	}
	srv.Start()
	t.Cleanup(srv.Close)
	u.url = srv.URL
	return u
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	u.mu.Lock()
	data, ok := u.files[name]
	u.mu.Unlock()
	from, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
	start, err := strconv.Atoi(from)
	if !ok || err == nil && start >= len(data) {
		http.NotFound(w, r)
		return
	}
	u.mu.Lock()
	u.requests = append(u.requests, request{name, start})
	u.mu.Unlock()
	w.Header().Set("Content-Length", strconv.Itoa(len(data)-start))
	if start > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	counted := &countingWriter{w, &u.sent}
	if u.serve == nil {
		counted.Write(data[start:]) // the client may go away at any time
		return
	}
	u.serve(r.Context(), counted, data[start:])
}

// A countingWriter counts the bytes of a body.
type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// replace gives a file another content.
func (u *upstream) replace(name string, data []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[name] = data
}

// take returns the requests since the last call.
func (u *upstream) take() []request {
	u.mu.Lock()
	defer u.mu.Unlock()
	rs := u.requests
	u.requests = nil
	return rs
}

// writeTree makes a gentoo tree whose packages want the files, three each, from
// base.
func writeTree(t testing.TB, dir, base string, files map[string][]byte) {
	t.Helper()
	write := func(file, text string) {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for names := range slices.Chunk(slices.Sorted(maps.Keys(files)), 3) {
		n++
		pn := fmt.Sprintf("p%05d", n)
		var uris []string
		var manifest strings.Builder
		for _, name := range names {
			data := files[name]
			uris = append(uris, base+"/"+name)
			fmt.Fprintf(&manifest, "DIST %s %d BLAKE2B %s SHA512 %s\n", name, len(data), digest.BLAKE2B.Sum(data).Hex(), digest.SHA512.Sum(data).Hex())
		}
		ebuild := "# " + pn + "\n"
		write("app-misc/"+pn+"/Manifest", manifest.String())
		write("app-misc/"+pn+"/"+pn+"-1.ebuild", ebuild)
		write("metadata/md5-cache/app-misc/"+pn+"-1", fmt.Sprintf("EAPI=8\nSRC_URI=%s\n_md5_=%x\n", strings.Join(uris, " "), md5.Sum([]byte(ebuild))))
	}
	write("profiles/categories", "app-misc\n")
	write("profiles/repo_name", "tree\n")
}

// A site is a tree, its upstream and a place for archives. The program runs as
// a child process.
type site struct {
	t    testing.TB
	dir  string
	tree string
	up   *upstream
}

// newSite makes a site whose upstream serves as serve does, or at once if that
// is nil.
func newSite(t testing.TB, files map[string][]byte, serve func(context.Context, http.ResponseWriter, []byte)) *site {
	t.Helper()
	return newSiteIn(t, inMemory(t), files, serve)
}

// newSiteIn makes a site in the directory dir.
func newSiteIn(t testing.TB, dir string, files map[string][]byte, serve func(context.Context, http.ResponseWriter, []byte)) *site {
	t.Helper()
	s := &site{t, dir, filepath.Join(dir, "tree"), newUpstream(t, files, serve)}
	writeTree(t, s.tree, s.up.url, files)
	return s
}

// command prepares the program with args.
func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command("distkeep", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(),
		nowVar+"=2026-01-02T03:00:00Z", "DISTKEEP_ALLOW_PRIVATE=true",
		"DISTKEEP_ALLOW_PORT="+s.up.url[strings.LastIndexByte(s.up.url, ':')+1:])
	return cmd
}

// run runs the program, which must end with the status, and returns its two
// outputs.
func (s *site) run(status int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	cmd := s.command(args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.t.Fatalf("distkeep %v: status %d, want %d\n%s%s", args, got, status, out.String(), errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if !strings.HasPrefix(line, "distkeep: ") {
			s.t.Errorf("distkeep %v: a library writes to standard error: %s", args, line)
		}
	}
	return out.String(), errs.String()
}

// mirrorArgs is the command line of a run for the archive of that name.
func (s *site) mirrorArgs(archive string, more ...string) []string {
	return append([]string{"mirror", "--archive", filepath.Join(s.dir, archive), "--repo", "gentoo:" + s.tree}, more...)
}

// A listed file is a path of a published tree: its content, and the first of all
// paths of its inode.
type listed struct {
	sum   string
	inode string
}

// contentsOf leaves out of what published lists the generations: a run that was ended
// early has told some of what is told once otherwise.
func contentsOf(files map[string]listed) map[string]listed {
	maps.DeleteFunc(files, func(rel string, _ listed) bool { return strings.HasPrefix(rel, "generations/") })
	return files
}

// published lists what is below the directory distfiles.
func published(t testing.TB, distfiles string) map[string]listed {
	t.Helper()
	files := make(map[string]listed)
	first := make(map[uint64]string)
	sums := make(map[uint64]string)
	err := filepath.WalkDir(distfiles, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(distfiles, path)
		if err != nil {
			return err
		}
		inode := fi.Sys().(*syscall.Stat_t).Ino
		if first[inode] == "" {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			first[inode], sums[inode] = rel, digest.SHA256.Sum(data).Hex() // the walk is sorted
		}
		files[rel] = listed{sums[inode], first[inode]}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// smallFiles makes n files of up to 8 KiB. Every tenth has the content of the
// one before.
func smallFiles(n int) map[string][]byte {
	files := make(map[string][]byte, n)
	var last []byte
	for i := range n {
		name := fmt.Sprintf("small-%04d.tar.gz", i)
		if i%10 != 9 || last == nil {
			last = randomBytes(name, 1+(i*997)%8192)
		}
		files[name] = last
	}
	return files
}

// slowly writes data in chunks with pauses between, until the client is gone.
func slowly(ctx context.Context, w http.ResponseWriter, data []byte, chunk int, pause time.Duration) {
	c := http.NewResponseController(w)
	for part := range slices.Chunk(data, chunk) {
		if _, err := w.Write(part); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
