package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

const failuresHelp = `Print a line for each distfile that is wanted and not in the archive: name, class,
number of runs that tried, the time of the first, the owner, and the reason. With
--hints, a second line says what can be done. It reads what the last run exported,
and says on standard error how old that is.

What failed for good, such as a file that is gone, is not tried in every run: the
pauses grow from an hour to a day. With --retry, the next run tries the names, or
with --all all of them.
`

func failuresCommand(e *env) *cli.Command {
	var p place
	var asJSON, hints, retry, all bool
	class := ""
	return &cli.Command{
		Name:        "failures",
		Usage:       "list what could not be fetched, and why",
		UsageText:   "distkeep failures --archive DIR [OPTIONS] [NAME...]\ndistkeep failures --archive DIR --retry NAME...|--all",
		ArgsUsage:   "[NAME...]",
		Description: failuresHelp,
		Flags: append(p.flags(), jsonFlag(&asJSON),
			&cli.StringFlag{Name: "class", Usage: "only failures of `CLASS`, such as gone or digest", Destination: &class},
			&cli.BoolFlag{Name: "hints", Usage: "say what can be done about each", Destination: &hints},
			&cli.BoolFlag{Name: "retry", Usage: "let the next run try the files called NAME", Destination: &retry},
			&cli.BoolFlag{Name: "all", Usage: "with --retry: let it try all", Destination: &all}),
		Action: func(c *cli.Context) error {
			if retry || all {
				return runRetry(c, e, &p, retry, all)
			}
			if known := failure.Classes(); class != "" && !slices.Contains(known, failure.Class(class)) {
				return usagef("failures: --class %s: the classes are\n%s", class, classList(known))
			}
			dir, err := p.reports()
			if err != nil {
				return err
			}
			fs, err := report.LoadFailures(dir)
			if err != nil {
				return err
			}
			p.sayAge(e, dir)
			names := c.Args().Slice()
			warn := e.warner()
			for _, n := range names {
				if !slices.ContainsFunc(fs, func(f report.Failure) bool { return f.Name == n }) {
					warn(fmt.Sprintf("%s: the last run had no failure of that name", n))
				}
			}
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

// classList lists classes with what they mean.
func classList(classes []failure.Class) string {
	var b strings.Builder
	for _, c := range classes {
		fmt.Fprintf(&b, "    %-12s%s\n", c, c.Text())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// runRetry makes failures due.
func runRetry(c *cli.Context, e *env, p *place, retry, all bool) (err error) {
	var names []catalog.Name
	switch {
	case !retry:
		return usagef("failures: --all goes with --retry; without names, failures lists all")
	case all && c.NArg() > 0:
		return usagef("failures: say --retry NAME... or --retry --all, not both")
	case !all:
		if names, err = nameArgs(c); err != nil {
			return err
		}
	}
	a, err := p.open(e, "distkeep failures --retry", vault.Events{Warn: e.warner()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	n, err := archive.Retry(c.Context, a, names)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "the next run tries %s that it would not have tried\n", plural(n, "failure"))
	return err
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
