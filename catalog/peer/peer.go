// Package peer scans another archive of distkeep: its repository wants what that
// archive holds, and has it fetched from there by its digests.
//
// A scan asks for one small file. Where that says that there are newer generations,
// their files are read, see package feed, and the list of the last scan becomes that
// of the newest one. What a scan finds is therefore always one generation of the
// other archive, all of it, whatever happens to either side: without an answer, or
// with one that is not right, it is that of the last scan, and a problem.
//
// Begin reading at [Repository.Scan].
package peer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/feed"
)

// Options describe one archive.
type Options struct {
	// Name identifies it in owners and reports. It must be set.
	Name string
	// URL is that of its published tree, Dir the directory there that has the
	// generations, and ByCipher the path there of a content.
	URL, Dir string
	ByCipher func(sum digest.Digest, base string) string
	// Key, if set, is the key that must have signed what is shown, as
	// note.NewVerifier reads it.
	Key string
	// Getter obtains what is at URLs.
	Getter catalog.Getter
	// State is a directory of the repository's own, in which the list is kept from
	// run to run. It is made when it is missing.
	State string
	// Offline asks nobody: the list of the last run is scanned. Dry keeps nothing
	// of what is fetched.
	Offline, Dry bool
	// Room says whether need bytes more may be written to State. Nil means that
	// they always may.
	Room func(need int64) error
}

// A Repository is one archive. Its methods must not be called concurrently.
type Repository struct {
	o    Options
	keys note.Verifiers
}

// Open returns the archive. It reads nothing yet; its errors are about o.
func Open(o Options) (*Repository, error) {
	if _, err := catalog.ParseName(o.Name); err != nil {
		return nil, fmt.Errorf("the name of an archive: %w", err)
	}
	o.URL = strings.TrimRight(o.URL, "/")
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "file" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of an archive", catalog.Redact(o.URL))
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	r := &Repository{o: o}
	if o.Key != "" {
		v, err := note.NewVerifier(o.Key)
		if err != nil {
			return nil, fmt.Errorf("the key %q: %w", o.Key, err)
		}
		r.keys = note.VerifierList(v)
	}
	return r, nil
}

// Name returns Options.Name.
func (r *Repository) Name() string { return r.o.Name }

// Kind returns catalog.Archive.
func (r *Repository) Kind() catalog.Kind { return catalog.Archive }

// Scan asks for what is new. What cannot be had, or is not right, is a problem, and
// what the last scan knew is scanned. An error means that nothing is known.
func (r *Repository) Scan(ctx context.Context) (s *catalog.Scan, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("archive %s: %w", r.o.Name, err)
		}
	}()
	k, err := r.load()
	if err != nil {
		return nil, err
	}
	s = &catalog.Scan{Repo: r.o.Name, Kind: catalog.Archive}
	if !r.o.Offline {
		got, trouble := r.ask(ctx, k)
		if cerr := r.o.Getter.Close(); trouble == nil {
			trouble = cerr
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case trouble != nil:
			s.Problems = append(s.Problems, r.problem(trouble, k != nil))
		case got != nil:
			if err := r.keep(got); err != nil {
				return nil, err
			}
			k = got
		}
	}
	if k == nil {
		if len(s.Problems) == 0 {
			return nil, errors.New("nothing is known of it before a run has asked for it")
		}
		return s, nil
	}
	s.Timestamp, s.Packages = k.state.Time, len(k.state.List)
	for _, e := range k.state.List.Sorted() {
		s.Distfiles = append(s.Distfiles, r.distfile(e))
	}
	return s, nil
}

func (r *Repository) problem(trouble error, known bool) catalog.Problem {
	p := catalog.Problem{Repo: r.o.Name, Msg: fmt.Sprintf("%s: %v", catalog.Redact(r.o.URL), trouble)}
	if errors.Is(trouble, feed.ErrRewritten) {
		p.Msg += "; if its operator says that generations have begun anew, remove " + r.o.State
	}
	if known {
		p.Msg += "; the list of the last run is used"
	}
	return p
}

// ask returns what there is now. Nil is that old is still right.
func (r *Repository) ask(ctx context.Context, old *kept) (*kept, error) {
	var have catalog.Version
	var seen *feed.State
	if old != nil {
		if seen = &old.state; old.Key == r.o.Key {
			have = old.Version
		}
	}
	data, version, err := r.get(ctx, feed.LatestFile, have, feed.MaxLatest)
	if errors.Is(err, catalog.ErrUnchanged) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	latest, err := feed.ParseLatest(data, r.keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", feed.LatestFile, err)
	}
	state, err := feed.Follow(latest, seen, func(file string) ([]byte, error) {
		data, _, err := r.get(ctx, file, catalog.Version{}, feed.MaxFile)
		return data, err
	})
	if err != nil {
		return nil, err
	}
	k := &kept{Key: r.o.Key, state: *state}
	k.Version = version
	return k, nil
}

// get gets a file of the generations.
func (r *Repository) get(ctx context.Context, file string, have catalog.Version, most int64) ([]byte, catalog.Version, error) {
	var b bytes.Buffer
	v, err := r.o.Getter.Get(ctx, r.o.URL+"/"+r.o.Dir+"/"+file, have, most, func() (io.Writer, error) {
		b.Reset()
		return &b, nil
	})
	if err != nil && !errors.Is(err, catalog.ErrUnchanged) {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return b.Bytes(), v, err
}

// distfile makes a distfile of e.
func (r *Repository) distfile(e *feed.Entry) *catalog.Distfile {
	pkg, _, _ := strings.Cut(e.Owner, "::")
	if _, err := catalog.ParsePath(pkg); err != nil {
		pkg = r.o.Name
	}
	d := &catalog.Distfile{
		Name: e.Name, Unnamed: !e.Named, Size: e.Size, Digests: e.Digests, Kind: cmp.Or(e.Kind, catalog.Archive),
		Owners: []catalog.Owner{{Repo: r.o.Name, Package: pkg}},
	}
	u := url.URL{Path: r.o.ByCipher(e.Digests.Get(digest.SHA256), path.Base(string(e.Name)))}
	d.Sources = []catalog.Source{{URI: r.o.URL + "/" + u.EscapedPath()}}
	return d
}
