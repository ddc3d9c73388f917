package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"distkeep/archive"
	"distkeep/archive/bucket"
	"distkeep/archive/demand"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/report/metrics"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/whitelist"
)

const mirrorHelp = `Scan the repositories, fetch what the archive lacks, verify every byte, publish
it under its name and its SHA-256, and, with --delete, delete what no package
has wanted for the deletion delay. It is made to be run from cron or a timer:
a run with nothing to do reads no file and changes none.

`

// mirrorFlags are the options of mirror.
type mirrorFlags struct {
	place
	*repoFlags
	*fetchFlags
	snapshot                            snapshotAfter
	publish                             publishFlag
	whitelists, adoptFrom               *cli.StringSlice
	local                               string
	localExpiry                         durationValue
	minFree                             sizeValue
	delete                              bool
	deletionDelay, recycleDelay         durationValue
	maxDelete                           percentValue
	retired                             *cli.StringSlice
	successLog, failureLog, deletionLog string
	metrics                             string
	report, signKey                     string
	failOn, missing                     choiceValue
	missingGrace, layoutGrace           durationValue
	dryRun, json, verbose, logJSON      bool
	fullScan                            bool

	// desk and scanned are those of archive.MirrorOptions.
	desk    *demand.Desk
	scanned func(c *catalog.Catalog)
}

func newMirrorFlags() *mirrorFlags {
	return &mirrorFlags{
		repoFlags: newRepoFlags(), fetchFlags: newFetchFlags(),
		whitelists: cli.NewStringSlice(), adoptFrom: cli.NewStringSlice(), retired: cli.NewStringSlice(),
		localExpiry: durationValue(7 * 24 * time.Hour), minFree: 1 << 30,
		deletionDelay: durationValue(14 * 24 * time.Hour), recycleDelay: durationValue(60 * 24 * time.Hour),
		maxDelete: 0.1, failOn: choiceValue{"new", []string{"any", "new", "never"}},
		missing: choiceValue{"hold", []string{"hold", "publish"}}, missingGrace: durationValue(48 * time.Hour),
		layoutGrace: durationValue(48 * time.Hour),
	}
}

func (o *mirrorFlags) flags() []cli.Flag {
	flags := append(o.place.flags(), o.repoFlags.flags()...)
	flags = append(flags, o.fetchFlags.flags()...)
	flags = append(flags, o.snapshot.flags()...)
	return append(flags, o.place.shardFlag(), o.publish.flag(),
		&cli.StringSliceFlag{Name: "adopt-from", Usage: "take what is missing from `DIR`, such as another mirror or emirrordist's recycle directory, as far as its files have the digests; repeatable", Destination: o.adoptFrom},
		&cli.StringSliceFlag{Name: "whitelist-from", Usage: "keep the names listed in `PATH`, a file or a directory, beside those in STATE/whitelist; repeatable", Destination: o.whitelists},
		&cli.StringFlag{Name: "distfiles-local", Usage: "take files that a person put into `DIR`; they win over the network", Destination: &o.local},
		&cli.GenericFlag{Name: "local-expiry", Usage: "remove a file from the drop box when it has been in the archive for `DURATION`", Value: &o.localExpiry},
		&cli.GenericFlag{Name: "min-free", Usage: "start no transfer that would leave less than `SIZE` free", Value: &o.minFree},
		&cli.BoolFlag{Name: "delete", Usage: "delete what no package wants; without it nothing is even scheduled", Destination: &o.delete},
		&cli.GenericFlag{Name: "deletion-delay", Usage: "delete what nobody has wanted for `DURATION`", Value: &o.deletionDelay},
		&cli.GenericFlag{Name: "recycle-delay", Usage: "keep deleted files in recycle for `DURATION`", Value: &o.recycleDelay},
		&cli.GenericFlag{Name: "max-delete", Usage: "delete nothing when more than `PERCENT` of all files or bytes would go in this run", Value: &o.maxDelete},
		&cli.StringSliceFlag{Name: "retire-repo", Usage: "the repository `NAME` is gone, or has become small, on purpose; repeatable", Destination: o.retired},
		&cli.GenericFlag{Name: "missing", Usage: "when packages are missing that the database of a pacman repository names, `WHAT` to do with it: hold it back, or publish", Value: &o.missing},
		&cli.GenericFlag{Name: "missing-grace", Usage: "publish without a package when it has been missing for `DURATION`", Value: &o.missingGrace},
		&cli.GenericFlag{Name: "layout-grace", Usage: "a new layout waits for its place, and one that layout.conf does not list any more keeps its paths, for `DURATION`", Value: &o.layoutGrace},
		&cli.StringFlag{Name: "success-log", Usage: "append what was added and removed to `FILE`, as emirrordist does", Destination: &o.successLog},
		&cli.StringFlag{Name: "failure-log", Usage: "append every failure to `FILE`, as emirrordist does", Destination: &o.failureLog},
		&cli.StringFlag{Name: "scheduled-deletion-log", Usage: "write what goes on which day to `FILE`, as emirrordist does", Destination: &o.deletionLog},
		&cli.StringFlag{Name: "metrics", Usage: "write what the run did to `FILE` for Prometheus, as node_exporter's textfile collector reads it", Destination: &o.metrics},
		&cli.BoolFlag{Name: "full-scan", Usage: "read everything, although nothing seems to have changed since the last run; each day one run does so by itself", Destination: &o.fullScan},
		&cli.GenericFlag{Name: "fail-on", Usage: "exit with status 1 on `WHICH` failures: any, new or never", Value: &o.failOn},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be done; fetch, change and delete nothing", Destination: &o.dryRun},
		&cli.BoolFlag{Name: "verbose", Usage: "say on standard error what is added, removed and failing", Destination: &o.verbose},
		&cli.BoolFlag{Name: "log-json", Usage: "write messages as JSON lines", Destination: &o.logJSON},
		&cli.StringFlag{Name: "report", Usage: "make web pages of the failures and of everything else in `DIR`, see distkeep report", Destination: &o.report},
		&cli.StringFlag{Name: "sign-key", Usage: "sign what is told to archives downstream with the key in `FILE`, see distkeep pull", Destination: &o.signKey},
		jsonFlag(&o.json),
	)
}

