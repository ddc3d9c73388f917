package shards

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"distkeep/archive/bucket"
	"distkeep/archive/bucket/s3test"
	"distkeep/archive/deposit"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// A world is a bucket with an archive in two shards, and a reader of it.
type world struct {
	t   *testing.T
	srv *s3test.Server
	r   *Reader
}

func newWorld(t *testing.T, n int) *world {
	t.Helper()
	srv := s3test.New(t)
	b, err := bucket.New(bucket.Options{
		Bucket: s3test.Bucket, Prefix: "x", Endpoint: srv.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s3test.Key, SecretAccessKey: s3test.Secret}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	return &world{t, srv, New(state, store.PublicDir(state), b, n)}
}

// A last is what the last run of a shard has left.
type last struct{ distfiles, distinfo, layout, sync string }

// leave leaves it below prefix, but for what is late: the index tells of that already.
func (w *world) leave(prefix string, l last, late ...string) {
	w.t.Helper()
	x := deposit.Index{Reports: make(map[string]string), Files: make(map[string]string)}
	x.Status = json.RawMessage(`{"start":"2026-01-02T03:00:00Z","complete":true,"archive":{"files":1,"bytes":2}}`)
	put := func(name, key, data string) {
		for _, n := range late {
			if n == name {
				return
			}
		}
		w.srv.Put(prefix+key, data)
	}
	sum := func(text string) string { return digest.SHA256.Sum([]byte(text)).Hex() }
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	if _, err := gz.Write([]byte(l.distfiles)); err != nil {
		w.t.Fatal(err)
	}
	gz.Close()
	x.Reports["distfiles.jsonl"] = sum(l.distfiles)
	put("distfiles", "doc/report/distfiles.jsonl.gz", z.String())
	for name, text := range map[string]string{"distinfo": l.distinfo, "layout.conf": l.layout, "lastsync": l.sync} {
		if text != "" {
			x.Files[name] = sum(text)
			put(name, "public/distfiles/"+name, text)
		}
	}
	// Whoever can write to the bucket may say what he likes.
	x.Files["../../../escaped"], x.Reports["../escaped"] = sum("x"), sum("x")
	data, err := json.Marshal(x)
	if err != nil {
		w.t.Fatal(err)
	}
	w.srv.Put(prefix+"doc/index.json", string(data))
}

// names refreshes, with at most so many requests, and returns what a reader knows.
func (w *world) names(most int) string {
	w.t.Helper()
	w.srv.Reset()
	if err := w.r.Refresh(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if kinds, all := w.srv.Requests(); all > most {
		w.t.Errorf("%d requests: %v", all, kinds)
	}
	ds, err := report.LoadDistfiles(store.ReportDir(w.r.state))
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, d := range ds {
		names = append(names, fmt.Sprintf("%s(%s)", d.Name, d.Shard))
	}
	return strings.Join(names, " ")
}

func (w *world) file(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.r.published, name))
	if err != nil {
		w.t.Error(err)
	}
	return string(data)
}

func content(name string) string {
	line, err := report.AppendLine(nil, &report.Distfile{Name: name, SHA256: digest.SHA256.Sum([]byte(name)).Hex(), Named: true, Added: time.Unix(1, 0).UTC()})
	if err != nil {
		panic(err)
	}
	return string(line)
}

func line(name string) string {
	return "SHA256 (" + name + ") = " + digest.SHA256.Sum([]byte(name)).Hex() + "\n"
}

// TestRefresh: a reader knows what each shard has left last, and asks one question a shard
// when nothing is new.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	if got := w.names(2); !strings.Contains(got, "no run has finished yet") {
		t.Errorf("without a run: %s", got)
	}
	w.leave("x/1-of-2/", last{content("a"), line("a"), "[structure]\n0=flat\n", "100\n"})
	if got := w.names(8); got != "a(1/2)" {
		t.Errorf("after one run: %s", got)
	}
	w.leave("x/2-of-2/", last{content("b"), line("b"), "[structure]\n0=filename-hash BLAKE2B 8\n", "90\n"})
	if got := w.names(8); got != "a(1/2) b(2/2)" {
		t.Errorf("after both: %s", got)
	}
	if got := w.file("distinfo"); got != line("a")+line("b") {
		t.Errorf("distinfo: %s", got)
	}
	if got := w.file("layout.conf"); !strings.Contains(got, "0=flat\n1=filename-hash BLAKE2B 8\n") {
		t.Errorf("layout.conf: %s", got)
	}
	if got := w.file("lastsync"); got != "90\n" {
		t.Errorf("lastsync: %s", got)
	}
	if got := w.names(2); got != "a(1/2) b(2/2)" {
		t.Errorf("without anything new: %s", got)
	}
	w.leave("x/2-of-2/", last{content("b") + content("c"), line("b") + line("c"), "", "110\n"})
	if got := w.names(6); got != "a(1/2) b(2/2) c(2/2)" {
		t.Errorf("after another run: %s", got)
	}
	// Another process goes on with what this one has read.
	again := &world{t, w.srv, New(w.r.state, w.r.published, w.r.shards[0].b, 2)}
	again.r.shards = w.r.shards
	if got := again.names(2); got != "a(1/2) b(2/2) c(2/2)" {
		t.Errorf("in another process: %s", got)
	}
	err := filepath.WalkDir(filepath.Dir(w.r.state), func(path string, _ os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), "escaped") {
			t.Errorf("the index has put %s there", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRefreshWhole: an archive without shards is read as well, and says nothing of any.
func TestRefreshWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.leave("x/", last{distfiles: content("a")})
	if got := w.names(6); got != "a()" {
		t.Errorf("it is read as %s", got)
	}
	var s report.Summary
	if err := report.LoadStatus(store.ReportDir(w.r.state), &s); err != nil || len(s.Shards) > 0 || s.Archive.Files != 1 {
		t.Errorf("%+v (%v)", s, err)
	}
}

// TestRefreshDuringRun: what does not belong to the index is not taken: a run leaves other
// documents at the time, and the next call reads them.
func TestRefreshDuringRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.leave("x/1-of-2/", last{distfiles: content("a"), distinfo: line("a")})
	w.leave("x/2-of-2/", last{distfiles: content("b"), distinfo: line("b")})
	w.names(100)
	w.leave("x/2-of-2/", last{distfiles: content("b") + content("c"), distinfo: line("b") + line("c")}, "distfiles")
	if got := w.names(100); got != "a(1/2) b(2/2)" {
		t.Errorf("half of it is read as %s", got)
	}
	w.leave("x/2-of-2/", last{distfiles: content("b") + content("c"), distinfo: line("b") + line("c")})
	if got := w.names(100); got != "a(1/2) b(2/2) c(2/2)" {
		t.Errorf("all of it is read as %s", got)
	}
}
