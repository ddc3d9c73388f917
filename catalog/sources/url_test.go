package sources

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/keyring"
)

// A site is an upstream in memory: a Getter of files by their URL.
type site struct {
	files  map[string]string
	errs   map[string]error
	asked  []string
	closed int
}

var _ catalog.Getter = (*site)(nil)

func (s *site) Get(_ context.Context, url string, have catalog.Version, most int64, start func() (io.Writer, error)) (catalog.Version, error) {
	s.asked = append(s.asked, url)
	data, ok := s.files[url]
	if err := s.errs[url]; err != nil {
		return catalog.Version{}, err
	}
	if !ok {
		return catalog.Version{}, fmt.Errorf("%s: %w: %w", catalog.Redact(url), catalog.ErrRefused, fs.ErrNotExist)
	}
	v := catalog.Version{Size: int64(len(data)), Validator: digest.SHA256.Sum([]byte(data)).Hex()}
	if have.Validator == v.Validator {
		return have, catalog.ErrUnchanged
	}
	if v.Size > most {
		return catalog.Version{}, fmt.Errorf("%w: too large", catalog.ErrRefused)
	}
	w, err := start()
	if err == nil {
		_, err = io.WriteString(w, data)
	}
	return v, err
}

func (s *site) Close() error {
	s.closed++
	return nil
}

const listURL = "http://h.example/iso/SHA256SUMS"

// sums is a list of the files named.
func sums(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s  %s\n", digest.SHA256.Sum([]byte(n)).Hex(), n)
	}
	return b.String()
}

// scan scans as a run of the program does and returns the names and the problems.
func scan(t *testing.T, o Options) (names, problems string) {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Scan(t.Context())
	if err != nil {
		return "", "error: " + err.Error()
	}
	var ns, ps []string
	for _, d := range s.Distfiles {
		if len(d.Sources) != 1 || d.Sources[0].URI != "http://h.example/iso/"+string(d.Name) {
			t.Errorf("%s is at %v", d.Name, d.Sources)
		}
		ns = append(ns, string(d.Name))
	}
	for _, p := range s.Problems {
		ps = append(ps, p.Error())
	}
	return strings.Join(ns, " "), strings.Join(ps, "\n")
}

func newSite(t *testing.T) (*site, Options) {
	s := &site{files: map[string]string{listURL: sums("a", "b")}, errs: make(map[string]error)}
	return s, Options{Name: "iso", Path: listURL, Getter: s, State: filepath.Join(t.TempDir(), "state")}
}

// TestURL: whatever is wrong with a list at a URL, that of the last run stays in
// use.
func TestURL(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	for name, tc := range map[string]struct {
		change   func(s *site, o *Options)
		names    string
		problems string
	}{
		"unchanged":   {func(*site, *Options) {}, "a b", ""},
		"changed":     {func(s *site, _ *Options) { s.files[listURL] = sums("b", "c") }, "b c", ""},
		"gone":        {func(s *site, _ *Options) { delete(s.files, listURL) }, "a b", "file does not exist; the list of the last run is used"},
		"lost":        {func(s *site, _ *Options) { s.errs[listURL] = lost }, "a b", "connection lost; the list of the last run is used"},
		"page":        {func(s *site, _ *Options) { s.files[listURL] = "<html>" }, "a b", "there is no checksum in it; the list of the last run is used"},
		"empty":       {func(s *site, _ *Options) { s.files[listURL] = "" }, "a b", "there is no checksum in it; the list of the last run is used"},
		"offline":     {func(s *site, o *Options) { o.Offline, s.files[listURL] = true, sums("c") }, "a b", ""},
		"dry":         {func(s *site, o *Options) { o.Dry, s.files[listURL] = true, sums("c") }, "c", ""},
		"another URL": {func(s *site, o *Options) { o.Path = "http://h.example/iso/sha256sums.txt"; s.files[o.Path] = sums("c") }, "c", ""},
		"another URL, gone": {func(_ *site, o *Options) { o.Path = "http://h.example/iso/sha256sums.txt" },
			"", "file does not exist"},
		"no room": {func(s *site, o *Options) {
			s.files[listURL] = sums("c")
			o.Room = func(int64) error { return errors.New("too little room") }
		}, "", "error: list iso: too little room"},
		"damaged state": {func(_ *site, o *Options) {
			if err := os.WriteFile(filepath.Join(o.State, "list"), []byte("{}\nx"), 0o644); err != nil {
				t.Error(err)
			}
		}, "", "is damaged: remove it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := newSite(t)
			if names, problems := scan(t, o); names != "a b" || problems != "" || s.closed != 1 {
				t.Fatalf("at first: %q, %q, closed %d times", names, problems, s.closed)
			}
			tc.change(s, &o)
			names, problems := scan(t, o)
			if names != tc.names || tc.problems == "" && problems != "" || !strings.Contains(problems, tc.problems) {
				t.Errorf("names %q, problems %q", names, problems)
			}
			if tc.problems != "" || o.Path != listURL || o.Dry {
				return
			}
			s.asked, s.errs[listURL] = nil, lost
			if again, _ := scan(t, o); again != names {
				t.Errorf("names later: %q, want %q", again, names)
			}
		})
	}
	s, o := newSite(t)
	o.Path, o.Base = "http://user:secret@h.example/iso/SHA256SUMS", "http://h.example/iso"
	s.files[o.Path] = sums("a") + "x\n"
	if names, problems := scan(t, o); names != "a" || !strings.Contains(problems, "is no checksum") {
		t.Errorf("with a password: %q, %q", names, problems)
	}
	if state, err := os.ReadFile(filepath.Join(o.State, "list")); err != nil || strings.Contains(string(state), "secret") {
		t.Errorf("the state tells the password: %v", err)
	}
	delete(s.files, o.Path)
	if names, problems := scan(t, o); names != "a" || strings.Contains(problems, "secret") {
		t.Errorf("with a password, gone: %q, %q", names, problems)
	}
	_, o = newSite(t)
	o.Offline = true
	if _, problems := scan(t, o); !strings.Contains(problems, "nothing is known of it before a run has asked for it") {
		t.Errorf("offline at first: %q", problems)
	}
}

