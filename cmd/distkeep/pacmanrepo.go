package main

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/pacman"
	pacmanupstream "distkeep/catalog/pacman/upstream"
)

const pacmanHelp = `A pacman repository is named by the URL that pacman.conf has for it, or by the
path of a mirror on this machine, and by what is in it:

   --repo 'pacman:https://host/$repo/os/$arch?repo=core,extra&arch=x86_64'

Behind the question mark are
   repo=A[,B...]   the repositories, in the order of pacman.conf
   arch=A[,B...]   the architectures; x86_64 if not given
   name=NAME       what owners and reports call it; that of at=, or pacman
   at=DIR          publish it below DIR, so that several upstreams have room
   dir=TEMPLATE    what follows the URL, if that has no $; $repo/os/$arch
   not=A/B[,...]   no such repository and architecture, as multilib/i686
   pool=NAME       keep packages in pool/NAME, and links to them elsewhere
   files=no        leave out the .files and .links databases
   dbsig=no        leave out the .db.sig
The directories are served as they are: Server = http://this-host/$repo/os/$arch.

`

func (r *repoFlags) pacmanOptions() []cli.Flag { return nil }

func (r *repoFlags) checkPacman([]string) error { return nil }

// A pacmanSpec is what follows "pacman:".
type pacmanSpec struct {
	base     string
	template string
	name, at string
	pool     string
	repos    []string
	arches   []string
	not      []string
	noFiles  bool
	noDBSig  bool
}

// parsePacman reads what follows "pacman:".
func parsePacman(text string) (s pacmanSpec, err error) {
	where, query, _ := strings.Cut(text, "?")
	dir, base := "", where
	if i := strings.IndexByte(where, '$'); i >= 0 {
		if i = strings.LastIndexByte(where[:i], '/'); i < 0 {
			return s, fmt.Errorf("%q has nothing before the first variable", where)
		}
		base, dir = where[:i], where[i+1:]
	}
	if s.base, err = baseURL(base); err != nil {
		return s, err
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return s, fmt.Errorf("%q: %w", query, err)
	}
	list := func(key string) []string { return splitNames(q[key]) }
	for key, values := range q {
		switch {
		case !slices.Contains([]string{"repo", "arch", "not", "name", "at", "dir", "pool", "files", "dbsig"}, key):
			return s, fmt.Errorf("%q is not known behind the ?: use repo, arch, not, name, at, dir, pool, files and dbsig", key)
		case len(values) > 1 && key != "repo" && key != "arch" && key != "not":
			return s, fmt.Errorf("%s= is given twice", key)
		}
	}
	s.repos, s.arches, s.not = list("repo"), list("arch"), list("not")
	s.at = strings.Trim(q.Get("at"), "/")
	s.name, s.template, s.pool = q.Get("name"), q.Get("dir"), q.Get("pool")
	switch {
	case len(s.repos) == 0:
		return s, errors.New("say which repositories: ?repo=core,extra")
	case dir != "" && s.template != "":
		return s, errors.New("dir= goes with a URL that has no $")
	}
	for key, no := range map[string]*bool{"files": &s.noFiles, "dbsig": &s.noDBSig} {
		if *no = q.Get(key) == "no"; !*no && q.Has(key) && q.Get(key) != "yes" {
			return s, fmt.Errorf("%s=%s: write %s=no or %s=yes", key, q.Get(key), key, key)
		}
	}
	if dir != "" {
		s.template = strings.TrimRight(dir, "/")
	}
	if s.template == "" {
		s.template = pacman.DefaultTemplate
	}
	if len(s.arches) == 0 && strings.Contains(s.template, "$arch") {
		s.arches = []string{"x86_64"}
	}
	if s.name == "" {
		if s.name = path.Base(s.at); s.at == "" {
			s.name = "pacman"
		}
	}
	if _, err := catalog.ParseName(s.name); err != nil {
		return s, fmt.Errorf("name=%s: %w", s.name, err)
	}
	return s, nil
}

// baseURL makes a URL of a path.
func baseURL(s string) (string, error) {
	if strings.Contains(s, "://") {
		return strings.TrimRight(s, "/"), nil
	}
	if s == "" {
		return "", errors.New("the URL or path is missing")
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: abs}).String(), nil
}

// openPacman opens the repositories of one pacman upstream.
func (r *repoFlags) openPacman(text string, op *opening) (catalog.Repository, error) {
	s, err := parsePacman(text)
	if err != nil {
		return nil, usagef("--repo pacman:%s: %w", text, err)
	}
	if strings.HasPrefix(s.base, "file:") && !op.offline && !slices.Contains(op.fetch.Schemes, "file") {
		return nil, usagef("--repo pacman:%s: packages of this machine are taken by file: URLs: say --allow-scheme file as well", text)
	}
	o := pacmanupstream.Options{
		Options: pacman.Options{Name: s.name, Repos: s.repos, Arches: s.arches, Not: s.not, Template: s.template, URLs: []string{s.base}},
		State:   store.PacmanDir(op.state, s.name), At: s.at, Pool: s.pool, NoFiles: s.noFiles, NoDatabaseSignature: s.noDBSig,
		Offline: op.offline, Dry: op.dry, Now: op.now, Room: vault.Room(op.state, op.minFree),
	}
	if k := r.keys; k != nil {
		o.Keyring, o.KeyringID = k, r.keysID
	}
	if o.Getter, err = newGetter(op.fetch); err != nil {
		return nil, err
	}
	u, err := pacmanupstream.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	for _, dir := range u.Dirs() {
		if err := r.claim(dir, s.name, "pacman:"+text); err != nil {
			return nil, err
		}
	}
	return u, nil
}
