package main

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// s3rverVar is where make test-s3 says which program ignores conditions.
const s3rverVar = "DISTKEEP_TEST_S3RVER"

// A bucketSite is a site whose archive is in a bucket.
type bucketSite struct {
	*site
	s3    string
	state string
	now   string
	vars  []string // more of the environment
}

func newBucketSite(t testing.TB, url string, files map[string][]byte) *bucketSite {
	t.Helper()
	s := newSite(t, files, nil)
	return &bucketSite{site: s, s3: url, state: filepath.Join(s.dir, "state"), now: "2026-01-02T03:00:00Z"}
}

// do runs a command for the archive, which must end with status.
func (s *bucketSite) do(status int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	cmd := s.program(args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.t.Fatalf("distkeep %v: status %d, want %d\n%s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// program prepares a command for the archive.
func (s *bucketSite) program(args ...string) *exec.Cmd {
	cmd := s.command(args...)
	cmd.Env = append(cmd.Env, nowVar+"="+s.now, "DISTKEEP_ARCHIVE=s3://"+s3test.Bucket+"/some/where", "DISTKEEP_STATE="+s.state, "DISTKEEP_ENDPOINT="+s.s3)
	for name, value := range s3Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, s.vars...)
	return cmd
}

// mirror are the arguments of a run.
func (s *bucketSite) mirror(more ...string) []string {
	return append([]string{"mirror", "--repo", "gentoo:" + s.tree, "--delete", "--max-delete", "100", "--deletion-delay", "1d", "--recycle-delay", "2d"}, more...)
}

// noLocalCopy checks that no content of files is below the state directory.
func (s *bucketSite) noLocalCopy() {
	s.t.Helper()
	sums := make(map[string]string)
	for name, data := range s.up.files {
		sums[digest.SHA256.Sum(data).Hex()] = name
	}
	for rel, f := range published(s.t, s.state) {
		if name := sums[f.sum]; name != "" {
			s.t.Errorf("%s is a copy of %s", rel, name)
		}
	}
}

// TestBucketServers is the main job on each server: a first run, one with nothing to do,
// every path and spelling, deleting, taking back, purging.
func TestBucketServers(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mainJob(t, newBucketSite(t, start(t), smallFiles(40)))
		})
	}
}

func mainJob(t *testing.T, s *bucketSite) {
	s.do(0, "init", "--publish", "copies", "--layout", "filename-hash BLAKE2B 8", "--layout", "content-hash SHA512 8:8", "--layout", "flat")
	if out, _ := s.do(0, s.mirror()...); !strings.Contains(out, "40 fetched") {
		t.Errorf("the first run:\n%s", out)
	}
	s.noLocalCopy()
	if out, _ := s.do(0, s.mirror()...); !strings.Contains(out, "40 held before") {
		t.Errorf("the second run:\n%s", out)
	}
	s.up.take()
	s.do(0, "doctor")
	s.do(0, "verify")
	for _, stream := range []string{"--stream=false", "--stream"} {
		s.serves(stream)
	}
	// Half of it is not wanted any more.
	all := maps.Clone(s.up.files)
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i%2 == 0 {
			delete(s.up.files, name)
		}
	}
	s.rewrite(s.up.files)
	s.do(0, s.mirror()...)
	s.now = "2026-01-03T04:00:00Z"
	if out, _ := s.do(0, s.mirror()...); !strings.Contains(out, "20 files deleted") {
		t.Errorf("the deletion:\n%s", out)
	}
	s.do(0, "deletions", "--undo", "small-0000.tar.gz")
	s.now = "2026-01-05T05:00:00Z"
	if out, _ := s.do(0, s.mirror()...); !strings.Contains(out, "19 files purged") {
		t.Errorf("the purge:\n%s", out)
	}
	s.do(0, "doctor")
	s.do(0, "verify")
	for _, how := range []string{"redirects", "none", "copies"} {
		s.do(0, s.mirror("--publish", how)...)
		s.do(0, "doctor")
	}
	if got := s.up.take(); len(got) > 0 {
		t.Errorf("%d files were fetched again", len(got))
	}
}

// rewrite makes the tree want files and nothing else.
func (s *bucketSite) rewrite(files map[string][]byte) {
	s.t.Helper()
	if err := os.RemoveAll(s.tree); err != nil {
		s.t.Fatal(err)
	}
	writeTree(s.t, s.tree, s.up.url, files)
}

// serves checks that serve answers with the bytes of a file whatever it is asked by.
func (s *bucketSite) serves(stream string) {
	t := s.t
	t.Helper()
	srv := startServing(t, s.program("serve", "--listen", "127.0.0.1:0", stream))
	const name = "small-0003.tar.gz"
	data := s.up.files[name]
	sha256, sha512, blake2b := digest.SHA256.Sum(data), digest.SHA512.Sum(data), digest.BLAKE2B.Sum(data)
	hashed, err := layout.Parse("filename-hash BLAKE2B 8")
	if err != nil {
		t.Fatal(err)
	}
	inHashed, _ := hashed.Path(catalog.Name(name), nil)
	for _, path := range []string{
		name, inHashed, "distfiles/" + name, layout.ByCipher(sha256, name), sha256.Hex(), "sha256/" + sha256.Hex(), "sha512/" + sha512.Hex(),
		sha512.Hex()[:2] + "/" + sha512.Hex()[2:4] + "/" + sha512.Hex(), "file/" + name + "/sha256/" + sha256.Hex(),
		"cache/sha512/" + sha512.Hex()[:2] + "/" + sha512.Hex(), "api/1/content/sha256:" + sha256.Hex() + "/raw/", "some-package/" + name,
		"_source-cache/archive/" + sha256.Hex()[:2] + "/" + sha256.Hex() + ".tar.gz", s.up.url + "/" + name, "blake2b/" + blake2b.Hex(),
	} {
		for _, part := range []string{"", "bytes=7-11"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+srv.addr+"/"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := data
			if part != "" {
				req.Header.Set("Range", part)
				want = data[7:12]
			}
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || string(got) != string(want) {
				t.Errorf("%s %s: %s, %d bytes (%v)", path, part, r.Status, len(got), err)
			}
		}
	}
	for path, status := range map[string]int{"nothing": http.StatusNotFound, "layout.conf": http.StatusOK, "distinfo": http.StatusOK} {
		r, err := http.Get("http://" + srv.addr + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Body.Close(); r.StatusCode != status {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if err := srv.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// TestS3rver: a server that is in use and ignores all conditions is refused.
func TestS3rver(t *testing.T) {
	program := os.Getenv(s3rverVar)
	if program == "" {
		t.Skip("make test-s3 gives a program s3rver")
	}
	s := newBucketSite(t, s3test.S3rver(t, program), nil)
	s.vars = []string{"AWS_ACCESS_KEY_ID=S3RVER", "AWS_SECRET_ACCESS_KEY=S3RVER"}
	if _, errs := s.do(2, "init"); !strings.Contains(errs, "it was written over") {
		t.Errorf("refused for another reason: %s", errs)
	}
	if _, err := os.Stat(s.state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a state directory: %v", err)
	}
}
