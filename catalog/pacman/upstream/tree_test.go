package upstream

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/pacman"
)

// A tree is an upstream in memory: a Getter of the files of one base URL.
type tree struct {
	mu     sync.Mutex
	files  map[string]string // by path below the base
	errs   map[string]error
	times  map[string]time.Time
	before func(name string) // called without the lock
	asked  []string
	got    []string // those whose content was sent
	plain  bool     // it has no validators
	closed int
}

// An answer is one that is not the file.
type answer struct{ also error }

func (a answer) Error() string {
	if a.also == nil {
		return ""
	}
	return a.also.Error()
}

func (a answer) Unwrap() []error { return []error{catalog.ErrRefused, a.also} }

// What an upstream may answer, and what is none of its answers.
var (
	errGone      = answer{fs.ErrNotExist}
	errForbidden = answer{fs.ErrPermission}
	errTrouble   = answer{catalog.ErrTrouble}
	errLost      = errors.New("connection lost")
)

const treeBase = "http://upstream.example/arch"

var _ catalog.Getter = (*tree)(nil)

func (u *tree) Get(_ context.Context, url string, have catalog.Version, most int64, start func() (io.Writer, error)) (catalog.Version, error) {
	name, ok := strings.CutPrefix(url, treeBase+"/")
	if !ok {
		return catalog.Version{}, fmt.Errorf("%s is elsewhere: %w", url, fs.ErrNotExist)
	}
	u.mu.Lock()
	before := u.before
	u.asked = append(u.asked, name)
	u.mu.Unlock()
	if before != nil {
		before(name)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.errs[name]; err != nil {
		return catalog.Version{}, err
	}
	data, ok := u.files[name]
	if !ok {
		return catalog.Version{}, fmt.Errorf("%s: %w", name, errGone)
	}
	v := catalog.Version{Size: int64(len(data)), ModTime: u.times[name]}
	if !u.plain {
		v.Validator = digest.SHA256.Sum([]byte(data)).Hex()
	}
	if have.Validator != "" && have.Validator == v.Validator {
		return have, catalog.ErrUnchanged
	}
	if v.Size > most {
		return catalog.Version{}, fmt.Errorf("%s: more than %d bytes%w", name, most, answer{})
	}
	w, err := start()
	if err != nil {
		return catalog.Version{}, err
	}
	u.got = append(u.got, name)
	_, err = io.WriteString(w, data)
	return v, err
}

func (u *tree) Close() error {
	u.closed++
	return nil
}

// requests returns what was asked for, and what was sent, since the last call.
func (u *tree) requests() (asked, got []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	asked, got = u.asked, u.got
	u.asked, u.got = nil, nil
	slices.Sort(asked)
	slices.Sort(got)
	return asked, got
}

// release puts a repository's database with packages into the tree, and with
// .files. The word behind a colon says what is signed: "inline" or "beside".
func (u *tree) release(t testing.TB, repo string, ps ...string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	var entries []txtar.File
	for _, p := range ps {
		p, signed, _ := strings.Cut(p, ":")
		desc := treeDesc(p)
		switch signed {
		case "inline":
			desc += "%PGPSIG%\n" + base64.StdEncoding.EncodeToString([]byte(goodSignature(p))) + "\n\n"
		case "beside":
			u.files[treeDir(repo)+treeFile(p)+".sig"] = goodSignature(p)
		}
		entries = append(entries, txtar.File{Name: p + "/desc", Data: []byte(desc)})
	}
	db := database(t, entries)
	u.files[treeDir(repo)+repo+".db"], u.files[treeDir(repo)+repo+".files"] = db, db
}

// database is a database of the members that repo-add would put into it.
func database(t testing.TB, entries []txtar.File) string {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	tw := tar.NewWriter(z)
	for _, e := range entries {
		if err := tw.WriteHeader(&tar.Header{Name: e.Name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.Data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(e.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func treeDir(repo string) string { return repo + "/os/x86_64/" }
func treeFile(p string) string   { return p + "-any.pkg.tar.zst" }

func treeDesc(p string) string {
	parts := strings.SplitN(p, "-", 2)
	return fmt.Sprintf("%%FILENAME%%\n%s\n\n%%NAME%%\n%s\n\n%%VERSION%%\n%s\n\n%%CSIZE%%\n%d\n\n%%SHA256SUM%%\n%s\n\n",
		treeFile(p), parts[0], parts[1], len(p), digest.SHA256.Sum([]byte(p)).Hex())
}

// goodSignature is one that seal accepts of data.
func goodSignature(data string) string { return "\x89seal of " + data }

// A seal is a keyring: it accepts goodSignature.
type seal struct{}

var errSeal = errors.New("signed by nobody")

func (seal) Verify(data io.Reader, sig []byte) (string, error) {
	b, err := io.ReadAll(data)
	if err == nil && string(sig) != goodSignature(string(b)) {
		err = errSeal
	}
	return "", err
}

// newTree returns an upstream with two repositories, and the options of it.
func newTree(t testing.TB) (*tree, Options) {
	u := &tree{files: map[string]string{"lastupdate": "100\n"}, errs: make(map[string]error), times: make(map[string]time.Time)}
	u.release(t, "core", "a-1-1:beside", "b-1-1:inline")
	u.release(t, "extra", "a-1-1", "c-1-1")
	return u, Options{
		Options: pacman.Options{Name: "arch", Repos: []string{"core", "extra"}, Arches: []string{"x86_64"}, URLs: []string{treeBase}},
		State:   filepath.Join(t.TempDir(), "state"), Getter: u,
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	}
}

// scan scans as a run of the program does.
func scan(t testing.TB, o Options) (*Repository, *catalog.Scan) {
	t.Helper()
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := u.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return u, s
}

// names are the packages of the scan.
func names(s *catalog.Scan) (ns []string) {
	for _, d := range s.Distfiles {
		ns = append(ns, strings.TrimSuffix(string(d.Name), "-any.pkg.tar.zst"))
	}
	return ns
}

func problems(s *catalog.Scan) string {
	var lines []string
	for _, p := range s.Problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
