package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// A tree is what is below the published directory. Whatever path it is asked for, it
// opens nothing that is elsewhere.
type tree struct{ root *os.Root }

// maxPath is PATH_MAX.
const maxPath = 4096

// clean returns the path below the published directory that p, the path of a URL, asks
// for, "." for the directory itself. ok is false where there can be nothing: hidden files
// are the operator's, and "..", which is hidden too, leads out.
func clean(p string) (rel string, ok bool) {
	if len(p) > maxPath {
		return "", false
	}
	var parts []string
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "":
			continue // as a file system has it
		case part[0] == '.', strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return "", false
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ".", true
	}
	return strings.Join(parts, "/"), true
}

// troubles are the errors of opening a file that do not say that there is none.
var troubles = []error{syscall.EACCES, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ESTALE}

// open opens what is at rel, a regular file or a directory, without waiting for anybody.
// Its error wraps fs.ErrNotExist when nothing is there that may be served.
func (t *tree) open(rel string) (*os.File, fs.FileInfo, error) {
	f, err := t.root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		for _, e := range troubles {
			if errors.Is(err, e) {
				return nil, nil, err
			}
		}
		return nil, nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() && !fi.IsDir() {
		err = fmt.Errorf("%s is neither a file nor a directory: %w", rel, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, fi, nil
}

// held returns a path of a content of which no list tells yet, because the run that has
// published it goes on, or "".
func (t *tree) held(sum digest.Digest) string {
	if sum.Alg != digest.SHA256 {
		return ""
	}
	dir := path.Dir(layout.ByCipher(sum, "x"))
	f, err := t.root.Open(dir)
	if err != nil {
		return ""
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	if err != nil {
		return ""
	}
	return dir + "/" + names[0]
}

// same reports whether the file fi is the one at rel.
func (t *tree) same(fi fs.FileInfo) func(rel string) bool {
	return func(rel string) bool {
		other, err := t.root.Stat(rel)
		return err == nil && os.SameFile(fi, other)
	}
}

// escape spells a path as it is in a URL.
func escape(rel string) string { return (&url.URL{Path: "/" + rel}).EscapedPath() }

// plain are the files of the published tree that people read. Everything else is
// bytes, whatever its name says: a browser runs nothing that comes out of a package.
var plain = map[string]bool{"layout.conf": true, "distinfo": true, "history": true, "lastsync": true, "lastupdate": true}

// etag identifies a file that is no content by its state.
func etag(fi fs.FileInfo) string {
	return `"` + strconv.FormatInt(fi.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(fi.Size(), 36) + `"`
}

// file sends the file at rel, which is the content c unless that is nil.
func (s *Server) file(w http.ResponseWriter, r *http.Request, rel string, f *os.File, fi fs.FileInfo, c *content) {
	h := w.Header()
	if plain[rel] {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	} else {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	if s.Accel != "" {
		h.Set("X-Accel-Redirect", strings.TrimSuffix(s.Accel, "/")+escape(rel))
		return
	}
	if c != nil {
		sum := c.SHA256()
		h["Etag"] = []string{`"` + sum.Hex() + `"`}
		h["Repr-Digest"] = []string{"sha-256=:" + sum.Base64() + ":"}
	} else {
		h["Etag"] = []string{etag(fi)}
	}
	http.ServeContent(w, r, "", fi.ModTime(), f)
}
