package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/catalog"
	"distkeep/catalog/gentoo"
	"distkeep/catalog/regular"
)

// gentooFlags are the options of gentoo repositories.
type gentooFlags struct {
	masters, overrides, skip, exemptions *cli.StringSlice
	overridesFile                        string

	// What checkGentoo makes of them.
	resolvedOverrides     map[string][]string
	resolvedSkip, exempts []string
	byName                map[string]string // the paths of repositories
}

func newGentooFlags() gentooFlags {
	return gentooFlags{
		masters: cli.NewStringSlice(), overrides: cli.NewStringSlice(),
		skip: cli.NewStringSlice(), exemptions: cli.NewStringSlice(),
	}
}

func (r *repoFlags) gentooOptions() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "master-repo", Usage: "use the mirrors and categories of the gentoo repository `PATH` for those that name it as a master, without archiving it; repeatable", Destination: r.masters},
		&cli.StringSliceFlag{Name: "mirror-override", Usage: "use `NAME=URL[,URL...]` for mirror://NAME/; repeatable", Destination: r.overrides},
		&cli.StringFlag{Name: "mirror-overrides", Usage: "read such overrides from `FILE`, in the format of thirdpartymirrors", Destination: &r.overridesFile},
		&cli.StringSliceFlag{Name: "mirror-skip", Usage: "never try the mirrors of `NAME[,NAME...]`; repeatable", Destination: r.skip},
		&cli.StringSliceFlag{Name: "restrict-mirror-exemptions", Usage: "RESTRICT=mirror does not hold for mirror://`NAME[,NAME...]`/; repeatable", Destination: r.exemptions},
	}
}

// checkGentoo resolves the options about mirrors, and finds the repositories
// at hand by their names.
func (r *repoFlags) checkGentoo(paths []string) error {
	if err := r.resolveMirrors(); err != nil {
		return err
	}
	r.byName = make(map[string]string)
	for _, p := range slices.Concat(r.masters.Value(), paths) {
		g, err := gentoo.Open(p, gentoo.Options{})
		if err != nil {
			return err
		}
		if _, ok := r.byName[g.Name()]; !ok {
			r.byName[g.Name()] = p
		}
	}
	return nil
}

// openGentoo opens one repository with the masters that are at hand. A master that
// is not only costs the mirror groups that it defines.
func (r *repoFlags) openGentoo(path string, w *opening) (catalog.Repository, error) {
	g, err := gentoo.Open(path, gentoo.Options{})
	if err != nil {
		return nil, err
	}
	o := gentoo.Options{MirrorOverrides: r.resolvedOverrides, MirrorSkip: r.resolvedSkip, MirrorExemptions: r.exempts}
	o.Cache, o.ReadOnly = filepath.Join(w.state, "metadata"), w.offline || w.dry
	for _, m := range g.Masters() {
		if p, ok := r.byName[m]; ok && filepath.Clean(p) != filepath.Clean(path) {
			o.Masters = append(o.Masters, p)
		}
	}
	return gentoo.Open(path, o)
}

func (r *repoFlags) resolveMirrors() error {
	r.resolvedOverrides = make(map[string][]string)
	if r.overridesFile != "" {
		f, err := regular.Open(r.overridesFile)
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
