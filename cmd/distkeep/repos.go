package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/catalog"
	"distkeep/catalog/gentoo"
	"distkeep/catalog/openbsd"
)

// repoFlags say which repositories a run is about.
type repoFlags struct {
	repos, masters        *cli.StringSlice
	overrides, skip       *cli.StringSlice
	overridesFile         string
	exemptions            *cli.StringSlice
	resolvedOverrides     map[string][]string
	resolvedSkip, exempts []string

	dump, dumpCommand, portsDir string
	partial                     bool
	backupSites                 *cli.StringSlice

	keyring  string
	viewDirs map[string]string // directory to the pacman repository that has it
}

func newRepoFlags() *repoFlags {
	return &repoFlags{
		repos: cli.NewStringSlice(), masters: cli.NewStringSlice(),
		overrides: cli.NewStringSlice(), skip: cli.NewStringSlice(), exemptions: cli.NewStringSlice(),
		backupSites: cli.NewStringSlice(),
	}
}

func (r *repoFlags) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "repo", Usage: "archive what the repository `KIND:PATH` wants, such as gentoo:/var/db/repos/gentoo, or pacman:URL; repeatable, the first that wants a name decides its content", Destination: r.repos},
		&cli.StringFlag{Name: "keyring", Usage: "publish nothing of a pacman repository that is not signed by a key in `FILE`, which gpg --export wrote", Destination: &r.keyring},
		&cli.StringSliceFlag{Name: "master-repo", Usage: "use the mirrors and categories of the gentoo repository `PATH` for those that name it as a master, without archiving it; repeatable", Destination: r.masters},
		&cli.StringSliceFlag{Name: "mirror-override", Usage: "use `NAME=URL[,URL...]` for mirror://NAME/; repeatable", Destination: r.overrides},
		&cli.StringFlag{Name: "mirror-overrides", Usage: "read such overrides from `FILE`, in the format of thirdpartymirrors", Destination: &r.overridesFile},
		&cli.StringSliceFlag{Name: "mirror-skip", Usage: "never try the mirrors of `NAME[,NAME...]`; repeatable", Destination: r.skip},
		&cli.StringSliceFlag{Name: "restrict-mirror-exemptions", Usage: "RESTRICT=mirror does not hold for mirror://`NAME[,NAME...]`/; repeatable", Destination: r.exemptions},
		&cli.StringFlag{Name: "dump", Usage: "read the output of OpenBSD's make dump-vars from `FILE`, or - for standard input", Destination: &r.dump},
		&cli.StringFlag{Name: "dump-command", Usage: "run `COMMAND` in the ports tree for that output, such as \"make dump-vars DPB=Fetch BATCH=Yes REPORT_PROBLEM=:\"", Destination: &r.dumpCommand},
		&cli.StringFlag{Name: "ports-dir", Usage: "PORTSDIR as the dump spells it is `DIR`", Value: "/usr/ports", Destination: &r.portsDir},
		&cli.BoolFlag{Name: "partial", Usage: "the dump is of some ports only: nothing is scheduled or deleted, and history stays as it is", Destination: &r.partial},
		&cli.StringSliceFlag{Name: "backup-site", Usage: "ask the directory at `URL` by local name after all sites of a port; repeatable", Destination: r.backupSites},
	}
}

// A repoSpec is one --repo KIND:PATH.
type repoSpec struct {
	kind catalog.Kind
	path string
}

// open opens the repositories.
func (r *repoFlags) open(e *env, up *upstreams) ([]catalog.Repository, error) {
	specs, err := r.specs()
	if err != nil {
		return nil, err
	}
	if err := r.resolveMirrors(); err != nil {
		return nil, err
	}
	masters, err := r.gentooNames(specs)
	if err != nil {
		return nil, err
	}
	var repos []catalog.Repository
	names := make(map[string]string)
	for _, s := range specs {
		var repo catalog.Repository
		switch s.kind {
		case catalog.Gentoo:
			repo, err = r.gentoo(s.path, masters)
		case catalog.OpenBSD:
			repo, err = r.openbsd(s.path, e)
		case catalog.Pacman:
			repo, err = r.pacman(s.path, up)
		}
		if err != nil {
			return nil, err
		}
		if other, ok := names[repo.Name()]; ok {
			return nil, usagef("%s and %s are both named %s: a repository can be given once", other, s.path, repo.Name())
		}
		names[repo.Name()] = s.path
		repos = append(repos, repo)
	}
	return repos, nil
}

