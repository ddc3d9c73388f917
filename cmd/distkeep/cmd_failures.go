package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
)

const failuresHelp = `Print a line for each distfile that is wanted and not in the archive: name, class,
number of runs that tried, the time of the first, the owner, and the reason. With
--hints, a second line says what can be done. It reads what the last run exported.
`

func failuresCommand(e *env) *cli.Command {
	var p place
	var asJSON, hints bool
	class := ""
	return &cli.Command{
		Name:        "failures",
		Usage:       "list what could not be fetched, and why",
		UsageText:   "distkeep failures --archive DIR [OPTIONS] [NAME...]",
		ArgsUsage:   "[NAME...]",
		Description: failuresHelp,
		Flags: append(p.flags(), jsonFlag(&asJSON),
			&cli.StringFlag{Name: "class", Usage: "only failures of `CLASS`, such as gone or digest", Destination: &class},
			&cli.BoolFlag{Name: "hints", Usage: "say what can be done about each", Destination: &hints}),
		Action: func(c *cli.Context) error {
			dir, err := p.reports()
			if err != nil {
				return err
			}
			fs, err := report.LoadFailures(dir)
			if err != nil {
				return err
			}
			names := c.Args().Slice()
			fs = slices.DeleteFunc(fs, func(f report.Failure) bool {
				return class != "" && f.Class != class || len(names) > 0 && !slices.Contains(names, f.Name)
			})
			if asJSON {
				return writeJSON(e.stdout, fs)
			}
			return printFailures(e.stdout, fs, hints)
		},
	}
}

func printFailures(w io.Writer, fs []report.Failure, hints bool) error {
	t := newTable(w)
	for _, f := range fs {
		t.row(f.Name, f.Class, fmt.Sprint(f.Count), f.First.UTC().Format(time.RFC3339), f.Owner, f.Reason)
		if hints && f.Hint != "" {
			t.note("    hint: " + f.Hint)
		}
	}
	return t.flush()
}
