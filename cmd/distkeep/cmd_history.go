package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"distkeep/archive/past"

	"github.com/urfave/cli/v2"
)

const historyHelp = `Scan the repositories and bring the file history up to date: what the archive or
its distinfo has and no package wants any more gets a line with the time at which
that was first seen; what is wanted again loses it. Nothing is fetched, published
or deleted, and a scan with problems changes nothing.

With --clean, delete what has had a line for as long as --before says, and
the lines, as clean-old-distfiles does on OpenBSD. Names on the whitelist stay. So
does, with its line, a file that does not have the SHA256 of the line (status 5).
All that stops the deletions of mirror --delete stops these. Files move to recycle,
where mirror --delete or --recycle-delay removes them; deletions --undo brings
them back.

`

// historyFlags are the options of history.
type historyFlags struct {
	place
	*repoFlags
	json, clean, dryRun       bool
	before, recycleDelay      durationValue
	beforeGiven, recycleGiven bool
	maxDelete                 percentValue
	local                     string
	whitelists, retired       *cli.StringSlice
}

func historyCommand(e *env) *cli.Command {
	o := &historyFlags{
		repoFlags: newRepoFlags(), maxDelete: 0.1,
		whitelists: cli.NewStringSlice(), retired: cli.NewStringSlice(),
	}
	flags := append(append(o.place.flags(), o.repoFlags.flags()...),
		&cli.BoolFlag{Name: "clean", Usage: "delete what has been in the history for long enough", Destination: &o.clean},
		&cli.GenericFlag{Name: "before", Usage: "with --clean: what was first not wanted `DURATION` ago or before, such as 90d", Value: &o.before},
		&cli.GenericFlag{Name: "recycle-delay", Usage: "with --clean: remove from recycle what has been there for `DURATION`; nothing if not given", Value: &o.recycleDelay},
		&cli.GenericFlag{Name: "max-delete", Usage: "with --clean: delete nothing when more than `PERCENT` of all files or bytes would go in this run", Value: &o.maxDelete},
		&cli.StringSliceFlag{Name: "whitelist-from", Usage: "with --clean: keep the names listed in `PATH`, a file or a directory, beside those in STATE/whitelist; repeatable", Destination: o.whitelists},
		&cli.StringFlag{Name: "distfiles-local", Usage: "with --clean: keep what a person put into `DIR`", Destination: &o.local},
		&cli.StringSliceFlag{Name: "retire-repo", Usage: "with --clean: the repository `NAME` is gone, or has become small, on purpose; repeatable", Destination: o.retired},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "with --clean: print what would be done; change and delete nothing", Destination: &o.dryRun},
		jsonFlag(&o.json))
	return &cli.Command{
		Name:        "history",
		Usage:       "scan only: note what no package wants any more",
		UsageText:   "distkeep history --archive DIR --repo KIND:PATH [OPTIONS]\ndistkeep history --archive DIR --repo KIND:PATH --clean --before DURATION [OPTIONS]",
		Description: historyHelp + exitHelp,
		Flags:       flags,
		Action: func(c *cli.Context) error {
			o.beforeGiven, o.recycleGiven = c.IsSet("before"), c.IsSet("recycle-delay")
			return runHistory(c.Context, e, o)
		},
	}
}

// check looks at options that do not go together. Without --before,
// clean-old-distfiles takes everything: that is asked for by --before 0 here.
func (o *historyFlags) check() error {
	switch {
	case o.partial:
		return usagef("history needs the dump of the whole tree, not of a part of it")
	case o.clean && !o.beforeGiven:
		return usagef("history --clean: say what is old enough: --before 90d")
	case o.clean && o.remote():
		return o.inFiles("history --clean", "it is about files beside those of the archive")
	case !o.clean && o.beforeGiven:
		return usagef("history: --before goes with --clean")
	case !o.clean && o.dryRun:
		return usagef("history: --dry-run goes with --clean")
	}
	return nil
}

func runHistory(ctx context.Context, e *env, o *historyFlags) (err error) {
	if err := o.place.resolve(); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	repos, err := o.repoFlags.open(&opening{stdin: e.stdin, state: o.state, offline: true, full: o.clean, now: e.now})
	if err != nil {
		return err
	}
	clean, err := o.cleanOptions()
	if err != nil {
		return err
	}
	line := newProgress(e)
	defer line.stop()
	a, err := o.place.open(ctx, e, "distkeep history", events(e.logger(false, false), runLogs{}, line))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if o.clean {
		clean.Repositories = repos
		s, err := past.Clean(ctx, a, clean)
		line.stop()
		if s == nil {
			return err
		}
		if perr := o.printClean(e, s); err != nil || perr != nil {
			return errors.Join(err, perr)
		}
		return cleanOutcome(s)
	}
	s, err := past.Update(ctx, a, repos)
	if err != nil {
		return err
	}
	if o.json {
		err = json.NewEncoder(e.stdout).Encode(s)
	} else {
		err = printHistory(e.stdout, s)
	}
	if err == nil && !s.Complete {
		err = status(exitIncomplete)
	}
	return err
}

func (o *historyFlags) cleanOptions() (c past.CleanOptions, err error) {
	if !o.clean {
		return c, nil
	}
	c.Whitelist = whitelists(o.state, o.whitelists.Value())
	if o.local != "" {
		if c.Local, err = filepath.Abs(o.local); err != nil {
			return c, err
		}
	}
	c.MaxDelete, c.Retired = float64(o.maxDelete), o.retired.Value()
	c.Before, c.DryRun = time.Duration(o.before), o.dryRun
	c.Purge, c.RecycleDelay = o.recycleGiven, time.Duration(o.recycleDelay)
	return c, nil
}

// printClean prints what was done, or would be.
func (o *historyFlags) printClean(e *env, s *past.CleanSummary) error {
	switch {
	case o.json:
		return json.NewEncoder(e.stdout).Encode(s)
	case o.dryRun && s.Complete && s.Guard == "":
		for _, x := range s.Actions {
			if _, err := fmt.Fprintf(e.stdout, "%s\t%s\t%d\t%s\n", x.Do, x.Name, x.Size, x.Detail); err != nil {
				return err
			}
		}
		return nil
	}
	return printClean(e.stdout, s)
}

// cleanOutcome is the exit status of a cleaning that came to its end.
func cleanOutcome(s *past.CleanSummary) error {
	switch {
	case !s.Complete:
		return status(exitIncomplete)
	case s.Guard != "":
		return status(exitGuard)
	case len(s.Damaged) > 0:
		return status(exitBroken)
	}
	return nil
}