// specs parses the --repo options.
func (r *repoFlags) specs() (specs []repoSpec, err error) {
	ports := 0
	for _, s := range r.repos.Value() {
		kind, path, ok := strings.Cut(s, ":")
		if !ok || path == "" {
			return nil, usagef("--repo %q: write KIND:PATH, such as gentoo:/var/db/repos/gentoo", s)
		}
		switch catalog.Kind(kind) {
		case catalog.Gentoo, catalog.Pacman:
		case catalog.OpenBSD:
			ports++
		default:
			return nil, usagef("--repo %q: unknown kind %q: use gentoo, openbsd or pacman", s, kind)
		}
		specs = append(specs, repoSpec{catalog.Kind(kind), path})
	}
	switch {
	case len(specs) == 0:
		return nil, usagef("say what to archive: --repo KIND:PATH")
	case ports > 1:
		return nil, usagef("one openbsd repository a run: --dump and --dump-command are about one")
	case ports == 0 && (r.dump != "" || r.dumpCommand != "" || r.partial):
		return nil, usagef("--dump, --dump-command and --partial go with --repo openbsd:PATH")
	}
	return specs, nil
}

// gentooNames finds the gentoo repositories at hand by their names.
func (r *repoFlags) gentooNames(specs []repoSpec) (map[string]string, error) {
	paths := slices.Clone(r.masters.Value())
	for _, s := range specs {
		if s.kind == catalog.Gentoo {
			paths = append(paths, s.path)
		}
	}
	byName := make(map[string]string)
	for _, p := range paths {
		g, err := gentoo.Open(p, gentoo.Options{})
		if err != nil {
			return nil, err
		}
		if _, ok := byName[g.Name()]; !ok {
			byName[g.Name()] = p
		}
	}
	return byName, nil
}

// openbsd opens the ports tree.
func (r *repoFlags) openbsd(path string, e *env) (*openbsd.Repository, error) {
	if (r.dump == "") == (r.dumpCommand == "") {
		return nil, usagef("openbsd:%s: say where the output of make dump-vars is: --dump FILE or -, or --dump-command COMMAND", path)
	}
	return openbsd.Open(path, openbsd.Options{
		Dump: r.dump, Stdin: e.stdin, Command: strings.Fields(r.dumpCommand),
		Root: r.portsDir, Partial: r.partial, BackupSites: r.backupSites.Value(),
	})
}

// gentoo opens one repository with the masters that are at hand. A master that
// is not only costs the mirror groups that it defines.
func (r *repoFlags) gentoo(path string, byName map[string]string) (*gentoo.Repository, error) {
	g, err := gentoo.Open(path, gentoo.Options{})
	if err != nil {
		return nil, err
	}
	o := gentoo.Options{MirrorOverrides: r.resolvedOverrides, MirrorSkip: r.resolvedSkip, MirrorExemptions: r.exempts}
	for _, m := range g.Masters() {
		if p, ok := byName[m]; ok && filepath.Clean(p) != filepath.Clean(path) {
			o.Masters = append(o.Masters, p)
		}
	}
	return gentoo.Open(path, o)
}

func (r *repoFlags) resolveMirrors() error {
	r.resolvedOverrides = make(map[string][]string)
	if r.overridesFile != "" {
		f, err := os.Open(r.overridesFile)
		if err != nil {
			return usagef("--mirror-overrides: %w", err)
		}
		defer f.Close()
		if r.resolvedOverrides, err = gentoo.ParseMirrorOverrides(r.overridesFile, f); err != nil {
			return usageError{err}
		}
	}
	for _, s := range r.overrides.Value() {
		name, urls, ok := strings.Cut(s, "=")
		if !ok || name == "" || urls == "" {
			return usagef("--mirror-override %q: write NAME=URL[,URL...]", s)
		}
		parsed, err := gentoo.ParseMirrorOverrides("--mirror-override", strings.NewReader(name+" "+strings.ReplaceAll(urls, ",", " ")))
		if err != nil {
			return usageError{err}
		}
		for k, v := range parsed {
			r.resolvedOverrides[k] = v
		}
	}
	r.resolvedSkip = splitNames(r.skip.Value())
	r.exempts = splitNames(r.exemptions.Value())
	return nil
}

// splitNames splits lists at commas and blanks.
func splitNames(lists []string) (names []string) {
	for _, l := range lists {
		names = append(names, strings.FieldsFunc(l, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return names
}
