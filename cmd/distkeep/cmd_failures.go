package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/report/triage"
	"distkeep/archive/requests"
	"distkeep/archive/undo"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

const failuresHelp = `Print a line for each distfile that is wanted and not in the archive: name, class,
number of runs that tried, the time of the first, the owner, and the reason; on a
terminal name, class, age, owner and reason, as many as fit. With --long, print all
that is known of each: every place that was asked with its answer, all owners, who
looks after the package, when the next try is due, and what can be done. It reads what
the last run exported, and says on standard error how old that is.

Three questions have one command each: what is new is told by --new, whose it is by
--by maintainer, and what to do by --by class. A GLOB has * for any text and ? for any
character; several options mean what they have in common. --by prints a line a group:
failures, new ones, missing bytes, the day of the oldest, the group and an example. A
file with several owners, or asked of several hosts, is in the group of each.

--class restricted lists what the trees forbid to mirror, with the reason, which is no
failure and is in no other list.

What failed for good, such as a file that is gone, is not tried in every run: the
pauses grow from an hour to a day. With --retry, the next run tries the names, or
with --all all of them.
`

// failuresFlags are the options of failures.
type failuresFlags struct {
	place
	filter                          triage.Filter
	class, by, format               string
	since                           durationValue
	asJSON, hints, long, retry, all bool
}

func failuresCommand(e *env) *cli.Command {
	o := new(failuresFlags)
	return &cli.Command{
		Name:        "failures",
		Usage:       "list what could not be fetched, and why",
		UsageText:   "distkeep failures --archive DIR [OPTIONS] [NAME...]\ndistkeep failures --archive DIR --by WHAT [OPTIONS] [NAME...]\ndistkeep failures --archive DIR --retry NAME...|--all",
		ArgsUsage:   "[NAME...]",
		Description: failuresHelp,
		Flags: append(o.flags(), jsonFlag(&o.asJSON),
			&cli.BoolFlag{Name: "new", Usage: "only what the run before the last had not", Destination: &o.filter.New},
			&cli.GenericFlag{Name: "since", Usage: "only what failed first within `DURATION`", Value: &o.since},
			&cli.StringFlag{Name: "class", Usage: "only failures of `CLASS`, such as gone or digest", Destination: &o.class},
			&cli.StringFlag{Name: "host", Usage: "only what was asked of a host like `GLOB`", Destination: &o.filter.Host},
			&cli.StringFlag{Name: "owner", Usage: "only what a package like `GLOB` wants, with its ::repository or without", Destination: &o.filter.Owner},
			&cli.StringFlag{Name: "maintainer", Usage: "only what somebody like `GLOB` looks after", Destination: &o.filter.Maintainer},
			&cli.StringFlag{Name: "name", Usage: "only files called like `GLOB`", Destination: &o.filter.Name},
			&cli.StringFlag{Name: "by", Usage: "count by `WHAT`: " + strings.Join(triage.Keys, ", "), Destination: &o.by},
			&cli.StringFlag{Name: "format", Usage: "print each record by `TEMPLATE`, as of Go's text/template, such as '{{.Name}} {{.Owner}}'", Destination: &o.format},
			&cli.BoolFlag{Name: "long", Usage: "print all that is known of each", Destination: &o.long},
			&cli.BoolFlag{Name: "hints", Usage: "say what can be done about each", Destination: &o.hints},
			&cli.BoolFlag{Name: "retry", Usage: "let the next run try the files called NAME", Destination: &o.retry},
			&cli.BoolFlag{Name: "all", Usage: "with --retry: let it try all", Destination: &o.all}),
		Action: func(c *cli.Context) error {
			if o.retry || o.all {
				return runRetry(c, e, &o.place, o.retry, o.all)
			}
			return o.run(c, e)
		},
	}
}

func (o *failuresFlags) run(c *cli.Context, e *env) error {
	if known := failure.Classes(); o.class != "" && !slices.Contains(known, failure.Class(o.class)) {
		var names []string
		for _, k := range known {
			names = append(names, string(k))
		}
		return usagef("failures: there is no class %s%s; the classes are\n%s", o.class, suggest(o.class, names), classList(known))
	}
	if o.by != "" && !slices.Contains(triage.Keys, o.by) {
		return usagef("failures: --by %s: use one of %s%s", o.by, strings.Join(triage.Keys, ", "), suggest(o.by, slices.Clone(triage.Keys)))
	}
	dir, err := o.reading(c.Context, e)
	if err != nil {
		return err
	}
	o.filter.Class = failure.Class(o.class)
	if o.since > 0 {
		o.filter.Since = e.now().Add(-time.Duration(o.since))
	}
	names := c.Args().Slice()
	o.sayAge(e, dir)
	l := &failureList{dir: dir, names: names, found: make(map[string]bool, len(names)), o: o}
	if o.by != "" {
		groups := triage.Groups(l.each, o.by)
		err = l.err
		if err == nil {
			err = printRecords(e, o, slices.Values(groups), func(t *table) { printGroups(t, groups, o.by) })
		}
	} else {
		err = printRecords(e, o, l.each, func(t *table) {
			switch {
			case o.long:
				printLong(t, l.each, e.now())
			default:
				printFailures(t, l.each, o.hints, e.now())
			}
		})
	}
	if err = errors.Join(err, l.err); err != nil {
		return err
	}
	warn := e.warner()
	for _, n := range names {
		if !l.found[n] {
			warn(fmt.Sprintf("%s: the last run had no failure of that name", n))
		}
	}
	return nil
}

// A failureList is the failures that are meant, of which it holds none.
type failureList struct {
	dir   string
	names []string // of files; none are all
	o     *failuresFlags
	// found are the names that have a failure at all, and err why there are no more.
	found map[string]bool
	err   error
}

// each yields them.
func (l *failureList) each(yield func(*report.Failure) bool) {
	q := report.Question{Names: l.names}
	if len(l.names) == 0 { // of a name it is said that none has it
		q.New, q.Class = l.o.filter.New, l.o.class
	}
	all := report.Failures(l.dir, q)
	if l.o.class == string(failure.Restricted) {
		all = report.Restricted(l.dir)
	}
	means := l.o.filter.Means()
	for f, err := range all {
		if err != nil {
			l.err = err
			return
		}
		if len(l.names) > 0 {
			if !slices.Contains(l.names, f.Name) {
				continue
			}
			l.found[f.Name] = true
		}
		if means(f) && !yield(f) {
			return
		}
	}
}

// printRecords prints records as was asked for, by print if nothing was.
func printRecords[T any](e *env, o *failuresFlags, records iter.Seq[*T], print func(*table)) error {
	switch {
	case o.asJSON:
		return writeRecords(e.stdout, records)
	case o.format != "":
		return writeFormat(e.stdout, records, o.format)
	}
	t := newTable(e.stdout)
	t.rest = strings.TrimSpace("distkeep failures "+strings.Join(behindCommand(e.args, "failures"), " ")) + " | less"
	print(t)
	return t.flush()
}

// behindCommand are the arguments behind the name of a command.
func behindCommand(args []string, name string) []string {
	if i := slices.Index(args, name); i >= 0 {
		return args[i+1:]
	}
	return nil
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
	a, err := p.open(c.Context, e, "distkeep failures --retry", vault.Events{Warn: e.warner()})
	if errors.Is(err, vault.ErrLocked) {
		return p.queue(e, &requests.Request{Do: requests.Retry, Names: names}, err)
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	n, err := undo.Retry(c.Context, a, names)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "the next run tries %s that it would not have tried\n", plural(n, "failure"))
	return err
}
