package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/layout"
	"distkeep/archive/relayout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
)

const layoutHelp = `A layout is where clients look for a file: "flat", "filename-hash BLAKE2B 8" or
"content-hash SHA512 8:8" (GLEP 75). layout.conf lists those of an archive, and
clients ask by the first that they know. They keep it for a day, and a mirror of
the archive may have it before it has the files. So set does not change it at once
when a layout is new. The runs of mirror go on: the first makes all links and lists
the new layout last. When --layout-grace is over, layout.conf lists what was asked
for. What it does not list any more keeps its paths, and gets those of new files,
for --layout-grace again; then its links are removed. No byte is copied for it.

Each line that is printed is a layout, its state and a time. Listed is what
layout.conf has now, in its order; next is what it will have from that time on, or
"linking" while links are missing; leaving is what keeps its paths until then.
`

// layoutArgs parses arguments that are layouts.
func layoutArgs(c *cli.Context) (ls layout.Conf, err error) {
	for _, s := range c.Args().Slice() {
		l, err := layout.Parse(s)
		if err != nil {
			return nil, usageError{err}
		}
		if slices.Contains(ls, l) {
			return nil, usagef("layout %s: %s is named twice", c.Command.Name, l)
		}
		ls = append(ls, l)
	}
	if len(ls) == 0 {
		return nil, usagef(`layout %s: name a layout, as in "filename-hash BLAKE2B 8", in quotes`, c.Command.Name)
	}
	return ls, nil
}

func layoutCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:        "layout",
		Usage:       "change where clients find the files, without a file missing meanwhile",
		UsageText:   "distkeep layout show|set|drop [OPTIONS] [LAYOUT...]",
		Description: layoutHelp,
		Subcommands: []*cli.Command{layoutShow(e), layoutSet(e), layoutDrop(e)},
	}
}

func layoutShow(e *env) *cli.Command {
	var p place
	var asJSON bool
	return &cli.Command{
		Name:        "show",
		Usage:       "print the layouts, and what becomes of them",
		UsageText:   "distkeep layout show --archive DIR [--json]",
		Description: layoutHelp,
		Flags:       append(p.flags(), jsonFlag(&asJSON)),
		Action:      func(*cli.Context) error { return p.showLayouts(e, asJSON) },
	}
}

func layoutSet(e *env) *cli.Command {
	return layoutChange(e, "set", "list these layouts, in this order", relayout.Set)
}

func layoutDrop(e *env) *cli.Command {
	return layoutChange(e, "drop", "list these layouts no longer", func(ctx context.Context, v *vault.Vault, ls layout.Conf) error {
		return relayout.Drop(ctx, v, ls)
	})
}

// layoutChange makes a command that changes the layouts.
func layoutChange(e *env, name, usage string, change func(context.Context, *vault.Vault, layout.Conf) error) *cli.Command {
	var p place
	var asJSON bool
	return &cli.Command{
		Name:        name,
		Usage:       usage,
		UsageText:   "distkeep layout " + name + " --archive DIR [--json] LAYOUT...",
		ArgsUsage:   "LAYOUT...",
		Description: layoutHelp,
		Flags:       append(p.flags(), jsonFlag(&asJSON)),
		Action: func(c *cli.Context) (err error) {
			ls, err := layoutArgs(c)
			if err != nil {
				return err
			}
			v, err := p.open(c.Context, e, "distkeep layout "+name, vault.Events{Warn: e.warner()})
			if err != nil {
				return err
			}
			if err := errors.Join(change(c.Context, v, ls), v.Close()); err != nil {
				return fmt.Errorf("layout %s: %w", name, err)
			}
			return p.showLayouts(e, asJSON)
		},
	}
}

// A layoutLine says what is with one layout.
type layoutLine struct {
	Layout string    `json:"layout"`
	State  string    `json:"state"`
	Time   time.Time `json:"time,omitzero"`
}

// showLayouts prints what layout.conf lists, and what the last run or change says
// will become of it.
func (p *place) showLayouts(e *env, asJSON bool) error {
	if err := p.resolve(); err != nil {
		return err
	}
	if err := vault.Check(p.distfiles, p.state); err != nil {
		return err
	}
	listed, err := layout.Load(p.distfiles)
	if err != nil {
		return err
	}
	var last report.Summary
	if err := report.LoadStatus(store.ReportDir(p.state), &last); err != nil && !errors.Is(err, report.ErrNoRun) {
		return err
	}
	var lines []layoutLine
	for _, l := range listed {
		lines = append(lines, layoutLine{Layout: l.String(), State: "listed"})
	}
	if c := last.Layouts; c != nil {
		for _, l := range c.Next {
			state := "next"
			if c.Due.IsZero() {
				state = "linking"
			}
			lines = append(lines, layoutLine{l, state, c.Due})
		}
		for _, l := range slices.Sorted(maps.Keys(c.Leaving)) {
			lines = append(lines, layoutLine{l, "leaving", c.Leaving[l]})
		}
	}
	if asJSON {
		return writeJSON(e.stdout, lines)
	}
	t := newTable(e.stdout)
	for _, l := range lines {
		when := ""
		if !l.Time.IsZero() {
			when = stamp(l.Time)
		}
		t.row(l.Layout, l.State, when)
	}
	return t.flush()
}

// changing says in lines what becomes of layouts.
func changing(c *report.Layouts) (lines []string) {
	if c == nil {
		return nil
	}
	next := strings.Join(c.Next, ", ")
	switch {
	case len(c.Next) == 0:
	case !c.Due.IsZero():
		lines = append(lines, next+" from "+stamp(c.Due)+" on")
	default:
		lines = append(lines, fmt.Sprintf("%s when the links of %s are made", next, plural(c.Unlinked, "file")))
	}
	for _, l := range slices.Sorted(maps.Keys(c.Leaving)) {
		lines = append(lines, l+" keeps its paths until "+stamp(c.Leaving[l]))
	}
	return lines
}
