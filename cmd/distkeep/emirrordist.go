package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"distkeep/archive/imported"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/archive/verify"
	"distkeep/catalog/regular"
)

const emirrordistHelp = `Do what emirrordist of Portage does, with its command line: put this command in
its place, or make a link named emirrordist that leads to this program. The
options are translated into those of distkeep mirror, and what else mirror has
can be set in the environment, such as DISTKEEP_CONTACT or DISTKEEP_CONFIG.

The first run makes an archive of DISTFILES: nothing that is there is fetched
again. Its state is beside the database of deletions, in DELETION-DB.distkeep,
else in DISTFILES-DB.distkeep, else in DISTFILES.distkeep; give it to the other
commands as --state. With --delete but no --deletion-delay, 14 days pass before
anything is deleted; without --recycle-dir as well, deleted files wait in
recycle. Options may be shortened as far as they stay the only ones, those of
EMIRRORDIST_DEFAULT_OPTS in make.conf are added, and what is not known is
ignored with a warning.

OPTIONS:
`

const emirrordistName = "emirrordist"

func emirrordistCommand(e *env) *cli.Command {
	var b strings.Builder
	for line := range strings.Lines(oldOptionsHelp()) {
		b.WriteString("  " + line)
	}
	return &cli.Command{
		Name:            emirrordistName,
		Usage:           "mirror with the command line of emirrordist",
		UsageText:       "distkeep emirrordist --mirror --distfiles DIR --repo NAME [OPTIONS]",
		Description:     emirrordistHelp + b.String() + "\n" + exitHelp,
		SkipFlagParsing: true,
		Action:          func(c *cli.Context) error { return runEmirrordist(c, e) },
	}
}

// asEmirrordist makes a command line of ours of one whose program is a link named
// emirrordist.
func asEmirrordist(args []string) []string {
	if filepath.Base(args[0]) != emirrordistName {
		return args
	}
	return append([]string{args[0], emirrordistName}, args[1:]...)
}

func runEmirrordist(c *cli.Context, e *env) error {
	r, err := newOldRun(c.Args().Slice(), os.Getenv("PORTAGE_REPOSITORIES"))
	if err != nil {
		return err
	}
	switch {
	case r.has("help"):
		return cli.ShowSubcommandHelp(c)
	case r.has("version"):
		_, err := fmt.Fprintf(e.stdout, "distkeep %s\n", version())
		return err
	}
	for _, u := range r.unknown {
		e.warner()(fmt.Sprintf("emirrordist has no option %s: it is ignored", u))
	}
	if err := e.workAsOwner(place{distfiles: r.distfiles, state: r.state}); err != nil {
		return err
	}
	defer func() { os.RemoveAll(r.scratch) }() // of an empty path it removes nothing
	if err := r.prepare(c.Context, e); err != nil {
		return err
	}
	says := &oldVoice{oldRun: r, err: e.stderr}
	o := newMirrorFlags()
	inner := &cli.Command{Name: emirrordistName, Flags: o.flags(), Action: func(c *cli.Context) error {
		return runMirror(c.Context, e, o, says)
	}}
	ours := *e
	ours.args = append([]string{"distkeep", emirrordistName}, r.mirrorArgs()...)
	err = errors.Join(appOf(&ours, inner).RunContext(c.Context, ours.args), says.logErr)
	var s status
	if r.has("emirrordist-exit-zero") && errors.As(err, &s) && (s == exitNew || s == exitGuard || s == exitIncomplete) {
		return nil
	}
	return err
}

// prepare makes the archive when there is none, and imports what emirrordist knew
// unless that was done. A dry run makes an archive of its own, which is not kept.
func (r *oldRun) prepare(ctx context.Context, e *env) error {
	switch there := exists(r.state); {
	case r.has("dry-run") && there:
		return nil
	case r.has("dry-run"):
		dir, err := os.MkdirTemp(filepath.Dir(r.state), filepath.Base(r.state)+".dry-run-")
		if err != nil {
			return usageError{err}
		}
		r.state, r.scratch = dir, dir
		return vault.Init(r.distfiles, r.state, nil, e.now())
	case !there:
		if err := vault.Init(r.distfiles, r.state, nil, e.now()); err != nil {
			return err
		}
	}
	if !report.HasDistfiles(store.ReportDir(r.state)) {
		if err := r.importOld(ctx, e); err != nil {
			return err
		}
	}
	if r.has("verify-existing-digest") {
		return r.verify(ctx, e)
	}
	return nil
}

// importOld takes over what emirrordist knew. That its databases cannot be read
// costs the days of its clocks and no file: then the operator is told how to do it.
func (r *oldRun) importOld(ctx context.Context, e *env) error {
	var args []string
	for _, o := range []string{"deletion-db", "distfiles-db", "content-db", "recycle-db"} {
		if r.has(o) && isDatabase(r.last(o)) {
			args = append(args, "--"+o+"="+r.last(o))
		}
	}
	facts := new(imported.Facts)
	if len(args) > 0 {
		var err error
		if facts, err = runExporter(ctx, args); err != nil {
			e.warner()(fmt.Sprintf("the databases of emirrordist cannot be read: %v: deletions begin their delays anew, until they are imported: "+
				"distkeep import --print-exporter | PYTHON - %s | distkeep import --distfiles=%s --state=%s -", err, strings.Join(args, " "), r.distfiles, r.state))
			facts = new(imported.Facts)
		}
	}
	if facts.Empty() && !r.has("recycle-dir") {
		return nil
	}
	_, err := takeOver(ctx, e, place{distfiles: r.distfiles, state: r.state}, facts, r.last("recycle-dir"))
	return err
}

