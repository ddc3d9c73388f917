package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/gentoo"
	"distkeep/catalog/regular"
)

const gentooHelp = `A gentoo repository is the path of its tree. Two of one name are told apart by
--repo 'gentoo:PATH?name=NAME'. One that does not say in metadata/layout.conf
whether it has masters has the first --master-repo, or else the repository called
gentoo that --repo names, as portage takes the main repository.

`

// gentooFlags are the options of gentoo repositories.
type gentooFlags struct {
	masters, overrides, skip, exemptions *cli.StringSlice
	overridesFile, metadataCommand       string

	// What checkGentoo makes of them.
	resolvedOverrides     map[string][]string
	resolvedSkip, exempts []string
	byName                map[string]string // the paths of repositories
	// mainRepo is the master of a repository that does not say whether it has
	// one, or empty.
	mainRepo string
}

func newGentooFlags() gentooFlags {
	return gentooFlags{
		masters: cli.NewStringSlice(), overrides: cli.NewStringSlice(),
		skip: cli.NewStringSlice(), exemptions: cli.NewStringSlice(),
	}
}

func (r *repoFlags) gentooOptions() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "master-repo", Usage: "use the mirrors and categories of the gentoo repository `PATH` for those that name it as a master, without archiving it; repeatable, the first is the master of those that do not say whether they have one", Destination: r.masters},
		&cli.StringSliceFlag{Name: "mirror-override", Usage: "use `NAME=URL[,URL...]` for mirror://NAME/; repeatable", Destination: r.overrides},
		&cli.StringFlag{Name: "metadata-command", Usage: "for gentoo ebuilds that distkeep cannot work out, run `COMMAND`, once a run, which has to put a metadata cache of the tree $REPO, in the format of metadata/md5-cache, into the directory $CACHE", Destination: &r.metadataCommand},
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
	trees := slices.Clone(r.masters.Value())
	for _, p := range paths {
		s, err := parseGentoo(p)
		if err != nil {
			return usagef("--repo gentoo:%s: %w", p, err)
		}
		trees = append(trees, s.path)
	}
	for _, p := range trees {
		// A master is named by what it calls itself.
		g, err := gentoo.Open(p, gentoo.Options{})
		if err != nil {
			return err
		}
		if _, ok := r.byName[g.Name()]; !ok {
			r.byName[g.Name()] = p
		}
	}
	r.mainRepo = r.byName["gentoo"]
	if ms := r.masters.Value(); len(ms) > 0 {
		r.mainRepo = ms[0]
	}
	return nil
}

// A gentooSpec is what follows "gentoo:".
type gentooSpec struct{ path, name string }

// parseGentoo reads what follows "gentoo:".
func parseGentoo(text string) (s gentooSpec, err error) {
	where, q, err := splitSpec(text, "name")
	return gentooSpec{where, q.Get("name")}, err
}

// openGentoo opens one repository with the masters that are at hand. A master that
// is not only costs the mirror groups that it defines.
func (r *repoFlags) openGentoo(text string, w *opening) (catalog.Repository, error) {
	s, err := parseGentoo(text)
	if err != nil {
		return nil, usagef("--repo gentoo:%s: %w", text, err)
	}
	o := gentoo.Options{Name: s.name}
	g, err := gentoo.Open(s.path, o)
	if err != nil {
		return nil, err
	}
	o = gentoo.Options{Name: s.name, MirrorOverrides: r.resolvedOverrides, MirrorSkip: r.resolvedSkip, MirrorExemptions: r.exempts}
	o.Cache, o.ReadOnly = store.MetadataDir(w.state), w.offline || w.dry
	o.Stamps, o.Program, o.FullScan = store.StampsFile(w.state, g.Name()), programID(), w.full
	o.Room, o.Now = vault.Room(w.state, w.minFree), w.now
	if r.metadataCommand != "" && !o.ReadOnly {
		o.Generate = func(ctx context.Context, path string) (string, error) {
			return generate(ctx, r.metadataCommand, path, w.state)
		}
	}
	for _, p := range r.mastersOf(g) {
		if p != "" && filepath.Clean(p) != g.Path() {
			o.Masters = append(o.Masters, p)
		}
	}
	return gentoo.Open(s.path, o)
}

// mastersOf returns the paths of the masters of g, empty where one is not at hand.
func (r *repoFlags) mastersOf(g *gentoo.Repository) (paths []string) {
	names, said := g.Masters()
	if !said {
		return []string{r.mainRepo}
	}
	for _, m := range names {
		paths = append(paths, r.byName[m])
	}
	return paths
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

// generateTime bounds --metadata-command: egencache takes a quarter of an hour for
// the largest tree.
const generateTime = 30 * time.Minute

// generate has command make a metadata cache, in a directory that the next call
// empties.
func generate(ctx context.Context, command, path, state string) (string, error) {
	repo, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	cache, err := filepath.Abs(store.MadeDir(state))
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(cache); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, generateTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir = cache
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "HOME=" + cache, "LC_ALL=C", "REPO=" + repo, "CACHE=" + cache}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("--metadata-command: %w", err)
	}
	return cache, nil
}
