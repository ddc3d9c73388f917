package fetch_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// pseudo are n bytes that look like no text.
func pseudo(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// cut serves data but breaks off behind n bytes of each answer.
func cut(w http.ResponseWriter, r *http.Request, data []byte, n int) {
	http.ServeContent(&cutter{ResponseWriter: w, left: n}, r, "f", time.Unix(1e9, 0), bytes.NewReader(data))
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		c.ResponseWriter.Write(b[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

// TestBeginsAgainForEver: what comes again and again is no progress.
func TestBeginsAgainForEver(t *testing.T) {
	t.Parallel()
	data := pseudo(1 << 20)
	var asked atomic.Int64
	web := served(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		r.Header.Del("Range")
		cut(w, r, data, len(data)*9/10)
	})
	o := options(web)
	o.Retries = 3
	r := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", data, web+"/f"))["f"]
	if n := asked.Load(); fetch.Classify(r.Err) != failure.Truncated || n > 6 {
		t.Errorf("%v after %d requests", r.Err, n)
	}
}

// TestShorterFile: a server whose file ends where ours does, and too early, has
// another file. What is there stays for the next source.
func TestShorterFile(t *testing.T) {
	t.Parallel()
	data := pseudo(1 << 20)
	web := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes */"+strings.Trim(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	})
	req := want(t, t.TempDir(), "f", data, web+"/f")
	if err := os.WriteFile(req.Part, data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	r := run(t, t.Context(), fetcher(t, options(web)), req)["f"]
	if got, err := os.ReadFile(req.Part); err != nil || !bytes.Equal(got, data[:len(data)/2]) || fetch.Classify(r.Err) != failure.Size {
		t.Errorf("%v; the .part has %d bytes, %v", r.Err, len(got), err)
	}
}

// TestPageInPlaceOfTheRest: a page, or nothing, in place of the rest of a file does
// not cost what is there.
func TestPageInPlaceOfTheRest(t *testing.T) {
	t.Parallel()
	data := pseudo(1 << 20)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"page": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<!doctype html>"))
			w.(http.Flusher).Flush()
			w.Write([]byte("moved"))
		},
		"nothing": func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := served(t, func(w http.ResponseWriter, r *http.Request) { answer(w) })
			var asked atomic.Value
			web := served(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Store(r.Header.Get("Range"))
				http.ServeContent(w, r, "f", time.Unix(1e9, 0), bytes.NewReader(data))
			})
			req := want(t, t.TempDir(), "f", data, page+"/f", web+"/f")
			if err := os.WriteFile(req.Part, data[:len(data)/2], 0o644); err != nil {
				t.Fatal(err)
			}
			r := run(t, t.Context(), fetcher(t, options(page, web)), req)["f"]
			if want := fmt.Sprintf("bytes=%d-", len(data)/2); r.Err != nil || asked.Load() != want {
				t.Errorf("%v; the good source was asked for %q, want %q", r.Err, asked.Load(), want)
			}
		})
	}
}

// TestPartIsGone: a .part that somebody removes between two attempts is the
// trouble of one file, which begins anew.
func TestPartIsGone(t *testing.T) {
	t.Parallel()
	data := pseudo(1 << 20)
	var part string
	n := 0
	web := served(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 2 {
			os.Remove(part)
		}
		cut(w, r, data, len(data)*2/3)
	})
	req := want(t, t.TempDir(), "f", data, web+"/f")
	part = req.Part
	r := run(t, t.Context(), fetcher(t, options(web)), req)["f"]
	if got, err := os.ReadFile(part); r.Err != nil || err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v; the .part has %d bytes, %v", r.Err, len(got), err)
	}
}

// TestSumsKeptBetweenRuns: the digests of a large file that breaks off are there for the
// next run, and gone with the .part.
func TestSumsKeptBetweenRuns(t *testing.T) {
	t.Parallel()
	data := pseudo(20 << 20)
	var whole atomic.Bool
	web := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" && !whole.Load() {
			http.NotFound(w, r)
			return
		}
		cut(w, r, data, 18<<20)
	})
	o := options(web)
	o.Retries = -1
	dir := t.TempDir()
	req := want(t, dir, "f", data, web+"/f")
	if r := run(t, t.Context(), fetcher(t, o), req)["f"]; r.Err == nil {
		t.Fatal("what broke off is complete")
	}
	alone(t, dir, "f.part", "f.sums")
	whole.Store(true)
	r := run(t, t.Context(), fetcher(t, o), req)["f"]
	checkClass(t, r, "", data)
	if r.Resumed != 18<<20 {
		t.Errorf("%d bytes were taken over", r.Resumed)
	}
	alone(t, dir, "f.part")
}
