package main

import (
	"bytes"
	"net/http"
	"testing"

	"distkeep/archive/bucket/s3test"
)

// TestBucketOnDemand: what somebody asks for comes into the bucket, once, and is sent from there
// afterwards; the next run has nothing to fetch, and makes readers of the bucket find it.
func TestBucketOnDemand(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"--stream=false", "--stream"} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			srv := s3test.New(t)
			s := newBucketSite(t, srv.URL, smallFiles(3))
			s.do(0, "init", "--publish", "copies")
			server := startServing(t, s.program("serve", "--listen", "127.0.0.1:0", "--on-demand", "--repo", "gentoo:"+s.tree, stream))
			const name = "small-0001.tar.gz"
			for range 2 {
				if got := server.wait("/"+name, http.StatusOK); !bytes.Equal(got, s.up.files[name]) {
					t.Errorf("%d bytes came", len(got))
				}
			}
			if got := s.up.take(); len(got) != 1 {
				t.Errorf("upstream was asked %d times", len(got))
			}
			if status := server.stop(); status != exitOK {
				t.Errorf("status %d", status)
			}
			s.do(0, "doctor")
			s.do(0, s.mirror()...)
			if got := s.up.take(); len(got) != 2 {
				t.Errorf("the run has asked upstream %d times", len(got))
			}
			for name, data := range s.up.files {
				if got, _ := srv.Get("some/where/public/distfiles/" + name); got != string(data) {
					t.Errorf("readers find %d bytes of %s", len(got), name)
				}
			}
			s.do(0, "doctor")
		})
	}
}
