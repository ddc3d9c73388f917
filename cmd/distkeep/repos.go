package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/keyring"
	"distkeep/catalog/regular"
	"distkeep/fetch"
)

// A repoKind is a kind of repository that --repo knows.
type repoKind struct {
	kind catalog.Kind
	// flags are the options of the kind alone.
	flags func(r *repoFlags) []cli.Flag
	// check says what is wrong with the options, given what --repo has behind
	// the names of the kind, and prepares what open needs of all of them.
	check func(r *repoFlags, paths []string) error
	// open opens one repository. What it returns is scanned at most once, unless it
	// is a catalog.Stamped.
	open func(r *repoFlags, path string, o *opening) (catalog.Repository, error)
}

// repoKinds are all kinds, in the order in which messages name them.
var repoKinds = []repoKind{
	{catalog.Gentoo, (*repoFlags).gentooOptions, (*repoFlags).checkGentoo, (*repoFlags).openGentoo},
	{catalog.OpenBSD, (*repoFlags).openbsdOptions, (*repoFlags).checkOpenBSD, (*repoFlags).openOpenBSD},
	{catalog.Pacman, (*repoFlags).pacmanOptions, (*repoFlags).checkPacman, (*repoFlags).openPacman},
	{catalog.Sources, (*repoFlags).sourcesOptions, (*repoFlags).checkSources, (*repoFlags).openSources},
	{catalog.Archive, (*repoFlags).archiveOptions, (*repoFlags).checkArchive, (*repoFlags).openArchive},
}

// repoFlags say which repositories a run is about.
type repoFlags struct {
	repos, keyrings *cli.StringSlice
	// keys are those of the keyrings, or nil; keysID names their content.
	keys   *keyring.Keyring
	keysID string
	// viewDirs are the directories of the published tree that repositories
	// have to themselves, and their names.
	viewDirs map[string]string
	// trustKey is the file of the key that other archives must sign by.
	trustKey string
	gentooFlags
	openbsdFlags
}

func newRepoFlags() *repoFlags {
	return &repoFlags{repos: cli.NewStringSlice(), keyrings: cli.NewStringSlice(), viewDirs: make(map[string]string), gentooFlags: newGentooFlags(), openbsdFlags: newOpenBSDFlags()}
}

func (r *repoFlags) flags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "repo", Usage: "archive what the repository `KIND:PATH` wants, such as gentoo:/var/db/repos/gentoo, pacman:URL or sources:URL; repeatable, the first that wants a name decides its content", Destination: r.repos},
		&cli.StringSliceFlag{Name: "keyring", Usage: "publish nothing of a pacman repository, and believe no list of checksums, that is not signed by a key in `FILE`, which gpg --export or signify wrote; repeatable", Destination: r.keyrings},
	}
	for _, k := range repoKinds {
		flags = append(flags, k.flags(r)...)
	}
	return flags
}

// An opening is what opening repositories takes beside their options.
type opening struct {
	stdin io.Reader
	// state is the state directory of the archive.
	state string
	// fetch is how upstreams are asked.
	fetch fetch.Options
	// minFree is what must stay free in state.
	minFree int64
	// offline: nothing is asked; dry: nothing that comes is kept.
	offline, dry bool
	// full: everything is read.
	full bool
	now  func() time.Time
}

// A repoSpec is one --repo KIND:PATH.
type repoSpec struct {
	repoKind
	path string
}

// open opens the repositories.
func (r *repoFlags) open(o *opening) ([]catalog.Repository, error) {
	specs, err := r.specs()
	if err != nil {
		return nil, err
	}
	if err := r.loadKeyrings(o.now); err != nil {
		return nil, err
	}
	for _, k := range repoKinds {
		var paths []string
		for _, s := range specs {
			if s.kind == k.kind {
				paths = append(paths, s.path)
			}
		}
		if err := k.check(r, paths); err != nil {
			return nil, err
		}
	}
	var repos []catalog.Repository
	names := make(map[string]string)
	for _, s := range specs {
		repo, err := s.open(r, s.path, o)
		if err != nil {
			return nil, err
		}
		if other, ok := names[repo.Name()]; ok {
			return nil, usagef("%s and %s are both named %s: give one of them another name with name=NAME behind a ?", other, s.path, repo.Name())
		}
		names[repo.Name()] = s.path
		repos = append(repos, repo)
	}
	return repos, nil
}

// claim gives a directory of the published tree to the repository name, which
// --repo names as text.
func (r *repoFlags) claim(dir, name, text string) error {
	if layout.Reserved(catalog.Name(dir)) {
		return usagef("--repo %s: the archive needs the name %s itself: publish below another directory with at=DIR", text, dir)
	}
	if other, ok := r.viewDirs[dir]; ok && other != name {
		return usagef("--repo %s: %s publishes %s already: publish one of them below a directory of its own with at=DIR", text, other, dir)
	}
	r.viewDirs[dir] = name
	return nil
}

// specs parses the --repo options.
func (r *repoFlags) specs() (specs []repoSpec, err error) {
	for _, s := range r.repos.Value() {
		kind, path, ok := strings.Cut(s, ":")
		if !ok || path == "" {
			return nil, usagef("--repo %q: write KIND:PATH, such as gentoo:/var/db/repos/gentoo", s)
		}
		i := slices.IndexFunc(repoKinds, func(k repoKind) bool { return string(k.kind) == kind })
		if i < 0 {
			return nil, usagef("--repo %q: unknown kind %q: use %s", s, kind, kindNames())
		}
		specs = append(specs, repoSpec{repoKinds[i], path})
	}
	if len(specs) == 0 {
		return nil, usagef("say what to archive: --repo KIND:PATH")
	}
	return specs, nil
}

// splitSpec splits what follows the kind at its question mark. Behind that may be
// the keys, each once.
func splitSpec(text string, keys ...string) (where string, q url.Values, err error) {
	where, query, _ := strings.Cut(text, "?")
	if q, err = url.ParseQuery(query); err != nil {
		return where, q, fmt.Errorf("%q: %w", query, err)
	}
	for key, values := range q {
		switch {
		case !slices.Contains(keys, key):
			return where, q, fmt.Errorf("%q is not known behind the ?: use %s", key, joinWords(keys, "and"))
		case len(values) > 1:
			return where, q, fmt.Errorf("%s= is given twice", key)
		}
	}
	return where, q, nil
}

// joinWords lists words for a message.
func joinWords(words []string, last string) string {
	if len(words) == 1 {
		return words[0]
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}

// kindNames lists the kinds for a message.
func kindNames() string {
	var names []string
	for _, k := range repoKinds {
		names = append(names, string(k.kind))
	}
	return joinWords(names, "or")
}

// splitNames splits lists at commas and blanks.
func splitNames(lists []string) (names []string) {
	for _, l := range lists {
		names = append(names, strings.FieldsFunc(l, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return names
}

// loadKeyrings reads the files of --keyring.
func (r *repoFlags) loadKeyrings(now func() time.Time) error {
	hash := sha256.New()
	for _, file := range r.keyrings.Value() {
		f, err := regular.Open(file)
		if err != nil {
			return usagef("--keyring: %w", err)
		}
		defer f.Close()
		if r.keys == nil {
			r.keys = &keyring.Keyring{Now: now}
		}
		if err := r.keys.Add(file, io.TeeReader(f, hash)); err != nil {
			return usagef("--keyring: %w", err)
		}
	}
	r.keysID = hex.EncodeToString(hash.Sum(nil))
	return nil
}
