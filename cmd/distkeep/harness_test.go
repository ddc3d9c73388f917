package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"distkeep/catalog/digest"
)

// moreCmds are the script commands about files and about an upstream that
// keeps its clients waiting.
var moreCmds = map[string]func(*testscript.TestScript, bool, []string){
	"flip":      cmdFlip,
	"subst":     cmdSubst,
	"mkfile":    cmdMkFile,
	"quoted":    cmdQuoted,
	"snapshot":  cmdSnapshot,
	"unchanged": cmdUnchanged,
	"hold":      cmdHold,
	"held":      cmdHeld,
	"grown":     cmdGrown,
	"release":   cmdRelease,
}

// mkfile FILE SIZE makes a file of bytes that depend on its base name only.
func cmdMkFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mkfile FILE SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, randomBytes(filepath.Base(path), size), 0o644))
}

// randomBytes depend on the name only.
func randomBytes(name string, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte(digest.SHA256.Sum([]byte(name)).Raw()))
	r.Read(b) // never fails
	return b
}

// quoted FILE TEXT writes a file with the content TEXT, in which the escapes of
// Go are known.
func cmdQuoted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: quoted FILE TEXT")
	}
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, []byte(text), 0o644))
}

// A glance is what the file system says about a path. The change time tells of
// every write, link, rename and chmod.
type glance struct {
	mode         fs.FileMode
	inode, links uint64
	size         int64
	mtime, ctime string
}

// glances looks at everything below dir. What is removed meanwhile is left out.
func glances(dir string) (map[string]glance, error) {
	all := make(map[string]glance)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := os.Lstat(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		all[rel] = glance{
			fi.Mode(), uint64(st.Ino), uint64(st.Nlink), fi.Size(),
			fi.ModTime().Format(time.RFC3339Nano), fmt.Sprint(st.Ctim),
		}
		return nil
	})
	return all, err
}

// differences names the paths whose glances differ, except those in allowed and
// all below them. A directory in allowed ending in "/." is meant without what
// is below it.
func differences(before, after map[string]glance, allowed []string) (diff []string) {
	ok := func(path string) bool {
		return slices.ContainsFunc(allowed, func(a string) bool {
			if dir, alone := strings.CutSuffix(a, "/."); alone {
				return path == dir
			}
			return path == a || strings.HasPrefix(path, a+"/")
		})
	}
	for path, b := range before {
		if a, is := after[path]; !ok(path) && !is {
			diff = append(diff, path+": is gone")
		} else if !ok(path) && a != b {
			diff = append(diff, fmt.Sprintf("%s: was %v, is %v", path, b, a))
		}
	}
	for path := range after {
		if _, is := before[path]; !ok(path) && !is {
			diff = append(diff, path+": is new")
		}
	}
	slices.Sort(diff)
	return diff
}

// snapshots are those of one script, by directory.
type snapshots map[string]map[string]glance

// The keys of what belongs to one script.
type (
	holdsKey     struct{}
	snapshotsKey struct{}
)

// snapshot DIR remembers inode, links, size and times of all that is below DIR.
func cmdSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: snapshot DIR")
	}
	all, err := glances(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Value(snapshotsKey{}).(snapshots)[args[0]] = all
}

// unchanged DIR [PATH...] compares DIR with its snapshot, except for the PATHs
// in it and what is below them; PATH/. is PATH alone.
func cmdUnchanged(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: unchanged DIR [PATH...]")
	}
	before := ts.Value(snapshotsKey{}).(snapshots)[args[0]]
	if before == nil {
		ts.Fatalf("there is no snapshot of %s", args[0])
	}
	after, err := glances(ts.MkAbs(args[0]))
	ts.Check(err)
	if diff := differences(before, after, args[1:]); (len(diff) == 0) == neg {
		ts.Fatalf("changed:\n%s", strings.Join(diff, "\n"))
	}
}

// holds are the files that an upstream does not finish sending.
type holds struct {
	mu    sync.Mutex
	files map[string]*hold
}

type hold struct {
	after   int           // bytes sent before it hangs
	arrived chan struct{} // closed when a request hangs
	release chan struct{} // closed when it may go on
	once    sync.Once
}

func newHolds() *holds { return &holds{files: make(map[string]*hold)} }

func (h *holds) get(path string) *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files[path]
}

// add makes requests for path hang after so many bytes.
func (h *holds) add(path string, after int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[path] = &hold{after: after, arrived: make(chan struct{}), release: make(chan struct{})}
}

// drop lets the requests for path go on, now and later.
func (h *holds) drop(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.files[path]; o != nil {
		close(o.release)
		delete(h.files, path)
	}
}

// wrap lets next serve, but holds what is to be held.
func (h *holds) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := h.get(r.URL.Path)
		if o == nil {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(&holdingWriter{ResponseWriter: w, r: r, o: o}, r)
	})
}

// A holdingWriter writes so many bytes and then waits.
type holdingWriter struct {
	http.ResponseWriter
	r    *http.Request
	o    *hold
	sent int
}

func (w *holdingWriter) Write(p []byte) (int, error) {
	if left := w.o.after - w.sent; left < len(p) {
		n, err := w.ResponseWriter.Write(p[:max(left, 0)])
		w.sent += n
		if err != nil {
			return n, err
		}
		if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
			return n, err
		}
		w.o.once.Do(func() { close(w.o.arrived) })
		select {
		case <-w.o.release:
		case <-w.r.Context().Done():
			return n, w.r.Context().Err()
		}
		k, err := w.ResponseWriter.Write(p[n:])
		w.sent += k
		return n + k, err
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent += n
	return n, err
}

// hold PATH N lets $WWW send N bytes of PATH and then nothing until release.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold PATH BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Value(holdsKey{}).(*holds).add(args[0], n)
}

// held PATH waits until a request for PATH hangs.
func cmdHeld(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: held PATH")
	}
	o := ts.Value(holdsKey{}).(*holds).get(args[0])
	if o == nil {
		ts.Fatalf("%s is not on hold", args[0])
	}
	select {
	case <-o.arrived:
	case <-time.After(time.Minute):
		ts.Fatalf("nobody asked for %s in a minute", args[0])
	}
}

// release PATH ends hold PATH.
func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: release PATH")
	}
	ts.Value(holdsKey{}).(*holds).drop(args[0])
}

// grown PATTERN SIZE waits until a file has been written to that length by
// another process, of which nobody else tells.
func cmdGrown(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grown PATTERN SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range int(time.Minute / (5 * time.Millisecond)) {
		files, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		for _, f := range files {
			if fi, err := os.Stat(f); err == nil && fi.Size() >= size {
				return
			}
		}
		<-tick.C
	}
	ts.Fatalf("%s has not grown to %d bytes in a minute", args[0], size)
}
