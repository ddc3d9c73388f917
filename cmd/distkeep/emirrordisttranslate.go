package main

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/gentoo"
	"distkeep/catalog/gentoo/portage"
)

// An oldRun is a command line of emirrordist, with what it means here.
type oldRun struct {
	*oldArgs
	// distfiles and state are where the archive is.
	distfiles, state string
	// repo is the path of the repository, masters are those of the
	// repositories that it builds upon.
	repo    string
	masters []string
	// scratch is the state of a dry run that has no archive.
	scratch string
}

// newOldRun understands a command line. repositories is the PORTAGE_REPOSITORIES
// of the environment.
func newOldRun(args []string, repositories string) (*oldRun, error) {
	given, err := parseOldArgs(args)
	if err != nil || given.has("help") || given.has("version") {
		return &oldRun{oldArgs: given}, err
	}
	vars, err := portage.LoadMakeConf(given.root())
	if err != nil {
		return nil, usageError{err}
	}
	r := &oldRun{oldArgs: given}
	if !given.has("ignore-default-opts") {
		// They come first, so that the command line has the last word.
		if r.oldArgs, err = parseOldArgs(slices.Concat(strings.Fields(vars["EMIRRORDIST_DEFAULT_OPTS"]), args)); err != nil {
			return nil, err
		}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if repositories == "" {
		repositories = vars["PORTAGE_REPOSITORIES"]
	}
	if err := r.findRepo(given.root(), repositories); err != nil {
		return nil, err
	}
	if r.distfiles, err = filepath.Abs(r.last("distfiles")); err != nil {
		return nil, err
	}
	if r.state, err = filepath.Abs(r.stateBase() + ".distkeep"); err != nil {
		return nil, err
	}
	return r, r.checkLayout()
}

// root is where the configuration of Portage is.
func (a *oldArgs) root() string {
	if a.has("config-root") {
		return a.last("config-root")
	}
	return "/"
}

// stateBase is what the state stands beside.
func (r *oldRun) stateBase() string {
	for _, o := range []string{"deletion-db", "distfiles-db"} {
		if r.has(o) {
			return r.last(o)
		}
	}
	return r.last("distfiles")
}

// check refuses what emirrordist refuses.
func (r *oldRun) check() error {
	if !r.has("mirror") {
		return usagef("No action specified")
	}
	if !r.has("distfiles") {
		return usagef("missing required --distfiles parameter")
	}
	for _, need := range [][2]string{
		{"scheduled-deletion-log", "deletion-db"}, {"deletion-delay", "deletion-db"}, {"deletion-db", "deletion-delay"}, {"recycle-db", "recycle-dir"},
	} {
		if r.has(need[0]) && !r.has(need[1]) {
			return usagef("--%s requires --%s", need[0], need[1])
		}
	}
	for _, o := range []string{"distfiles", "distfiles-local", "temp-dir", "recycle-dir", "fetch-log-dir"} {
		if fi, err := os.Stat(r.last(o)); r.has(o) && (err != nil || !fi.IsDir()) {
			return usagef("--%s '%s' is not a directory", o, r.last(o))
		}
	}
	return nil
}

// findRepo finds the repository, and those that it builds upon, by their names.
func (r *oldRun) findRepo(root, text string) (err error) {
	var repos *portage.Repositories
	if r.has("repositories-configuration") {
		repos, err = portage.ParseRepositories(root, "--repositories-configuration", r.last("repositories-configuration"))
	} else if text != "" {
		repos, err = portage.ParseRepositories(root, "PORTAGE_REPOSITORIES", text)
	} else {
		repos, err = portage.LoadRepositories(root)
	}
	if err != nil {
		return usageError{err}
	}
	name := r.last("repo")
	if names := repos.Names(); name == "" && len(names) == 1 {
		name = names[0] // there is no other
	} else if name == "" {
		return usagef("--repo option is required")
	}
	if r.repo = repos.Location(name); r.repo == "" {
		return usagef("Unable to locate repository named '%s'", name)
	}
	return r.findMasters(repos, r.repo, map[string]bool{r.repo: true})
}

// findMasters adds what the repository at path builds upon: what its layout.conf
// names, or else the main repository.
func (r *oldRun) findMasters(repos *portage.Repositories, path string, seen map[string]bool) error {
	g, err := gentoo.Open(path, gentoo.Options{})
	if err != nil {
		return err
	}
	names, said := g.Masters()
	if !said {
		names = []string{repos.Main}
	}
	for _, n := range names {
		m := repos.Location(n)
		if m == "" || seen[m] || !exists(m) {
			continue // it costs what it would define, as in Portage
		}
		seen[m] = true
		r.masters = append(r.masters, m)
		if err := r.findMasters(repos, m, seen); err != nil {
			return err
		}
	}
	return nil
}

// checkLayout refuses a --layout-conf that says something else than what clients
// read.
func (r *oldRun) checkLayout() error {
	if !r.has("layout-conf") {
		return nil
	}
	f, err := os.Open(r.last("layout-conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usagef("--layout-conf: %w", err)
	}
	asked := layout.Conf{layout.Flat()} // of a file that is not there, as GLEP 75 has it
	if err == nil {
		defer f.Close()
		if asked, err = layout.ParseConf(r.last("layout-conf"), f); err != nil {
			return usageError{err}
		}
	}
	published, err := layout.Load(r.distfiles)
	if err != nil {
		return err
	}
	if !slices.Equal(asked, published) {
		return usagef("--layout-conf %s is not what %s says, which clients read: put it there", r.last("layout-conf"), filepath.Join(r.distfiles, "layout.conf"))
	}
	return nil
}

// seconds is a number of seconds as an option of ours. What is beyond all
// durations is the longest.
func seconds(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if limit := int64(math.MaxInt64 / time.Second); err != nil || n > limit {
		n = limit
	}
	return strconv.FormatInt(n, 10) + "s"
}

// mirrorArgs are the options of mirror that do the same.
func (r *oldRun) mirrorArgs() []string {
	args := []string{"--distfiles=" + r.distfiles, "--state=" + r.state, "--repo=gentoo:" + r.repo}
	for _, m := range r.masters {
		args = append(args, "--master-repo="+m)
	}
	for _, o := range []string{"jobs", "tries", "failure-log", "success-log", "scheduled-deletion-log", "mirror-overrides", "mirror-skip", "restrict-mirror-exemptions", "distfiles-local"} {
		if r.has(o) {
			args = append(args, "--"+o+"="+r.last(o))
		}
	}
	for _, w := range r.values["whitelist-from"] {
		args = append(args, "--whitelist-from="+w)
	}
	if r.has("deletion-delay") {
		args = append(args, "--deletion-delay="+seconds(r.last("deletion-delay")))
	}
	if r.has("recycle-deletion-delay") {
		args = append(args, "--recycle-delay="+seconds(r.last("recycle-deletion-delay")))
	}
	if r.scratch != "" && r.has("recycle-dir") {
		// A run imports what is there; one that changes nothing looks at it.
		args = append(args, "--adopt-from="+r.last("recycle-dir"))
	}
	// They are said in any case: the environment may set them for mirror.
	args = append(args, "--delete="+strconv.FormatBool(r.has("delete")), "--dry-run="+strconv.FormatBool(r.has("dry-run")))
	if len(r.values["verbose"]) > 1 {
		args = append(args, "--verbose")
	}
	return args
}
