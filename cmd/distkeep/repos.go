package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/catalog"
	"distkeep/catalog/gentoo"
)

// repoFlags say which repositories a run is about.
type repoFlags struct {
	repos, masters        *cli.StringSlice
	overrides, skip       *cli.StringSlice
	overridesFile         string
	exemptions            *cli.StringSlice
	resolvedOverrides     map[string][]string
	resolvedSkip, exempts []string
}

func newRepoFlags() *repoFlags {
	return &repoFlags{
		repos: cli.NewStringSlice(), masters: cli.NewStringSlice(),
		overrides: cli.NewStringSlice(), skip: cli.NewStringSlice(), exemptions: cli.NewStringSlice(),
	}
}

func (r *repoFlags) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "repo", Usage: "archive what the repository `KIND:PATH` wants, such as gentoo:/var/db/repos/gentoo; repeatable, the first that wants a name decides its content", Destination: r.repos},
		&cli.StringSliceFlag{Name: "master-repo", Usage: "use the mirrors and categories of the gentoo repository `PATH` for those that name it as a master, without archiving it; repeatable", Destination: r.masters},
		&cli.StringSliceFlag{Name: "mirror-override", Usage: "use `NAME=URL[,URL...]` for mirror://NAME/; repeatable", Destination: r.overrides},
		&cli.StringFlag{Name: "mirror-overrides", Usage: "read such overrides from `FILE`, in the format of thirdpartymirrors", Destination: &r.overridesFile},
		&cli.StringSliceFlag{Name: "mirror-skip", Usage: "never try the mirrors of `NAME[,NAME...]`; repeatable", Destination: r.skip},
		&cli.StringSliceFlag{Name: "restrict-mirror-exemptions", Usage: "RESTRICT=mirror does not hold for mirror://`NAME[,NAME...]`/; repeatable", Destination: r.exemptions},
	}
}

// open opens the repositories.
func (r *repoFlags) open() ([]catalog.Repository, error) {
	if len(r.repos.Value()) == 0 {
		return nil, usagef("say what to archive: --repo KIND:PATH")
	}
	if err := r.resolveMirrors(); err != nil {
		return nil, err
	}
	byName := make(map[string]string)
	paths := append([]string(nil), r.masters.Value()...)
	var specs [][2]string
	for _, s := range r.repos.Value() {
		kind, path, ok := strings.Cut(s, ":")
		if !ok || path == "" {
			return nil, usagef("--repo %q: write KIND:PATH, such as gentoo:/var/db/repos/gentoo", s)
		}
		if catalog.Kind(kind) != catalog.Gentoo {
			return nil, usagef("--repo %q: unknown kind %q: use gentoo", s, kind)
		}
		specs = append(specs, [2]string{kind, path})
		paths = append(paths, path)
	}
	for _, p := range paths {
		g, err := gentoo.Open(p, gentoo.Options{})
		if err != nil {
			return nil, err
		}
		if _, ok := byName[g.Name()]; !ok {
			byName[g.Name()] = p
		}
	}
	var repos []catalog.Repository
	names := make(map[string]string)
	for _, s := range specs {
		g, err := r.gentoo(s[1], byName)
		if err != nil {
			return nil, err
		}
		if other, ok := names[g.Name()]; ok {
			return nil, usagef("%s and %s are both named %s: a repository can be given once", other, s[1], g.Name())
		}
		names[g.Name()] = s[1]
		repos = append(repos, g)
	}
	return repos, nil
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
