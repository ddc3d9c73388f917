package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/archive/disk"
	"distkeep/archive/report"
)

// A calm archive is one whose last run had nothing to do.
type calm struct {
	*site
	now    time.Time
	args   []string
	around func(disk.FS) disk.FS
}

// newCalm makes one. Its clock is ahead of the change times of files, so that none
// is young.
func newCalm(t *testing.T) *calm {
	t.Helper()
	q := &calm{site: newSiteIn(t, inMemory(t), smallFiles(6), nil), now: time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)}
	q.must(os.Mkdir(q.path("drop"), 0o755), os.Mkdir(q.path("lists"), 0o755), os.WriteFile(q.path("config"), []byte("deletion-delay = \"2w\"\n"), 0o644))
	port := q.up.url[strings.LastIndexByte(q.up.url, ':')+1:]
	q.args = q.mirrorArgs("archive", "--delete", "--distfiles-local", q.path("drop"), "--whitelist-from", q.path("lists"), "--config", q.path("config"), "--allow-private", "--allow-port", port)
	q.do(0, "init", "--archive", q.path("archive"))
	return q
}

func (q *calm) path(rel string) string { return filepath.Join(q.dir, rel) }

func (q *calm) must(errs ...error) {
	q.t.Helper()
	if err := errors.Join(errs...); err != nil {
		q.t.Fatal(err)
	}
}

// do runs the program a minute after the last time.
func (q *calm) do(status int, args ...string) string {
	q.t.Helper()
	q.now = q.now.Add(time.Minute)
	now := q.now
	var out bytes.Buffer
	e := &env{args: append([]string{"distkeep"}, args...), stdin: strings.NewReader(""), stdout: &out, stderr: &out, around: q.around, now: func() time.Time { return now }}
	if got := e.run(); got != status {
		q.t.Fatalf("distkeep %v: status %d, want %d\n%s", args, got, status, &out)
	}
	return out.String()
}

// certified runs the job and reports whether it found nothing changed.
func (q *calm) certified(status int, more ...string) bool {
	q.t.Helper()
	return strings.Contains(q.do(status, append(q.args, more...)...), "\nunchanged ")
}

// settle runs the job until a run looks at nothing.
func (q *calm) settle(status int) {
	q.t.Helper()
	for range 4 {
		if q.certified(status) {
			return
		}
	}
	q.t.Fatalf("no run is certified:\n%s", q.do(status, q.args...))
}

// inPlace gives a file other bytes of the same size, and its time back.
func (q *calm) inPlace(rel string) {
	q.t.Helper()
	fi, err := os.Stat(q.path(rel))
	q.must(err)
	text, err := os.ReadFile(q.path(rel))
	q.must(err)
	text[0] ^= 1
	f, err := os.OpenFile(q.path(rel), os.O_WRONLY, 0)
	q.must(err)
	_, err = f.Write(text)
	q.must(err, f.Close(), os.Chtimes(q.path(rel), fi.ModTime(), fi.ModTime()))
}

// renamedOver gives a file a copy in its place, with its time.
func (q *calm) renamedOver(rel string) {
	q.t.Helper()
	fi, err := os.Stat(q.path(rel))
	q.must(err)
	text, err := os.ReadFile(q.path(rel))
	q.must(err)
	temp := q.path("temp")
	q.must(os.WriteFile(temp, text, fi.Mode()), os.Chtimes(temp, fi.ModTime(), fi.ModTime()), os.Rename(temp, q.path(rel)))
}

// cipher is the path of the file of small-0001.tar.gz below by_cipher.
func (q *calm) cipher() string {
	q.t.Helper()
	paths, err := filepath.Glob(q.path("archive/distfiles/by_cipher/sha256/*/*/small-0001.tar.gz"))
	if q.must(err); len(paths) != 1 {
		q.t.Fatalf("%d files", len(paths))
	}
	rel, err := filepath.Rel(q.dir, paths[0])
	q.must(err)
	return rel
}

// What certifyCases need.
const (
	certEbuild = "tree/app-misc/p00001/p00001-1.ebuild"
	certEntry  = "tree/metadata/md5-cache/app-misc/p00001-1"
	certFile   = "archive/distfiles/small-0001.tar.gz"
)

