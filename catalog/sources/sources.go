// Package sources reads lists of files that anybody can write, or that exist
// already: JSON Lines, the sources.json of Nix and Guix, checksums as ISO
// mirrors have them, BSD distinfo, and what Homebrew, opam and Conan know of
// their sources.
//
// A list is a file, a URL, standard input, or, for kinds that have one file a
// package, a directory of them. Every kind becomes the same entries: a name, or
// none when packages ask by content only, a size if it is known, digests, and
// URIs. An entry that cannot be understood is a problem of its own; the others
// go on. What a kind leaves out on purpose is counted in a note.
//
// Lists are hostile: their size, entries, URIs and contents of one name are
// bounded, and everything is linear in them. Begin with [Repository.Scan]; the
// kinds are in the table in kind.go.
package sources

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/keyring"
)

// Options describe one list.
type Options struct {
	// Name identifies the list in owners and reports. It must be set.
	Name string
	// Path is the list: a URL, "-" for Stdin, or a path.
	Path  string
	Stdin io.Reader
	// Kind is the name of the format; empty means that the name of the list,
	// or else its content, tells. See Kinds.
	Kind string
	// Base is the URL of the directory that has the files of a list without
	// URIs. Empty means that of the list, if that is a URL.
	Base string
	// At, if set, is a directory of the published tree that gets the files of
	// checksums as well, with the list beside them: a copy of the directory
	// that the list is of.
	At string
	// Unsigned accepts checksums without a signature although there is a
	// Keyring.
	Unsigned bool
	// Keyring checks the signatures of checksums; nil means that none is
	// checked.
	Keyring *keyring.Keyring
	// Getter obtains what is at URLs.
	Getter catalog.Getter
	// State is a directory of the list's own, in which it is kept from run to
	// run if it is a URL. It is made when it is missing.
	State string
	// Offline asks nobody: the list of the last run is scanned. Dry keeps
	// nothing of what is fetched.
	Offline, Dry bool
	// Room says whether need bytes more may be written to State. Nil means
	// that they always may.
	Room func(need int64) error
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// A Repository is one list. It implements catalog.Viewer. Its methods must not
// be called concurrently.
type Repository struct {
	o    Options
	url  bool
	kind *kind // nil when the list has to tell
	view *catalog.View
}

var _ catalog.Viewer = (*Repository)(nil)

// Open returns the list. It reads nothing yet; its errors are about o.
func Open(o Options) (*Repository, error) {
	r := &Repository{o: o, url: strings.Contains(o.Path, "://")}
	wrong := func(format string, args ...any) (*Repository, error) {
		return nil, fmt.Errorf("list "+o.Name+": "+format, args...)
	}
	if _, err := catalog.ParseName(o.Name); err != nil {
		return nil, fmt.Errorf("the name of a list: %w", err)
	}
	if o.Kind != "" {
		if r.kind = kindNamed(o.Kind); r.kind == nil {
			return wrong("unknown kind %q: use %s", o.Kind, strings.Join(Kinds(), ", "))
		}
	}
	if r.url && o.Base == "" {
		i := strings.LastIndexByte(o.Path, '/')
		r.o.Base = o.Path[:i]
	}
	if r.o.Base != "" {
		u, err := url.Parse(r.o.Base)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "file" || u.RawQuery != "" || u.Fragment != "" {
			return wrong("%q is not the URL of a directory", catalog.Redact(r.o.Base))
		}
	}
	if _, err := catalog.ParsePath(o.At); o.At != "" && err != nil {
		return wrong("it cannot be published in %q: %w", o.At, err)
	}
	if o.Now == nil {
		r.o.Now = time.Now
	}
	if !r.url && o.Path != "-" {
		abs, err := filepath.Abs(o.Path)
		if err != nil {
			return nil, err
		}
		r.o.Path = abs
	}
	if o.Room == nil {
		r.o.Room = func(int64) error { return nil }
	}
	return r, nil
}

// Name returns Options.Name.
func (r *Repository) Name() string { return r.o.Name }

// Kind returns catalog.Sources.
func (r *Repository) Kind() catalog.Kind { return catalog.Sources }

// Scan reads the list. What is wrong with single entries is a problem. So is a
// URL that cannot be had, or a signature that is not right: the list of the
// last run is scanned then, if there is one. An error means that there is no
// list, or that it is none of a known kind.
func (r *Repository) Scan(ctx context.Context) (s *catalog.Scan, err error) {
	c := &collector{repo: r.o.Name, base: strings.TrimRight(r.o.Base, "/")}
	r.view = nil
	switch {
	case r.url:
		err = r.scanURL(ctx, c)
	case r.o.Path == "-":
		err = r.scanStdin(c)
	default:
		err = r.scanPath(ctx, c)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", r.o.Name, err)
	}
	return c.scan(), nil
}

// A text is a list as it was obtained.
type text struct {
	file string // for messages
	// path is slash-separated; its components may tell the owner.
	path string
	data []byte
	// sig is the signature beside it, whose name ends in suffix, or nil.
	sig    []byte
	suffix string
	// modTime is zero when it is not known.
	modTime time.Time
}

// plainText is a list without what its signature is of.
func plainText(file string, data []byte) *text {
	if in := keyring.FindInline(data); in != nil {
		data = in.Message
	}
	return &text{file: file, path: shortPath(file), data: data}
}

// read adds the entries of t, and prepares the directory that gets it.
func (r *Repository) read(t *text, c *collector) error {
	whole := *t
	if in := keyring.FindInline(t.data); in != nil {
		t.data = in.Message
	}
	k := r.kind
	if k == nil {
		if k = kindOf(path.Base(t.path), t.data); k == nil {
			return fmt.Errorf("%s is of no kind that is known: say which with kind=%s", t.file, strings.Join(Kinds(), "|"))
		}
	}
	if err := k.parse(&parser{text: t, collector: c}); err != nil || r.o.At == "" {
		return err
	}
	if !k.signed {
		return fmt.Errorf("%s is of kind %s: only checksums have a directory, at=%s", t.file, k.name, r.o.At)
	}
	return r.makeView(&whole, c)
}

func (r *Repository) scanStdin(c *collector) error {
	data, err := readAll(r.o.Stdin)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	t := &text{file: "standard input", path: "-", data: data}
	if err := r.verify(t); err != nil {
		return err
	}
	return r.read(t, c)
}

// maxList bounds a list: those of Nix and Homebrew have some 30 MB.
const maxList = 128 << 20

var errLarge = fmt.Errorf("larger than %d bytes", maxList)

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxList+1))
	if err == nil && len(data) > maxList {
		err = errLarge
	}
	return data, err
}

