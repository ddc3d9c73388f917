package main

import (
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
)

const deletionsHelp = `Print a line for each file that is on its way out, the next to go first: name,
state (scheduled: still published; recycled: in recycle), when it leaves that
state at the earliest, size in bytes, the owner that wanted it last, and SHA-256.
It reads what the last run exported.
`

func deletionsCommand(e *env) *cli.Command {
	var p place
	var asJSON bool
	return &cli.Command{
		Name:        "deletions",
		Usage:       "list what is scheduled for deletion or in recycle",
		UsageText:   "distkeep deletions --archive DIR [OPTIONS] [NAME...]",
		ArgsUsage:   "[NAME...]",
		Description: deletionsHelp,
		Flags:       append(p.flags(), jsonFlag(&asJSON)),
		Action: func(c *cli.Context) error {
			dir, err := p.reports()
			if err != nil {
				return err
			}
			ds, err := report.LoadDeletions(dir)
			if err != nil {
				return err
			}
			if names := c.Args().Slice(); len(names) > 0 {
				ds = slices.DeleteFunc(ds, func(d report.Deletion) bool { return !slices.Contains(names, d.Name) })
			}
			if asJSON {
				return writeJSON(e.stdout, ds)
			}
			return printDeletions(e.stdout, ds)
		},
	}
}

func printDeletions(w io.Writer, ds []report.Deletion) error {
	t := newTable(w)
	for _, d := range ds {
		t.row(d.Name, d.State, d.Due.UTC().Format(time.RFC3339), itoa(d.Size), d.Owner, d.SHA256)
	}
	return t.flush()
}
