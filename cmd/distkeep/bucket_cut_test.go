package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"distkeep/archive/bucket/s3test"
)

// cutVar makes the network be away for so long in TestBucketCut, and connections that
// were made before stay dead.
const cutVar = "DISTKEEP_TEST_CUT"

// TestBucketCut: while the network is away a run waits, and then goes on where it was.
func TestBucketCut(t *testing.T) {
	t.Parallel()
	long, dead := time.Second, false
	if text := os.Getenv(cutVar); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		dead = true
	}
	for name, at := range map[string]func(r *http.Request) bool{
		"blobs": func(r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/blob/") && r.Method == http.MethodPut
		},
		"ledger": func(r *http.Request) bool {
			return strings.Contains(r.URL.Path, "ledger") && r.Method == http.MethodPut
		},
		"mark": func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/mark") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := s3test.New(t)
			wire := s3test.NewWire(t, strings.TrimPrefix(srv.URL, "http://"), dead)
			s := newBucketSite(t, wire.URL, smallFiles(60))
			s.do(0, "init")
			n := 0
			srv.Fail(func(_ int, r *http.Request) s3test.Fault {
				if at(r) {
					n++
					if n == 1 && name != "blobs" || n == 30 {
						wire.Cut()
						time.AfterFunc(long, wire.Mend)
					}
				}
				return s3test.None
			})
			began := time.Now()
			out, errs := s.do(0, s.mirror()...)
			if took := time.Since(began); !strings.Contains(out, "60 fetched") || took < long {
				t.Errorf("it took %v:\n%s", took, out)
			} else {
				t.Logf("it took %v\n%s", took, errs)
			}
			srv.Fail(nil)
			if out, errs := s.do(0, "doctor"); out != "" {
				t.Errorf("doctor: %s%s", out, errs)
			}
			if out, _ := s.do(0, s.mirror()...); !strings.Contains(out, "60 held before") {
				t.Errorf("the next run has something to do:\n%s", out)
			}
		})
	}
}