func mirrorCommand(e *env) *cli.Command {
	o := newMirrorFlags()
	return &cli.Command{
		Name:        "mirror",
		Usage:       "bring the archive up to date: the hourly job",
		UsageText:   "distkeep mirror --archive DIR --repo KIND:PATH [OPTIONS]",
		Description: mirrorHelp + gentooHelp + openbsdHelp + pacmanHelp + sourcesHelp + archiveHelp + exitHelp,
		Flags:       o.flags(),
		Action:      func(c *cli.Context) error { return runMirror(c.Context, e, o, o) },
	}
}

// options makes the options of the run.
func (o *mirrorFlags) options(e *env) (m archive.MirrorOptions, err error) {
	if m.Fetch, err = o.fetchFlags.options(); err != nil {
		return m, err
	}
	if m.Repositories, err = o.repoFlags.open(&opening{stdin: e.stdin, state: o.state, fetch: m.Fetch, minFree: int64(o.minFree), dry: o.dryRun, full: o.fullScan, now: e.now}); err != nil {
		return m, err
	}
	if m.Signers, err = loadSigners(o.signKey); err != nil {
		return m, err
	}
	m.Whitelist = whitelists(o.state, o.whitelists.Value())
	if o.local != "" {
		if m.Local, err = filepath.Abs(o.local); err != nil {
			return m, err
		}
	}
	for _, dir := range o.adoptFrom.Value() {
		if fi, err := os.Stat(dir); err != nil {
			return m, usagef("--adopt-from: %w", err)
		} else if !fi.IsDir() {
			return m, usagef("--adopt-from: %s is not a directory", dir)
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return m, err
		}
		m.AdoptFrom = append(m.AdoptFrom, dir)
	}
	m.Desk, m.Scanned = o.desk, o.scanned
	m.LocalExpiry = time.Duration(o.localExpiry)
	m.MinFree = int64(o.minFree)
	m.Delete, m.Partial = o.delete, o.partial
	m.DeletionDelay, m.RecycleDelay = time.Duration(o.deletionDelay), time.Duration(o.recycleDelay)
	m.MaxDelete, m.Retired = float64(o.maxDelete), o.retired.Value()
	m.PublishMissing, m.MissingGrace = o.missing.value == "publish", time.Duration(o.missingGrace)
	return m, nil
}

// A voice tells what a run does to whoever has started it.
type voice interface {
	// listen adds to the events of the run.
	listen(ev *vault.Events)
	// print tells what a run did, preview what one would do.
	print(e *env, s *report.Summary) error
	preview(e *env, s *report.Summary, actions []plan.Action) error
}

