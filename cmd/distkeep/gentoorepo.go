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

	"distkeep/catalog"
	"distkeep/catalog/gentoo"
	"distkeep/catalog/regular"
)

// gentooFlags are the options of gentoo repositories.
type gentooFlags struct {
	masters, overrides, skip, exemptions *cli.StringSlice
	overridesFile, metadataCommand       string

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
	if r.metadataCommand != "" && !o.ReadOnly {
		o.Generate = func(ctx context.Context, path string) (string, error) {
			return generate(ctx, r.metadataCommand, path, w.state)
		}
	}
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
	cache, err := filepath.Abs(filepath.Join(state, "metadata", ".made"))
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
