// Package requests keeps what people ask of an archive while a run holds it: each is a
// file in the state directory, which the run carries out at its next step, or the next run
// does.
//
// Nothing is lost: a request is removed when it has been carried out. One that is
// carried out twice, because that came to no end, does no harm: to take back or to try
// again is the same once more.
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
	Do string
	// Names are those of files. None means all.
	Names []catalog.Name
}

// A written request has names as bytes: they need not be UTF-8.
type written struct {
	Do    string   `json:"do"`
	Names [][]byte `json:"names"`
}

// maxRequest bounds a request, and maxRequests how many are carried out at a time.
const (
	maxRequest  = 4 << 20
	maxRequests = 1000
	suffix      = ".json"
)

// Put leaves a request in the directory dir, which is made if need be. now orders them.
func Put(dir string, r *Request, now time.Time) error {
	wr := written{Do: r.Do}
	for _, n := range r.Names {
		wr.Names = append(wr.Names, []byte(n))
	}
	text, err := json.Marshal(wr)
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

// Obey has the requests of one kind in dir carried out by obey, the oldest first, and
// removes each. An error of obey ends it, and leaves the request. What is no request is
// told to warn and removed.
func Obey(dir, do string, warn func(format string, args ...any), obey func(*Request) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there is no directory before the first request
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !strings.HasSuffix(e.Name(), "-"+do+suffix) })
	for _, e := range entries[:min(len(entries), maxRequests)] {
		path := filepath.Join(dir, e.Name())
		if r, err := read(path, do); err != nil {
			warn("%s: %v", path, err)
		} else if err := obey(r); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			warn("%v: what it asks for is done in each run", err)
		}
	}
	return nil
}

// read reads one request.
func read(path, do string) (*Request, error) {
	text, err := regular.Read(path, maxRequest)
	if err != nil {
		return nil, err
	}
	var wr written
	if err := json.Unmarshal(text, &wr); err != nil {
		return nil, err
	}
	if wr.Do != do {
		return nil, fmt.Errorf("not a request to %s", do)
	}
	r := &Request{Do: do}
	for _, b := range wr.Names {
		n, err := catalog.ParsePath(string(b))
		if err != nil {
			return nil, err
		}
		r.Names = append(r.Names, n)
	}
	r.Names = slices.Compact(r.Names)
	return r, nil
}
