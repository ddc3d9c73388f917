package main

import (
	"net/http"
	"strings"
	"testing"

	"distkeep/archive/bucket/s3test"
)

// port is the port of a URL or an address.
func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// TestBucketDemand: what the tree wants and the bucket has not is fetched for whoever asks
// for it, once.
func TestBucketDemand(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t, s3test.New(t).URL, smallFiles(5))
	s.do(0, "init")
	srv := startServing(t, s.program("serve", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+s.tree))
	srv.wait("/small-0003.tar.gz", http.StatusOK) // it scans the tree first
	if got, status := srv.get("/small-0003.tar.gz"); status != http.StatusOK || string(got) != string(s.up.files["small-0003.tar.gz"]) {
		t.Errorf("%d, %d bytes", status, len(got))
	}
	if status := srv.stop(); status != 0 {
		t.Errorf("the server ends with status %d", status)
	}
	// The server may have ended before it was in the bucket; then it is a part still.
	s.do(0, s.mirror()...)
	if got := s.up.take(); len(got) != 5 {
		t.Errorf("upstream was asked %d times for 5 files", len(got))
	}
	s.noLocalCopy()
	s.do(0, "doctor")
}

// TestBucketPull: an archive in a bucket is brought up to date with another one in a
// bucket, by redirects to it and through its server.
func TestBucketPull(t *testing.T) {
	t.Parallel()
	from := newBucketSite(t, s3test.New(t).URL, smallFiles(5))
	from.do(0, "init")
	from.do(0, from.mirror()...)
	for _, stream := range []string{"--stream=false", "--stream"} {
		srv := startServing(t, from.program("serve", "--listen", "127.0.0.1:0", stream))
		to := newBucketSite(t, s3test.New(t).URL, smallFiles(5))
		to.do(0, "init")
		pull := []string{"pull", "--allow-port", port(srv.addr), "--allow-port", port(from.s3), "http://" + srv.addr}
		if out, _ := to.do(0, pull...); !strings.Contains(out, "5 fetched") {
			t.Errorf("%s: the first pull:\n%s", stream, out)
		}
		to.noLocalCopy()
		if out, _ := to.do(0, pull...); !strings.Contains(out, "5 held before") {
			t.Errorf("%s: the second pull:\n%s", stream, out)
		}
		to.do(0, "doctor")
		srv.stop()
	}
}