// besides reports whether what is beside t is of interest.
func (r *Repository) besides(t *text) bool { return r.o.At != "" || r.signed(t) }

// signed reports whether t must be signed.
func (r *Repository) signed(t *text) bool {
	if r.o.Keyring == nil || r.o.Unsigned {
		return false
	}
	k := cmp.Or(r.kind, kindOf(path.Base(t.path), t.data))
	return k != nil && k.signed || keyring.FindInline(t.data) != nil
}

var errUnsigned = errors.New("there is no signature, and --keyring was given (signed=no does without)")

// verify checks the signature of t, if it must be signed: the one that it came
// with, or the one beside it, which may have the list in it as well.
func (r *Repository) verify(t *text) error {
	if !r.signed(t) {
		return nil
	}
	var err error
	in, beside := keyring.FindInline(t.data), keyring.FindInline(t.sig)
	switch {
	case in != nil:
		_, err = r.o.Keyring.VerifyInline(in)
	case beside != nil && !slices.Equal(beside.Message, t.data):
		err = errors.New("its signature is of another list")
	case beside != nil:
		_, err = r.o.Keyring.VerifyInline(beside)
	case t.sig == nil:
		err = errUnsigned
	default:
		_, err = r.o.Keyring.Verify(strings.NewReader(string(t.data)), t.sig)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	return nil
}

// signatureSuffixes are what the signature of a list has behind its name.
var signatureSuffixes = []string{".asc", ".sig", ".gpg", ".sign"}

// maxSignature bounds a signature, which may have the list in it.
const maxSignature = 16 << 20
