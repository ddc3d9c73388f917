package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/tools/txtar"
)

// unpackOld makes the old archive of testdata/old, and its tree, in the directory of s.
func unpackOld(t *testing.T, s *site) {
	t.Helper()
	ar, err := txtar.ParseFile("../../testdata/old/archive.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range ar.Files {
		files[f.Name] = strings.ReplaceAll(string(f.Data), "http://127.0.0.1:18999", s.up.url)
	}
	write := func(rel, text string) {
		t.Helper()
		path := filepath.Join(s.dir, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if strings.Contains(name, "/") {
			write(name, text)
		}
	}
	for line := range strings.Lines(files["links"]) {
		words := strings.Fields(line)
		ns, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		write(words[2], files[words[1]])
		first := filepath.Join(s.dir, words[2])
		if err := errors.Join(os.Chtimes(first, time.Time{}, time.Unix(0, ns)), os.Chmod(first, 0o444)); err != nil {
			t.Fatal(err)
		}
		for _, rel := range words[3:] {
			path := filepath.Join(s.dir, rel)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Link(first, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	fillLedger(t, filepath.Join(s.dir, "archive", "state", "ledger"), files["ledger"])
}

// fillLedger writes lines of quoted keys and values.
func fillLedger(t *testing.T, dir, lines string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		for line := range strings.Lines(lines) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			key, kerr := strconv.Unquote(k)
			value, verr := strconv.Unquote(v)
			if err := errors.Join(kerr, verr, txn.Set([]byte(key), []byte(value))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestOldArchive uses an archive that an old program has made: what it holds, has
// scheduled, keeps in recycle and knows of failures is what it was.
func TestOldArchive(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, nil)
	unpackOld(t, s)
	at := func(now string, status int, args ...string) string {
		t.Helper()
		cmd := s.command(args...)
		cmd.Env = append(cmd.Env, nowVar+"="+now)
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != status {
			t.Fatalf("%v: status %d, want %d: %v\n%s", args, got, status, err, out)
		}
		return string(out)
	}
	has := func(out string, wants ...string) {
		t.Helper()
		for _, w := range wants {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not in:\n%s", w, out)
			}
		}
	}
	const soon, later = "2026-11-28T15:00:00Z", "2026-12-20T15:00:00Z"
	mirror := s.mirrorArgs("archive", "--delete", "--max-delete", "100%")
	at(soon, 0, "doctor", "--archive", "archive")
	has(at(soon, 0, mirror...), "2 files, 27B, 1 held before", "0 new, 1 known", "1 scheduled for deletion, 1 in recycle")
	at(soon, 0, "verify", "--archive", "archive")
	has(at(soon, 0, "why", "--archive", "archive", "c.tar.gz"), "recycle")

	at(later, 0, "whitelist", "add", "--archive", "archive", "--author", "A <a@example.org>", "--reason", "Kept.", "c.tar.gz")
	has(at(later, 0, mirror...), "1 file deleted")
	for name, there := range map[string]bool{"a.tar.gz": true, "b.tar.gz": false, "c.tar.gz": true} {
		if _, err := os.Stat(filepath.Join(s.dir, "archive", "distfiles", name)); (err == nil) != there {
			t.Errorf("%s is published: %v, want %v", name, err == nil, there)
		}
	}
	at(later, 0, "doctor", "--archive", "archive")
	if rs := s.up.take(); len(rs) > 0 {
		t.Errorf("what the archive has was asked for: %v", rs)
	}
}
