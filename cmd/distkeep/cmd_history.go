package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/urfave/cli/v2"

	"distkeep/archive"
)

const historyHelp = `Scan the repositories and bring the file history up to date: what the archive or
its distinfo has and no package wants any more gets a line with the time at which
that was first seen; what is wanted again loses it. Nothing is fetched, published
or deleted, and a scan with problems changes nothing.

`

func historyCommand(e *env) *cli.Command {
	var p place
	var asJSON bool
	r := newRepoFlags()
	return &cli.Command{
		Name:        "history",
		Usage:       "scan only: note what no package wants any more",
		UsageText:   "distkeep history --archive DIR --repo KIND:PATH [OPTIONS]",
		Description: historyHelp + exitHelp,
		Flags:       append(append(p.flags(), r.flags()...), jsonFlag(&asJSON)),
		Action: func(c *cli.Context) error {
			return runHistory(c.Context, e, &p, r, asJSON)
		},
	}
}

func runHistory(ctx context.Context, e *env, p *place, r *repoFlags, asJSON bool) (err error) {
	if err := p.resolve(); err != nil {
		return err
	}
	if r.partial {
		return usagef("history needs the dump of the whole tree, not of a part of it")
	}
	repos, err := r.open(e, &upstreams{state: p.state, offline: true, now: e.now})
	if err != nil {
		return err
	}
	line := newProgress(e)
	defer line.stop()
	a, err := archive.Open(archive.Options{
		Distfiles: p.distfiles, State: p.state, Now: e.now, What: "distkeep history",
		Events: events(e.logger(false, false), runLogs{}, line),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	s, err := a.History(ctx, repos)
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(e.stdout).Encode(s)
	} else {
		err = printHistory(e.stdout, s)
	}
	if err == nil && !s.Complete {
		err = status(exitIncomplete)
	}
	return err
}
