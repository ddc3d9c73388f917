package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/catalog"
	"distkeep/catalog/pacman"
	"distkeep/catalog/regular"
)

// isSignature reports whether b may be a detached OpenPGP signature: a packet
// (RFC 9580, section 4.2: the first bit is set) or its armored form.
func isSignature(b []byte) bool {
	return len(b) > 0 && b[0]&0x80 != 0 || bytes.HasPrefix(b, []byte("-----BEGIN PGP SIGNATURE-----"))
}

// A package without a signature is believed to have none for a day, and for
// twice as long each time, up to 32 days: repositories that sign nothing have
// thousands. Where the server just fails, it is for an hour.
const (
	unsignedPause = 24 * time.Hour
	softPause     = time.Hour
)

func (n unsigned) due(now time.Time) bool {
	pause := unsignedPause
	if n.Soft {
		pause = softPause
	}
	return now.Sub(n.Asked) >= pause<<max(0, min(n.Count-1, 5))
}

// signatures are those that were fetched because the databases have none, in a
// directory of files named by the digest of the package.
type signatures struct {
	dir  string
	have map[string]bool
}

const signatureSuffix = ".sig"

// openSignatures lists the signatures below dir.
func openSignatures(dir string) (*signatures, error) {
	s := &signatures{dir: filepath.Join(dir, "signatures"), have: make(map[string]bool)}
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	for _, e := range entries {
		if key, ok := strings.CutSuffix(e.Name(), signatureSuffix); ok {
			s.have[key] = true
		}
	}
	return s, err
}

func (s *signatures) path(key string) string { return filepath.Join(s.dir, key+signatureSuffix) }

// signatureKey is the name of a package's signature, or "" for a package whose
// content nobody can tell.
func signatureKey(p *pacman.Package) string {
	sum := p.Digests().Strongest()
	if sum.IsZero() {
		return ""
	}
	return sum.Alg.String() + "-" + sum.Hex()
}

// put keeps a signature.
func (s *signatures) put(key string, sig []byte) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	return regular.Write(s.path(key), sig, 0o644)
}

// keep removes the signatures that are not in use.
func (s *signatures) keep(used map[string]bool) error {
	for key := range s.have {
		if !used[key] {
			if err := os.Remove(s.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			delete(s.have, key)
		}
	}
	return nil
}

// fetchSignatures fetches the signatures of packages whose database has none.
// What the upstream has no signature for is noted; what cannot be had for
// another reason is a problem.
func (u *Repository) fetchSignatures(ctx context.Context) ([]catalog.Problem, error) {
	used := make(map[string]bool)
	type missing struct{ key, url, id string }
	var ms []missing
	for _, db := range u.dbs {
		l := db.Location()
		for i := range db.Packages {
			p := &db.Packages[i]
			key := signatureKey(p)
			if p.PGPSig != nil || key == "" || used[key] {
				continue
			}
			used[key] = true
			if !u.sigs.have[key] && !u.unsigned(key, l) {
				ms = append(ms, missing{key, l.URL(u.base(), string(p.Filename)+signatureSuffix), p.ID()})
			}
		}
	}
	if err := u.sigs.keep(used); err != nil {
		return nil, err
	}
	maps.DeleteFunc(u.state.Unsigned, func(key string, _ unsigned) bool { return !used[key] })
	var mu sync.Mutex
	var problems []catalog.Problem
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // as many as from any host
	for _, m := range ms {
		g.Go(func() error {
			sig, err := u.fetchSignature(gctx, m.url)
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, catalog.ErrRefused):
				u.state.noteUnsigned(m.key, u.o.Now(), errors.Is(err, catalog.ErrTrouble))
				return nil
			case err != nil:
				problems = append(problems, catalog.Problem{Repo: u.o.Name, Package: m.id, Scope: catalog.OnePackage, Msg: "signature: " + err.Error()})
				return nil
			}
			if err := u.o.Room(int64(len(sig))); err != nil {
				return err
			}
			delete(u.state.Unsigned, m.key)
			u.sigs.have[m.key] = true
			return u.sigs.put(m.key, sig)
		})
	}
	return problems, g.Wait()
}

// noteUnsigned notes that a package was asked for its signature in vain.
func (s *state) noteUnsigned(key string, now time.Time, soft bool) {
	n := unsigned{Asked: now.UTC().Truncate(time.Second), Count: 1, Soft: soft}
	if old := s.Unsigned[key]; old.Soft == soft {
		n.Count += old.Count
	}
	if s.Unsigned == nil {
		s.Unsigned = make(map[string]unsigned)
	}
	s.Unsigned[key] = n
}

// unsigned reports whether a package of l is known to have no signature, so
// that it need not be asked for.
func (u *Repository) unsigned(key string, l pacman.Location) bool {
	n, ok := u.state.Unsigned[key]
	if !ok || u.o.Keyring != nil && !u.signed[l.Path(".db")] {
		return false // without it the package is not published
	}
	return u.idle && !n.Soft || !n.due(u.o.Now())
}

func (u *Repository) fetchSignature(ctx context.Context, url string) ([]byte, error) {
	var buf bytes.Buffer
	_, err := u.o.Getter.Get(ctx, url, catalog.Version{}, pacman.MaxSignature, func() (io.Writer, error) {
		buf.Reset()
		return &buf, nil
	})
	if err == nil && !isSignature(buf.Bytes()) {
		err = errNoSignature
	}
	return buf.Bytes(), err
}

// refuse forgets a signature that is not one of its package, so that the next
// run asks for it again.
func (s *signatures) refuse(key string) error {
	if !s.have[key] {
		return nil
	}
	return os.Remove(s.path(key))
}