// TestSigned: with a keyring checksums count when they are signed, beside the
// list or in it.
func TestSigned(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	line := func(value []byte) string {
		return "untrusted comment: test\n" + base64.StdEncoding.EncodeToString(append([]byte("Ed12345678"), value...)) + "\n"
	}
	ring, err := keyring.Load("key.pub", strings.NewReader(line(key.Public().(ed25519.PublicKey))))
	if err != nil {
		t.Fatal(err)
	}
	list := sums("a", "b")
	sign := func(text string) string { return line(ed25519.Sign(key, []byte(text))) }
	for name, tc := range map[string]struct {
		files    map[string]string // by what follows the URL
		unsigned bool
		names    string
		problems string
	}{
		"beside":                {map[string]string{"": list, ".sig": sign(list)}, false, "a b", ""},
		"beside, another name":  {map[string]string{"": list, ".asc": sign(list)}, false, "a b", ""},
		"in it":                 {map[string]string{"": sign(list) + list}, false, "a b", ""},
		"in it, changed":        {map[string]string{"": sign(list) + list + sums("c")}, false, "", "bad signature"},
		"beside, with the list": {map[string]string{"": list, ".sig": sign(list) + list}, false, "a b", ""},
		"beside, with another list": {map[string]string{"": list, ".sig": sign(sums("c")) + sums("c")}, false,
			"", "its signature is of another list"},
		"of another list": {map[string]string{"": list, ".sig": sign(sums("c"))}, false, "", "bad signature"},
		"a page":          {map[string]string{"": list, ".sig": "<html>"}, false, "", "bad signature"},
		"none":            {map[string]string{"": list}, false, "", "there is no signature, and --keyring was given (signed=no does without)"},
		"none, allowed":   {map[string]string{"": list}, true, "a b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := newSite(t)
			o.Keyring, o.Unsigned = ring, tc.unsigned
			for ext, text := range tc.files {
				s.files[listURL+ext] = text
			}
			names, problems := scan(t, o)
			if names != tc.names || tc.problems == "" && problems != "" || !strings.Contains(problems, tc.problems) {
				t.Errorf("names %q, problems %q", names, problems)
			}
			if tc.unsigned && slices.Contains(s.asked, listURL+".sig") {
				t.Errorf("asked %q", s.asked)
			}
			// What was kept counts for this keyring only.
			again, _ := scan(t, o)
			o.Keyring, s.asked = new(keyring.Keyring), nil
			other, problems := scan(t, o)
			if again != tc.names || (other == "") != !tc.unsigned || !tc.unsigned && problems == "" {
				t.Errorf("names later %q, by another keyring %q, %q", again, other, problems)
			}

			// The same in a directory of this machine.
			dir := t.TempDir()
			for ext, text := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"+ext), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			o.Keyring, o.Path, o.Base = ring, filepath.Join(dir, "SHA256SUMS"), "http://h.example/iso"
			if names, problems = scan(t, o); names != tc.names || !strings.Contains(problems, tc.problems) {
				t.Errorf("a file: names %q, problems %q", names, problems)
			}
		})
	}
	o := Options{Name: "x", Path: "-", Stdin: bytes.NewReader([]byte(sign(list) + list)), Keyring: ring, Base: "http://h.example/iso"}
	if names, problems := scan(t, o); names != "a b" || problems != "" {
		t.Errorf("standard input: %q, %q", names, problems)
	}
}
