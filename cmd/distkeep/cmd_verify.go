package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/archive/verify"
	"distkeep/catalog"
)

const verifyHelp = `Read the files of the archive again and compare them with their SHA-256, those
first that were read longest ago. Stopped by its budget or by a signal, it goes on
where it ended the next time. A file with many names is read once, from the disk
where the system allows it, and does not push other files out of memory.

A file that is not right is moved to STATE/quarantine with all its links, and the
next mirror run fetches it; no other command reads files that were verified once.
With names, only these are read.

`

// budgetValue is a flag that is a size or a duration.
type budgetValue struct {
	size sizeValue
	time durationValue
}

var _ cli.Generic = (*budgetValue)(nil)

// Set parses s: 2h or 30m is a duration, 200GiB or 500MB a size.
func (v *budgetValue) Set(s string) error {
	var d durationValue
	if d.Set(s) == nil {
		v.size, v.time = 0, d
		return nil
	}
	v.time = 0
	if v.size.Set(s) != nil {
		return fmt.Errorf("%q is neither a size nor a duration: write 200GiB or 2h", s)
	}
	return nil
}

// String returns what was set.
func (v *budgetValue) String() string {
	switch {
	case v.size > 0:
		return v.size.String()
	case v.time > 0:
		return v.time.String()
	}
	return ""
}

// verifyFlags are the options of verify.
type verifyFlags struct {
	place
	budget    budgetValue
	rate      sizeValue
	olderThan durationValue
	jobs      int
	json      bool
}

func verifyCommand(e *env) *cli.Command {
	o := &verifyFlags{}
	return &cli.Command{
		Name:        "verify",
		Usage:       "read the archive again, the oldest-verified files first",
		UsageText:   "distkeep verify --archive DIR [--budget 200GiB|2h] [OPTIONS] [NAME...]",
		ArgsUsage:   "[NAME...]",
		Description: verifyHelp + exitHelp,
		Flags: append(o.place.flags(), jsonFlag(&o.json),
			&cli.GenericFlag{Name: "budget", Usage: "begin no file after `SIZE|DURATION`, such as 200GiB or 2h", Value: &o.budget},
			&cli.GenericFlag{Name: "rate", Usage: "read at most `SIZE` a second", Value: &o.rate},
			&cli.GenericFlag{Name: "older-than", Usage: "leave out what was read within `DURATION`", Value: &o.olderThan},
			&cli.IntFlag{Name: "jobs", Usage: "read `N` files at once", Value: 2, Destination: &o.jobs}),
		Action: func(c *cli.Context) error { return runVerify(c, e, o) },
	}
}

func runVerify(c *cli.Context, e *env, o *verifyFlags) (err error) {
	var names []catalog.Name
	if c.NArg() > 0 {
		if names, err = nameArgs(c); err != nil {
			return err
		}
	}
	if o.jobs < 1 {
		return usagef("verify: --jobs is at least 1")
	}
	if o.budget.time > 0 && time.Duration(o.budget.time) < time.Second {
		return usagef("verify: --budget %s is too short", o.budget.String())
	}
	p := newProgress(e)
	defer p.stop()
	a, err := o.place.open(c.Context, e, "distkeep verify", events(e.logger(false, false), runLogs{}, p))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	s, err := verify.Verify(c.Context, a, verify.Options{
		Names: names, OlderThan: time.Duration(o.olderThan), Bytes: int64(o.budget.size), Time: time.Duration(o.budget.time),
		Rate: int64(o.rate), Jobs: o.jobs,
	})
	p.stop()
	if s == nil {
		return err
	}
	var perr error
	if o.json {
		perr = json.NewEncoder(e.stdout).Encode(s)
	} else {
		perr = printVerify(e.stdout, s)
	}
	switch {
	case err != nil || perr != nil:
		return errors.Join(err, perr)
	case len(s.Damaged)+len(s.Unread) > 0:
		return status(exitBroken)
	}
	return nil
}

// open opens the archive for a command.
func (p *place) open(ctx context.Context, e *env, what string, ev vault.Events) (*vault.Vault, error) {
	if err := p.resolve(); err != nil {
		return nil, err
	}
	o, err := p.vaultOptions(ctx, e, what, ev)
	if err != nil {
		return nil, err
	}
	return vault.Open(o)
}

// printVerify prints what a verification found.
func printVerify(w io.Writer, s *verify.Summary) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{label}, args...)...)
	}
	line("verified", "%s", count(s.Verified))
	for _, d := range s.Damaged {
		line("damaged", "%s: %s%s", joinNames(d.Names), d.Reason, outcomeOf(d))
	}
	for _, d := range s.Unread {
		line("unread", "%s: %s", joinNames(d.Names), d.Reason)
	}
	if s.Left.Files > 0 {
		line("left", "%s", count(s.Left))
	}
	printAges(line, s.Ages, s.Start)
	line("took", "%v", s.Took.Round(time.Millisecond))
	if s.Interrupted {
		line("interrupted", "what was read counts; the next verify goes on")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func joinNames(names []catalog.Name) string {
	if len(names) > maxShown {
		return fmt.Sprintf("%s and %d other names", names[0], len(names)-1)
	}
	s := make([]string, len(names))
	for i, n := range names {
		s[i] = string(n)
	}
	return strings.Join(s, ", ")
}

func outcomeOf(d verify.Damage) string {
	s := ""
	if len(d.Kept) > 0 {
		s = "; moved to " + strings.Join(d.Kept, ", ")
	}
	if d.Stuck {
		return s + "; it is still published: move it away, and the next mirror run fetches it if it is wanted"
	}
	if d.Healed {
		return s + "; another file of the archive with the right bytes is in its place"
	}
	return s + "; the next mirror run fetches it if it is wanted"
}

// printAges prints when the archive was last read.
func printAges(line func(label, format string, args ...any), a report.Ages, now time.Time) {
	if len(a.Within) == 0 {
		return
	}
	const day = 24 * time.Hour
	days := max(1, int((now.Sub(a.Oldest)+day-1)/day))
	var parts []string
	for _, x := range a.Within {
		if x.Files > 0 {
			parts = append(parts, fmt.Sprintf("%s within %s", files(x.Count), plural(x.Days, "day")))
		}
	}
	if n := a.Older.Files - a.Unknown.Files; n > 0 {
		parts = append(parts, plural(n, "file")+" before")
	}
	when := "every byte within the last " + plural(days, "day")
	if a.Unknown.Files > 0 {
		when = "not every byte: the clock was wrong once, and verify begins with what it was wrong about"
		parts = append(parts, files(a.Unknown)+" at a time that has yet to come")
	}
	asOf := ""
	if !a.At.IsZero() && now.After(a.At) { // older programs have not said when
		asOf = "as of " + stamp(a.At) + ": "
	}
	line("last read", "%s (%s%s)", when, asOf, strings.Join(parts, ", "))
}

// warner prints what an operator should know.
func (e *env) warner() func(msg string) {
	log := e.logger(false, false)
	return func(msg string) { log.Warn().Msg(msg) }
}