// runMirror is the hourly job. However it ends, its metrics tell, but for a run that
// another keeps from running.
func runMirror(ctx context.Context, e *env, o *mirrorFlags, says voice) error {
	if err := o.place.resolve(); err != nil {
		return err
	}
	if err := errors.Join(o.snapshot.check(&o.place), o.publish.check(&o.place)); err != nil {
		return err
	}
	began := e.now()
	s, err := o.mirror(ctx, e, began, says)
	if o.metrics == "" || o.dryRun || errors.Is(err, vault.ErrLocked) {
		return err
	}
	if merr := o.writeMetrics(&metrics.Sample{Summary: s, Ran: began, Exit: exitStatus(ctx, err)}); merr != nil {
		return errors.Join(err, merr)
	}
	return err
}

// writeMetrics writes the metrics of a run. One that could not even begin has those of
// the archive from the last.
func (o *mirrorFlags) writeMetrics(s *metrics.Sample) error {
	if s.Summary == nil {
		s.Summary = new(report.Summary)
		if err := report.LoadStatus(store.ReportDir(o.state), s.Summary); err != nil && !errors.Is(err, report.ErrNoRun) {
			return err
		}
	}
	var b bytes.Buffer
	if err := metrics.Write(&b, s); err != nil {
		return err
	}
	if err := report.WriteText(o.metrics, b.Bytes()); err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	return nil
}

// mirror is the run itself. Its summary is nil when it could not begin.
func (o *mirrorFlags) mirror(ctx context.Context, e *env, began time.Time, says voice) (s *report.Summary, err error) {
	m, err := o.options(e)
	if err != nil {
		return nil, err
	}
	m.Certify = o.certify(began)
	logs, err := o.openLogs()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, logs.close()) }()
	p := newProgress(e)
	defer p.stop()
	ev := events(e.logger(o.verbose, o.logJSON), logs, p)
	ev.Found = func(f report.Found) {
		if !o.json {
			p.above(func() { fmt.Fprintf(e.stdout, "%-12s %s\n", "found", foundLine(f)) })
		}
	}
	ev.Coming = func(c report.Coming) {
		if o.verbose || e.terminal() > 0 {
			p.above(func() { fmt.Fprintln(e.stderr, "distkeep:", comingLine(c)) })
		}
	}
	says.listen(&ev)
	defer boundMemory(&ev)()
	vo, err := o.vault(ctx, e, "distkeep mirror", ev)
	if err != nil {
		return nil, err
	}
	a, err := vault.OpenShut(vo)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if o.dryRun {
		s, actions, err := archive.DryRun(ctx, a, m)
		if err == nil {
			err = says.preview(e, s, actions)
		}
		if err != nil {
			return nil, err
		}
		return s, outcome(s, "never")
	}
	if b, ok := a.Remote.(*bucket.Bucket); ok {
		if err := o.publish.choose(ctx, b); err != nil {
			return nil, err
		}
	}
	p.publish(o.state)
	m.ExportNow, m.Meanwhile = p.asked, func() error {
		_, err := expose(ctx, a)
		return err
	}
	s, err = archive.Mirror(ctx, a, m)
	p.stop()
	if s == nil {
		return nil, err
	}
	if err == nil {
		err = snapshotError(o.snapshot.take(ctx, e, &o.place, a, s, int64(o.minFree)))
	}
	if perr := says.print(e, s); perr != nil {
		return s, perr
	}
	if err != nil {
		return s, err
	}
	if o.deletionLog != "" {
		ds, err := report.LoadDeletions(store.ReportDir(o.state))
		if err != nil {
			return s, err
		}
		if err := report.WriteDeletionLog(o.deletionLog, ds, s.Start); err != nil {
			return s, err
		}
	}
	if o.report != "" {
		if err := writePages(o.report, &o.place, o.whitelists.Value(), e.now()); err != nil {
			return s, err
		}
	}
	return s, outcome(s, o.failOn.value)
}

// vault makes the options of the archive for what changes it as a run does.
func (o *mirrorFlags) vault(ctx context.Context, e *env, what string, ev vault.Events) (vault.Options, error) {
	// Nobody waits for a run, and what a server that is restarted costs it is an hour.
	o.waits = func(why error) { ev.Warn(why.Error() + ": trying again for two minutes") }
	vo, err := o.vaultOptions(ctx, e, what, ev)
	vo.LayoutGrace, vo.Relayout = cmp.Or(time.Duration(o.layoutGrace), -1), true
	return vo, err
}

// preview prints what a run would do, and to standard error why it would delete
// nothing.
func (o *mirrorFlags) preview(e *env, s *report.Summary, actions []plan.Action) error {
	if o.json {
		if err := writeJSON(e.stdout, actions); err != nil {
			return err
		}
		actions = nil
	}
	for _, x := range actions {
		fmt.Fprintf(e.stdout, "%s\t%s\t%d\t%s\n", x.Do, x.Name, x.Size, x.Detail)
	}
	var b strings.Builder
	if len(actions) == 0 && !o.json {
		fmt.Fprintln(&b, "distkeep: nothing to do")
	}
	if s.Coming.Files > 0 {
		fmt.Fprintln(&b, "distkeep:", comingLine(s.Coming))
	}
	printFrozen(&b, s, "nothing would be scheduled or deleted", "mend these first")
	_, err := io.WriteString(e.stderr, b.String())
	return err
}