// certifyCases are all ways in which what a run decides by can change. The status of
// the run after each is 0 where nothing else is said.
var certifyCases = []struct {
	name   string
	change func(q *calm)
	status int
}{
	{"ebuild in place", func(q *calm) { q.inPlace(certEbuild) }, exitNew},
	{"ebuild renamed over", func(q *calm) { q.renamedOver(certEbuild) }, 0},
	{"ebuild removed", func(q *calm) { q.must(os.Remove(q.path(certEbuild)), os.Remove(q.path(certEntry))) }, 0},
	{"ebuild's mode", func(q *calm) { q.must(os.Chmod(q.path(certEbuild), 0o640)) }, 0},
	{"ebuild's links", func(q *calm) { q.must(os.Link(q.path(certEbuild), q.path("link"))) }, 0},
	{"ebuild's time put back", func(q *calm) {
		q.must(os.Chtimes(q.path(certEbuild), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}, 0},
	{"cache entry in place", func(q *calm) { q.inPlace(certEntry) }, 0},
	{"Manifest renamed over", func(q *calm) { q.renamedOver("tree/app-misc/p00001/Manifest") }, 0},
	{"new file in the profiles", func(q *calm) {
		q.must(os.WriteFile(q.path("tree/profiles/thirdpartymirrors"), []byte("x http://h.example/\n"), 0o644))
	}, 0},
	{"new package", func(q *calm) { q.must(os.Mkdir(q.path("tree/app-misc/p00009"), 0o755)) }, 0},
	{"package moved away and back", func(q *calm) {
		q.must(os.Rename(q.path("tree/app-misc/p00001"), q.path("away")), os.Rename(q.path("away"), q.path("tree/app-misc/p00001")))
	}, 0},
	{"link to a directory", func(q *calm) { q.must(os.Symlink("app-misc", q.path("tree/app-link"))) }, exitNew},
	{"new commit", func(q *calm) {
		q.must(os.MkdirAll(q.path("tree/.git/logs"), 0o755), os.WriteFile(q.path("tree/.git/logs/HEAD"), []byte("a b N <n@example> 1700000000 +0000\tx\n"), 0o644))
	}, 0},
	{"published file in place", func(q *calm) { q.inPlace(certFile) }, 0},
	{"published file truncated", func(q *calm) { q.must(os.Truncate(q.path(certFile), 1)) }, 0},
	{"published file renamed over", func(q *calm) { q.renamedOver(certFile) }, 0},
	{"published file removed", func(q *calm) { q.must(os.Remove(q.path(certFile))) }, 0},
	{"published file's mode", func(q *calm) { q.must(os.Chmod(q.path(certFile), 0o600)) }, 0},
	{"published file's links", func(q *calm) { q.must(os.Link(q.path(certFile), q.path("link"))) }, 0},
	{"new published file", func(q *calm) { q.must(os.WriteFile(q.path("archive/distfiles/x.tar"), []byte("x"), 0o644)) }, 0},
	{"by_cipher removed", func(q *calm) { q.must(os.Remove(q.path(q.cipher()))) }, 0},
	{"by_cipher renamed over", func(q *calm) { q.renamedOver(q.cipher()) }, 0},
	{"by_cipher renamed", func(q *calm) { q.must(os.Rename(q.path(q.cipher()), q.path(q.cipher()+".x"))) }, 0},
	{"by_cipher has one more", func(q *calm) {
		q.must(os.WriteFile(filepath.Join(filepath.Dir(q.path(q.cipher())), "x"), []byte("x"), 0o644))
	}, 0},
	{"by_cipher's directory renamed", func(q *calm) {
		dir := filepath.Dir(q.path(q.cipher()))
		q.must(os.Rename(dir, dir+".x"))
	}, 0},
	{"layout.conf", func(q *calm) {
		q.must(os.WriteFile(q.path("archive/distfiles/layout.conf"), []byte("[structure]\n0=flat\n"), 0o644))
	}, 0},
	{"distinfo removed", func(q *calm) { q.must(os.Remove(q.path("archive/distfiles/distinfo"))) }, 0},
	{"generation removed", func(q *calm) { q.must(os.Remove(q.path("archive/distfiles/generations/latest"))) }, 0},
	{"recycle", func(q *calm) { q.must(os.Mkdir(q.path("archive/state/recycle/x"), 0o755)) }, 0},
	{"whitelist", func(q *calm) { q.must(os.WriteFile(q.path("archive/state/whitelist"), []byte("x.tar\n"), 0o644)) }, 0},
	{"another whitelist", func(q *calm) { q.must(os.WriteFile(q.path("lists/w"), []byte("x.tar\n"), 0o644)) }, 0},
	{"drop box", func(q *calm) { q.must(os.WriteFile(q.path("drop/d.tar"), []byte("d"), 0o644)) }, 0},
	{"request", func(q *calm) {
		q.must(os.MkdirAll(q.path("archive/state/requests"), 0o755), os.WriteFile(q.path("archive/state/requests/1-retry.json"), []byte(`{"do":"retry"}`), 0o644))
	}, 0},
	{"memory of another program", func(q *calm) { q.must(os.WriteFile(q.path("archive/state/imported"), nil, 0o644)) }, exitUsage},
	{"ledger touched", func(q *calm) {
		q.must(os.Chtimes(q.path("archive/state/ledger/MANIFEST"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}, 0},
	{"ledger gone", func(q *calm) { q.must(os.RemoveAll(q.path("archive/state/ledger"))) }, 0},
	{"ledger's seal", func(q *calm) { q.must(os.Remove(q.path("archive/state/ledger/SEAL"))) }, 0},
	{"ledger's table damaged", func(q *calm) {
		tables, err := filepath.Glob(q.path("archive/state/ledger/*.sst"))
		if q.must(err); len(tables) == 0 {
			q.t.Fatal("no tables")
		}
		rel, err := filepath.Rel(q.dir, tables[0])
		q.must(err)
		q.inPlace(rel)
	}, exitBroken},
	{"verified", func(q *calm) { q.do(0, "verify", "--archive", q.path("archive")) }, 0},
	{"report removed", func(q *calm) { q.must(os.Remove(q.path("archive/state/report/failures.jsonl"))) }, 0},
	{"report in place", func(q *calm) { q.inPlace("archive/state/report/distfiles.jsonl") }, 0},
	{"run killed", func(q *calm) {
		q.must(os.WriteFile(q.path("archive/state/lock"), []byte("distkeep mirror, pid 1\n"), 0o644))
	}, 0},
	{"certificate gone", func(q *calm) { q.must(os.Remove(q.path("archive/state/certificate"))) }, 0},
	{"certificate damaged", func(q *calm) { q.inPlace("archive/state/certificate") }, 0},
	{"certificate cut off", func(q *calm) { q.must(os.Truncate(q.path("archive/state/certificate"), 300)) }, 0},
	{"clock put back", func(q *calm) { q.now = q.now.Add(-10 * time.Minute) }, exitGuard},
	{"a day is over", func(q *calm) { q.now = q.now.Add(25 * time.Hour) }, 0},
	{"option", func(q *calm) { q.args = append(q.args, "--recycle-delay", "61d") }, 0},
	{"option of the configuration", func(q *calm) { q.must(os.WriteFile(q.path("config"), []byte("deletion-delay = \"3w\"\n"), 0o644)) }, 0},
	{"asked for", func(q *calm) { q.args = append(q.args, "--full-scan") }, 0},
}

// These tests run in this process, and beside none that begins others: a process that
// has just begun has the lock of a ledger that another run wants to open.

// TestCertifiedChanges: whatever changes, the next run looks, and the one after it finds
// its rest again.
func TestCertifiedChanges(t *testing.T) {
	for _, c := range certifyCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := newCalm(t)
			q.settle(0)
			if !q.certified(0) || !q.certified(0, "--verbose") {
				t.Fatal("not certified")
			}
			c.change(q)
			if q.certified(c.status) {
				t.Fatal("the run has seen nothing")
			}
		})
	}
}

// TestCertifiedStatus: a run that looks at nothing is one like any other to everybody
// who looks at it.
func TestCertifiedStatus(t *testing.T) {
	q := newCalm(t)
	metrics := q.path("metrics")
	q.args = append(q.args, "--metrics", metrics, "--failure-log", q.path("failed"))
	file := "small-0004.tar.gz"
	data := q.up.files[file]
	q.up.mu.Lock()
	delete(q.up.files, file)
	q.up.mu.Unlock()
	if q.certified(exitNew) {
		t.Fatal("the first run")
	}
	q.settle(0)
	began := q.now
	q.must(os.Remove(q.path("failed")), os.Remove(metrics))
	if !q.certified(0) || !q.certified(exitNew, "--fail-on", "any") {
		t.Fatal("not certified")
	}
	text, err := os.ReadFile(q.path("archive/distfiles/lastsync"))
	if q.must(err); strings.TrimSpace(string(text)) != strconv.FormatInt(q.now.Unix(), 10) {
		t.Errorf("lastsync: %s, want %d", text, q.now.Unix())
	}
	check := func(runs int) (s report.Summary) {
		t.Helper()
		q.must(json.Unmarshal([]byte(q.do(0, "status", "--json", "--archive", q.path("archive"))), &s))
		if !s.LastComplete.Equal(s.Start) || !s.LastSuccess.Equal(s.Start) || s.AllFailures() != 1 || s.Archive.Files != 5 {
			t.Errorf("status: %+v", s)
		}
		rs, err := report.LoadRuns(q.path("archive/state/report"))
		if q.must(err); len(rs) != runs || !rs[len(rs)-1].Start.Equal(s.Start) {
			t.Errorf("%d runs, want %d; the last at %v", len(rs), runs, rs[len(rs)-1].Start)
		}
		return s
	}
	runs := 1 + 4 + 1
	last := q.now
	if s := check(runs); !s.Start.Equal(last) || !s.CertifiedBy.Before(began) || s.CertifiedBy.IsZero() {
		t.Errorf("status tells of the run of %v, certified by %v", s.Start, s.CertifiedBy)
	}
	if text, err := os.ReadFile(metrics); err != nil || !strings.Contains(string(text), "last_run_timestamp_seconds "+strconv.FormatFloat(float64(last.Unix()), 'g', -1, 64)+"\n") {
		t.Errorf("metrics: %v\n%s", err, text)
	}
	if text, err := os.ReadFile(q.path("failed")); err != nil || strings.Count(string(text), "\t"+file+"\t") != 2 {
		t.Errorf("failure log: %v\n%s", err, text)
	}
	// Whoever opens the ledger next knows of it.
	q.do(0, "verify", "--archive", q.path("archive"))
	if s := check(runs); !s.Start.Equal(last) {
		t.Errorf("after verify, status tells of the run of %v, not of %v", s.Start, last)
	}
	// What failed is tried again in its time.
	q.settle(0)
	q.up.replace(file, data)
	q.now = q.now.Add(time.Hour)
	if out := q.do(0, q.args...); !strings.Contains(out, "1 fetched") {
		t.Errorf("not tried:\n%s", out)
	}
}

// A narrow disk has no room for certificates.
type narrow struct{ disk.FS }

func (narrow) Create(path string, _ os.FileMode) (*os.File, error) {
	return nil, &os.PathError{Op: "create", Path: path, Err: syscall.ENOSPC}
}

// TestCertifiedFull: where there is no room for a certificate there is none, and
// nothing has failed.
func TestCertifiedFull(t *testing.T) {
	q := newCalm(t)
	q.settle(0)
	q.around = func(under disk.FS) disk.FS { return narrow{under} }
	for range 3 {
		if q.certified(0) {
			t.Error("a run could not write that it found nothing changed")
		}
	}
	if _, err := os.Stat(q.path("archive/state/certificate")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a certificate is left: %v", err)
	}
	q.around = nil
	q.settle(0)
}

// TestCertifiedNoURI: that the tree names nothing to ask is found anew in each run, and
// nothing to do.
func TestCertifiedNoURI(t *testing.T) {
	q := newCalm(t)
	entry := filepath.Join(q.tree, "metadata/md5-cache/app-misc/p00001-1")
	text, err := os.ReadFile(entry)
	q.must(err, os.WriteFile(entry, bytes.ReplaceAll(text, []byte(q.up.url+"/small-0001"), []byte("small-0001")), 0o644))
	q.do(exitNew, q.args...)
	q.settle(0)
	if out := q.do(0, "failures", "--archive", q.path("archive")); !strings.Contains(out, "no-uri") {
		t.Errorf("failures:\n%s", out)
	}
}

// TestCertifiedParked: that the time was not enough for the transfers is nothing that
// is recorded, and the next run goes on with them.
func TestCertifiedParked(t *testing.T) {
	q := newCalm(t)
	for range 4 {
		if q.certified(0, "--max-time", "1ns") {
			t.Fatal("a run is certified that has parked transfers")
		}
	}
}

// TestCertifiedWorktree: where .git is a file, as in a worktree, nothing is below it.
func TestCertifiedWorktree(t *testing.T) {
	q := newCalm(t)
	q.must(os.WriteFile(q.path("tree/.git"), []byte("gitdir: /nowhere\n"), 0o644))
	q.settle(0)
}

// TestCertifiedDryRun: who only looks leaves the certificate to the next run.
func TestCertifiedDryRun(t *testing.T) {
	q := newCalm(t)
	q.settle(0)
	before, err := os.ReadFile(q.path("archive/state/certificate"))
	q.must(err)
	q.do(0, append(q.args, "--dry-run")...)
	after, err := os.ReadFile(q.path("archive/state/certificate"))
	if q.must(err); !bytes.Equal(before, after) || !q.certified(0) {
		t.Error("a dry run has changed something")
	}
}
