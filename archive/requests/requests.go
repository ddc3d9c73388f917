// Package requests keeps what people ask of an archive while a run holds it: each is a
// file in the state directory, which the run takes at its next step, or the next run
// does.
//
// Nothing is lost and nothing is done twice that would matter: a request is removed
// before it is carried out, and to take back or to try again once more is harmless.
package requests

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// What can be asked for.
const (
	Retry = "retry" // let the next run try what has failed
	Undo  = "undo"  // keep what is on its way out
)

// A Request is one wish of a person.
type Request struct {
	Do string `json:"do"`
	// Names are those of files. None means all.
	Names []catalog.Name `json:"names"`
}

// maxRequest bounds a request, and maxRequests how many are taken at a time.
const (
	maxRequest  = 4 << 20
	maxRequests = 1000
	suffix      = ".json"
)

// Put leaves a request in the directory dir, which is made if need be. now orders them.
func Put(dir string, r *Request, now time.Time) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d-%d-%s%s", now.UnixNano(), os.Getpid(), r.Do, suffix))
	return regular.Replace(path, "", func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// Take takes the requests of one kind out of dir, the oldest first. What is no request
// is told to warn and removed.
func Take(dir, do string, warn func(format string, args ...any)) (rs []*Request) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there is no directory before the first request
	}
	for _, e := range entries {
		if len(rs) == maxRequests {
			break
		}
		if !strings.HasSuffix(e.Name(), "-"+do+suffix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		r, err := read(path, do)
		if rerr := os.Remove(path); rerr != nil {
			warn("%v", rerr)
			continue // it would be taken again and again
		}
		if err != nil {
			warn("%s: %v", path, err)
			continue
		}
		rs = append(rs, r)
	}
	return rs
}

// read reads one request.
func read(path, do string) (*Request, error) {
	text, err := regular.Read(path, maxRequest)
	if err != nil {
		return nil, err
	}
	r := new(Request)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, err
	}
	if r.Do != do {
		return nil, fmt.Errorf("not a request to %s", do)
	}
	for _, n := range r.Names {
		if _, err := catalog.ParsePath(string(n)); err != nil {
			return nil, err
		}
	}
	r.Names = slices.Compact(r.Names)
	return r, nil
}