// listen implements voice: mirror says nothing beside its logs.
func (o *mirrorFlags) listen(*vault.Events) {}

func (o *mirrorFlags) print(e *env, s *report.Summary) error {
	if o.json {
		report.Fill(s)
		return json.NewEncoder(e.stdout).Encode(s)
	}
	return printSummary(e.stdout, s)
}

// outcome is the exit status of a run that came to its end.
func outcome(s *report.Summary, failOn string) error {
	switch {
	case s.Broken != "" || s.Gone > 0:
		return status(exitBroken)
	case !s.Complete:
		return status(exitIncomplete)
	case s.Guard != "":
		return status(exitGuard)
	case s.Outage != nil && failOn != "never", failOn == "any" && s.AllFailures() > 0, failOn == "new" && s.NewFailures() > 0:
		return status(exitNew)
	}
	return nil
}

// runLogs are the logs in emirrordist's formats; those not asked for are nil.
type runLogs struct{ success, failure *report.Log }

func (o *mirrorFlags) openLogs() (l runLogs, err error) {
	if o.dryRun {
		return l, nil
	}
	if o.deletionLog != "" {
		// It is replaced at the end of the run, when it is late to complain.
		if _, err := os.Stat(filepath.Dir(o.deletionLog)); err != nil {
			return l, usagef("--scheduled-deletion-log: %w", err)
		}
	}
	if o.successLog != "" {
		if l.success, err = report.OpenLog(o.successLog); err != nil {
			return l, usagef("--success-log: %w", err)
		}
	}
	if o.failureLog != "" {
		if l.failure, err = report.OpenLog(o.failureLog); err != nil {
			return l, errors.Join(usagef("--failure-log: %w", err), l.close())
		}
	}
	return l, nil
}

func (l runLogs) close() error {
	var errs []error
	for _, x := range []*report.Log{l.success, l.failure} {
		if x != nil {
			errs = append(errs, x.Close())
		}
	}
	return errors.Join(errs...)
}

// events connects a run with the log, the log files and the progress line.
func events(log zerolog.Logger, logs runLogs, p *progress) vault.Events {
	return vault.Events{
		Warn: func(msg string) { p.above(func() { log.Warn().Msg(msg) }) },
		Phase: func(name string, files int, size int64) {
			p.phase(name, files, size)
			p.above(func() { log.Info().Int("files", files).Int64("bytes", size).Msg(name) })
		},
		Added: func(owner, name string, size int64, origin string) {
			p.file()
			if logs.success != nil {
				logs.success.Added(owner, name, size)
			}
			p.above(func() { log.Info().Str("file", name).Int64("bytes", size).Str("from", origin).Msg("added") })
		},
		Removed: func(owner, name string) {
			if logs.success != nil {
				logs.success.Removed(owner, name)
			}
			p.above(func() { log.Info().Str("file", name).Msg("removed") })
		},
		Failed: func(f *ledger.Failure, known bool) {
			if logs.failure != nil {
				logs.failure.Failed(vault.OwnerPackage(f.Owner), string(f.Name), f.Reason)
			}
			p.above(func() {
				log.Info().Str("file", string(f.Name)).Bool("known", known).Str("reason", f.Reason).Msg("failed")
			})
		},
		Missed:   func(string) { p.failed() },
		Received: p.received,
		Read:     p.received,
		Checked: func(name string, size int64, damage string) {
			p.file()
			if damage != "" {
				p.above(func() { log.Warn().Str("file", name).Msg(damage) })
			}
		},
	}
}

// loadWhitelists loads the archive's own whitelist, if there is one, and those
// of --whitelist-from.
func loadWhitelists(state string, paths []string) (*whitelist.List, error) {
	if own := store.WhitelistFile(state); exists(own) {
		if err := checkOwn(own); err != nil {
			return nil, err
		}
		paths = append([]string{own}, paths...)
	}
	l, err := whitelist.Load(paths...)
	if err != nil {
		return nil, usageError{err} // it names the file
	}
	return l, nil
}

// whitelists returns loadWhitelists as something to be called more than once.
func whitelists(state string, paths []string) func() (*whitelist.List, error) {
	return func() (*whitelist.List, error) { return loadWhitelists(state, paths) }
}
