package main

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/sources"
)

const sourcesHelp = `A list of files is a repository as well: a file, a URL, or - for standard input.

   --repo 'sources:https://host/iso/SHA256SUMS'
   --repo 'sources:/srv/lists/company.jsonl?name=company'

Its kind is told by its name or its content:
   jsonl     a JSON object a line: {"name": "a-1.tar.gz", "size": 7,
             "digests": {"sha256": "..."}, "uris": ["https://host/a.tgz"],
             "owner": "a", "restrict": "mirror"}; only digests must be there.
             Others are sha512, blake2b, sha1, md5 and sri ("sha256-BASE64").
             Without a name a file is kept by its digest only
   nix       sources.json of Nix and of Guix
   sums      SHA256SUMS, SHA512SUMS, B2SUMS: as sha256sum or BSDs print them
   distinfo  that of FreeBSD and of pkgsrc; a directory of them, as a tree
   homebrew  formula.json
   opam      opam files; a directory of them, such as opam-repository
   conan     conandata.yml; a directory of them, such as conan-center-index
Behind the question mark are
   kind=KIND   one of these
   base=URL    the directory with the files of a list that has no URIs; that
               of the list, if it is a URL
   name=NAME   what owners and reports call it; the file name if not given
   at=DIR      publish sums, and the files, in a directory of their own, too
   signed=no   do without the signature that --keyring asks of sums

`

// A sourcesSpec is what follows "sources:".
type sourcesSpec struct {
	path, name, kind, base, at string
	unsigned                   bool
}

// parseSources reads what follows "sources:".
func parseSources(text string) (s sourcesSpec, err error) {
	where, q, err := splitSpec(text, "kind", "base", "name", "at", "signed")
	if err != nil {
		return s, err
	}
	s = sourcesSpec{path: where, name: q.Get("name"), kind: q.Get("kind"), base: strings.TrimRight(q.Get("base"), "/"), at: strings.Trim(q.Get("at"), "/")}
	switch q.Get("signed") {
	case "no":
		s.unsigned = true
	case "", "yes":
	default:
		return s, fmt.Errorf("signed=%s: write signed=no or signed=yes", q.Get("signed"))
	}
	switch {
	case s.path == "":
		return s, fmt.Errorf("the file or URL is missing")
	case s.name == "" && s.path == "-":
		s.name = "stdin"
	case s.name == "":
		s.name = path.Base(filepath.ToSlash(s.path))
	}
	return s, nil
}

func (r *repoFlags) sourcesOptions() []cli.Flag { return nil }

func (r *repoFlags) checkSources(paths []string) error {
	stdin := r.stdins
	for _, p := range paths {
		if where, _, _ := strings.Cut(p, "?"); where == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return usagef("standard input can be read once: give one - only")
	}
	return nil
}

// openSources opens a list.
func (r *repoFlags) openSources(text string, op *opening) (catalog.Repository, error) {
	s, err := parseSources(text)
	if err != nil {
		return nil, usagef("--repo sources:%s: %w", text, err)
	}
	o := sources.Options{
		Name: s.name, Path: s.path, Stdin: op.stdin, Kind: s.kind, Base: s.base, At: s.at, Now: op.now,
		Unsigned: s.unsigned, Keyring: r.keys, State: store.SourcesDir(op.state, s.name),
		Offline: op.offline, Dry: op.dry, Room: vault.Room(op.state, op.minFree),
	}
	if s.at != "" {
		if err := r.claim(s.at, s.name, "sources:"+text); err != nil {
			return nil, err
		}
	}
	if o.Getter, err = newGetter(op.fetch); err != nil {
		return nil, err
	}
	l, err := sources.Open(o)
	if err != nil {
		return nil, usageError{err}
	}
	return l, nil
}
