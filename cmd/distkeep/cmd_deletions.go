package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/requests"
	"distkeep/archive/undo"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

const deletionsHelp = `Print a line for each file that is on its way out, the next to go first: name,
state (scheduled: still published; recycled: in recycle), when it leaves that
state at the earliest, size in bytes, the owner that wanted it last, and SHA-256.
The last are protected: no package is known to want them, but one that cannot be
known may; --json says which. It reads what the last run exported, and says on standard error how old that is.

With --undo, take names off the schedule, and publish again what is in recycle
under them. That counts for a deletion delay, and for a day at least: a file that
still nobody wants is scheduled again then. To keep one for good, put it on the
whitelist: distkeep whitelist add.
`

func deletionsCommand(e *env) *cli.Command {
	var p place
	var asJSON, undo, all bool
	return &cli.Command{
		Name:        "deletions",
		Usage:       "list what is scheduled for deletion or in recycle",
		UsageText:   "distkeep deletions --archive DIR [OPTIONS] [NAME...]\ndistkeep deletions --archive DIR --undo NAME...|--all",
		ArgsUsage:   "[NAME...]",
		Description: deletionsHelp,
		Flags: append(p.flags(), jsonFlag(&asJSON),
			&cli.BoolFlag{Name: "undo", Usage: "keep the files called NAME", Destination: &undo},
			&cli.BoolFlag{Name: "all", Usage: "with --undo: keep all that the list has", Destination: &all}),
		Action: func(c *cli.Context) error {
			if undo || all {
				return runUndo(c, e, &p, undo, all, asJSON)
			}
			dir, err := p.reading(c.Context, e)
			if err != nil {
				return err
			}
			ds, err := report.LoadDeletions(dir)
			if err != nil {
				return err
			}
			p.sayAge(e, dir)
			if names := c.Args().Slice(); len(names) > 0 {
				for _, n := range names {
					if !slices.ContainsFunc(ds, func(d report.Deletion) bool { return d.Name == n }) {
						e.warner()(fmt.Sprintf("%s: no file of that name is scheduled, in recycle or protected", n))
					}
				}
				ds = slices.DeleteFunc(ds, func(d report.Deletion) bool { return !slices.Contains(names, d.Name) })
			}
			if asJSON {
				return writeJSON(e.stdout, ds)
			}
			return printDeletions(e.stdout, ds)
		},
	}
}

// runUndo prints a line for each content that stays: name, where it was, how it
// is kept now, and SHA-256.
func runUndo(c *cli.Context, e *env, p *place, undone, all, asJSON bool) (err error) {
	names, err := namesToUndo(c, undone, all)
	if err != nil {
		return err
	}
	a, err := p.open(c.Context, e, "distkeep deletions --undo", vault.Events{Warn: e.warner()})
	if errors.Is(err, vault.ErrLocked) {
		return p.queue(e, &requests.Request{Do: requests.Undo, Names: names}, err)
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	us, err := undo.Undo(c.Context, a, names)
	if len(us) == 0 && err != nil {
		return err
	}
	return errors.Join(err, printUndone(e.stdout, us, asJSON))
}

// namesToUndo are those of the arguments, or none for all.
func namesToUndo(c *cli.Context, undone, all bool) ([]catalog.Name, error) {
	switch {
	case !undone:
		return nil, usagef("deletions: --all goes with --undo; without names, deletions lists all")
	case all && c.NArg() > 0:
		return nil, usagef("deletions: say --undo NAME... or --undo --all, not both")
	case all:
		return nil, nil
	}
	return nameArgs(c)
}

func printUndone(w io.Writer, us []undo.Undone, asJSON bool) error {
	if asJSON {
		return writeJSON(w, us)
	}
	t := newTable(w)
	for _, u := range us {
		was, now := "scheduled", "published"
		if u.Recycled {
			was = "recycled"
		}
		if !u.Named {
			now = "by its digest only"
		}
		t.row(string(u.Name), was, now, u.SHA256)
	}
	return t.flush()
}

func printDeletions(w io.Writer, ds []report.Deletion) error {
	t := newTable(w)
	for _, d := range ds {
		due := "-"
		if !d.Due.IsZero() {
			due = d.Due.UTC().Format(time.RFC3339)
		}
		t.row(d.Name, d.State, due, itoa(d.Size), d.Owner, d.SHA256)
	}
	return t.flush()
}