// isDatabase reports whether there is a database at path, to which some modules of
// Python add a suffix.
func isDatabase(path string) bool {
	return slices.ContainsFunc([]string{"", ".db", ".dat", ".pag"}, func(suffix string) bool { return exists(path + suffix) })
}

// verify reads every file. The run fetches what was not right.
func (r *oldRun) verify(ctx context.Context, e *env) (err error) {
	ev := vault.Events{Warn: e.warner(), Checked: func(name string, _ int64, damage string) {
		if damage != "" {
			e.warner()(name + ": " + damage)
		}
	}}
	a, err := vault.Open(vault.Options{Distfiles: r.distfiles, State: r.state, Now: e.now, What: "distkeep emirrordist", Events: ev, Around: e.around})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	_, err = verify.Verify(ctx, a, verify.Options{Jobs: 2})
	return err
}

// An oldVoice tells what a run does as emirrordist does: nothing on standard
// output, and on standard error what -v asks for.
type oldVoice struct {
	*oldRun
	err io.Writer

	mu     sync.Mutex
	logErr error // the first trouble with --fetch-log-dir
}

var _ voice = (*oldVoice)(nil)

// info writes one line when there is a -v.
func (v *oldVoice) info(format string, args ...any) {
	if v.has("verbose") {
		v.mu.Lock()
		defer v.mu.Unlock()
		fmt.Fprintf(v.err, "[INFO] "+format+"\n", args...)
	}
}

// listen implements voice. What has no log file is told by -v.
func (v *oldVoice) listen(ev *vault.Events) {
	added, removed, failed := ev.Added, ev.Removed, ev.Failed
	ev.Found = func(f report.Found) { v.info("found: %s", foundLine(f)) }
	toStderr := func(log string) bool { return !v.has(log) || v.has("dry-run") }
	ev.Added = func(owner, name string, size int64, origin string) {
		added(owner, name, size, origin)
		if toStderr("success-log") {
			v.info("success: %s\t%s\tadded %d bytes", owner, name, size)
		}
		v.fetchLog(name, nil)
	}
	ev.Removed = func(owner, name string) {
		removed(owner, name)
		if toStderr("success-log") {
			v.info("success: %s\t%s\tremoved", owner, name)
		}
	}
	ev.Failed = func(f *ledger.Failure, known bool) {
		failed(f, known)
		if toStderr("failure-log") {
			v.info("failure: %s\t%s\t%s", vault.OwnerPackage(f.Owner), f.Name, f.Reason)
		}
		v.fetchLog(string(f.Name), f)
	}
}

// fetchLog writes the log of a file that failed, or removes that of one that did
// not.
func (v *oldVoice) fetchLog(name string, f *ledger.Failure) {
	if !v.has("fetch-log-dir") || v.has("dry-run") || name == "" || strings.Contains(name, "/") {
		return
	}
	path := filepath.Join(v.last("fetch-log-dir"), name+".log")
	var err error
	if f == nil {
		if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	} else {
		lines := []string{f.Reason}
		for _, a := range f.Answers {
			lines = append(lines, a.URL+": "+a.Text)
		}
		err = regular.Write(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.logErr == nil && err != nil {
		v.logErr = fmt.Errorf("--fetch-log-dir: %w", err)
	}
}

// print implements voice.
func (v *oldVoice) print(e *env, s *report.Summary) error {
	var b strings.Builder
	printFrozen(&b, s, "nothing was scheduled or deleted", "see distkeep status --json")
	if _, err := io.WriteString(e.stderr, b.String()); err != nil {
		return err
	}
	v.info("finished in %d seconds", int(s.Took.Seconds()))
	v.info("failed to fetch %d files", s.AllFailures())
	v.info("deleted %d files", s.Deleted.Files)
	v.info("deletion of %d files scheduled", s.Pending.Files)
	v.info("added %d files", s.Added().Files)
	v.info("added %d bytes total", s.Added().Bytes)
	return nil
}

// oldActions are the words of a dry run of emirrordist for those of ours.
var oldActions = map[string]string{
	"fetch":    "fetch '%s' from '%s'",
	"delete":   "move '%s' from distfiles to recycle",
	"restore":  "hardlink '%s' from recycle to distfiles",
	"purge":    "delete '%s' from recycle",
	"schedule": "add '%s' to deletion db",
	"read":     "take '%s' from '%s'",
}

// preview implements voice.
func (v *oldVoice) preview(e *env, s *report.Summary, actions []plan.Action) error {
	for _, a := range actions {
		text, ok := oldActions[a.Do]
		switch {
		case !ok:
			v.info("dry-run: %s '%s' %s", a.Do, a.Name, a.Detail)
		case strings.Count(text, "%s") == 2:
			v.info("dry-run: "+text, a.Name, a.Detail)
		default:
			v.info("dry-run: "+text, a.Name)
		}
	}
	return v.print(e, s)
}
