package bucket

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"distkeep/archive/bucket/s3test"
)

// TestProbeLiars: each question finds the server that does otherwise, and no other does.
func TestProbeLiars(t *testing.T) {
	t.Parallel()
	drops := func(header, path string) func(w http.ResponseWriter, r *http.Request, s *s3test.Server) {
		return func(w http.ResponseWriter, r *http.Request, s *s3test.Server) {
			if strings.Contains(r.URL.Path+"$", path) {
				r.Header.Del(header)
			}
			s.ServeHTTP(w, r)
		}
	}
	for what, c := range map[string]func(w http.ResponseWriter, r *http.Request, s *s3test.Server){
		"a listing goes on": func(w http.ResponseWriter, r *http.Request, s *s3test.Server) {
			if !r.URL.Query().Has("list-type") {
				s.ServeHTTP(w, r)
				return
			}
			is := httptest.NewRecorder()
			s.ServeHTTP(is, r)
			for name := range is.Header() {
				w.Header().Set(name, is.Header().Get(name))
			}
			w.Header().Del("Content-Length")
			w.WriteHeader(is.Code)
			_, _ = strings.NewReplacer("<IsTruncated>true<", "<IsTruncated>false<").WriteString(w, is.Body.String())
		},
		"If-None-Match: * of PUT":     drops("If-None-Match", "/fresh"),
		"If-Match of PUT":             drops("If-Match", "/match$"),
		"If-Match of DELETE":          drops("If-Match", "/deletes"),
		"bytes without their SHA-256": drops("X-Amz-Checksum-Sha256", "/sums"),
		"and a name that were sent":   drops("X-Amz-Meta-Name", "/told"),
		"at the end of an upload":     drops("If-None-Match", "/parts/"),
		"a part whose bytes":          drops("X-Amz-Checksum-Sha256", "/part-sums"),
		"a part of an object":         drops("Range", "/ranges"),
		"several writers of a new":    drops("If-None-Match", "/race/"),
		"several that write over":     drops("If-Match", "/match-race/"),
		"what is not there is said": func(w http.ResponseWriter, r *http.Request, s *s3test.Server) {
			if strings.HasSuffix(r.URL.Path, "/absent") {
				r.URL.Path = strings.Replace(r.URL.Path, "absent", "wrote/c++ %2F@v1.zip", 1)
				r.URL.RawPath = ""
			}
			s.ServeHTTP(w, r)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := s3test.New(t)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c(w, r, s) }))
			defer front.Close()
			err := hasty(t, front.URL, 2*time.Second, nil).Probe(t.Context())
			if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), what) || strings.Count(err.Error(), "\n") != 1 {
				t.Errorf("err = %v", err)
			}
		})
	}
}

// TestProbeBroken: a server that breaks at a question is refused soon, by what it has
// ignored before where there is something.
func TestProbeBroken(t *testing.T) {
	t.Parallel()
	for _, lax := range []bool{false, true} {
		s := s3test.New(t)
		s.Lax = lax
		s.Fail(func(_ int, r *http.Request) s3test.Fault {
			if r.URL.Query().Has("continuation-token") {
				return s3test.Busy
			}
			return s3test.None
		})
		began := time.Now()
		err := hasty(t, s.URL, 2*time.Second, nil).Probe(t.Context())
		if err == nil || errors.Is(err, ErrUnfit) != lax || !lax && !strings.Contains(err.Error(), "busy or broken") {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
	}
}
