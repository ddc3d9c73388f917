package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
)

const statusHelp = `It reads what the last run exported, and who holds the lock. It needs no lock itself
and may be called during a run.

With --check it prints one line for Nagios and its like, and exits with 0 when all is
well, 1 for a warning, 2 for what is critical and 3 when it cannot be told. Critical are
an archive that is broken, damaged or out of room, and no complete run within --max-age;
that is a warning while a run goes on. Warnings are a run that was killed, an incomplete
scan, a guard, no host that answers, little room, a tree that is a day old by its own
metadata/timestamp.chk, and, with --max-new, new failures.

With --json every field is always there; schema changes when one changes its meaning.
`

func statusCommand(e *env) *cli.Command {
	var p place
	var asJSON, check bool
	maxAge, maxNew := durationValue(3*time.Hour), 0
	return &cli.Command{
		Name:        "status",
		Usage:       "show how the last run ended and what the archive holds",
		UsageText:   "distkeep status --archive DIR [--json]\ndistkeep status --archive DIR --check [--max-age DURATION] [--max-new N]",
		Description: statusHelp,
		Flags: append(p.flags(), jsonFlag(&asJSON),
			&cli.BoolFlag{Name: "check", Usage: "judge the archive in a line and an exit status, as Nagios has it", Destination: &check},
			&cli.GenericFlag{Name: "max-age", Usage: "with --check: how old the last complete run may be: `DURATION`", Value: &maxAge},
			&cli.IntFlag{Name: "max-new", Usage: "with --check: how many new failures, `N`, are no warning; negative is any number", Value: -1, Destination: &maxNew}),
		Action: func(c *cli.Context) error {
			if check {
				return runCheck(c.Context, e, &p, report.Limits{MaxAge: time.Duration(maxAge), MaxNew: maxNew})
			}
			dir, err := p.reading(c.Context, e)
			if err != nil {
				return err
			}
			s, err := p.status(dir)
			if err != nil && (!errors.Is(err, report.ErrNoRun) || s.Holder == "") {
				return err
			}
			if asJSON {
				return s.encode(e.stdout)
			}
			return s.print(e.stdout, e.now())
		},
	}
}

// runCheck prints one line and exits as Nagios' plugins do, whatever happens.
func runCheck(ctx context.Context, e *env, p *place, l report.Limits) error {
	dir, err := p.reading(ctx, e)
	var s statusRecord
	if err == nil {
		s, err = p.status(dir)
	}
	level, line := report.Unclear, ""
	if err == nil || errors.Is(err, report.ErrNoRun) && dir != "" {
		c := report.Condition{Summary: s.Summary, Since: s.Since}
		if s.Running {
			c.Running = s.Holder
		} else {
			c.Killed = s.Holder
		}
		level, line = c.Check(e.now(), l)
	} else {
		line = "DISTKEEP UNKNOWN - " + report.OneLine(err.Error())
	}
	if _, err := fmt.Fprintln(e.stdout, line); err != nil {
		return err
	}
	return status(level)
}

// A statusRecord is what status tells: how the last run ended, and what is going
// on since.
type statusRecord struct {
	*report.Summary        // nil before the first run has ended
	Holder          string `json:"holder"`
	// Running is false when the holder was killed.
	Running bool `json:"running"`
	// Since is the number of failures that were found after the last run.
	Since int `json:"failures_since"`
	// Progress is where the run stands that goes on, or nil.
	Progress *report.Progress `json:"progress"`
}

// status finds out how the last run ended and what goes on. Its error is of the first.
func (p *place) status(dir string) (s statusRecord, err error) {
	s.Summary = new(report.Summary)
	if s.Holder, s.Running, err = vault.Holder(p.state); err != nil {
		return s, err
	}
	if s.Running {
		s.Progress = report.LoadProgress(dir, holderPID(s.Holder))
	}
	return s, s.load(dir)
}

// holderPID is the process that the lock file names.
func holderPID(holder string) (pid int) {
	if _, rest, ok := strings.Cut(holder, ", pid "); ok {
		_, _ = fmt.Sscan(rest, &pid) // zero is of nobody
	}
	return pid
}

// encode prints all fields; those of a run are zero before there was one.
func (s *statusRecord) encode(w io.Writer) error {
	if s.Summary == nil {
		s.Summary = &report.Summary{Schema: report.Schema}
	}
	report.Fill(s.Summary)
	return json.NewEncoder(w).Encode(s)
}

func (s *statusRecord) load(dir string) error {
	if err := report.LoadStatus(dir, s.Summary); err != nil {
		s.Summary = nil
		return err
	}
	var err error
	s.Since, err = report.CountFailures(dir, s.Start)
	if errors.Is(err, report.ErrNoRun) {
		return nil // somebody has removed the list; the next run writes it
	}
	return err
}

func (s *statusRecord) print(w io.Writer, now time.Time) error {
	var b strings.Builder
	switch {
	case s.Running:
		fmt.Fprintf(&b, "%-12s %s\n", "running", s.Holder)
		if s.Progress != nil {
			fmt.Fprintf(&b, "%-12s %s\n", "progress", progressText(s.Progress))
		}
	case s.Holder != "":
		fmt.Fprintf(&b, "%-12s %s, was killed or failed; the next run goes on\n", "broken off", s.Holder)
	}
	if s.Summary == nil {
		fmt.Fprintf(&b, "%-12s none has finished yet\n", "last run")
		_, err := io.WriteString(w, b.String())
		return err
	}
	if s.Since > 0 {
		fmt.Fprintf(&b, "%-12s %s since the last run: see distkeep failures\n", "found", plural(s.Since, "failure"))
	}
	fmt.Fprintf(&b, "%-12s %s at %s, %v ago\n", "last run", s.Command, s.Start.Format(time.RFC3339), now.Sub(s.Start).Round(time.Second))
	for _, r := range s.Shards {
		fmt.Fprintf(&b, "%-12s %s\n", "shard", shardText(&r, now))
	}
	for _, r := range s.Repositories {
		switch {
		case !r.Timestamp.IsZero():
			fmt.Fprintf(&b, "%-12s %s was made at %s, %s before the run\n", "tree", r.Name, stamp(r.Timestamp), age(s.Start.Sub(r.Timestamp)))
		case !r.Commit.IsZero():
			fmt.Fprintf(&b, "%-12s %s has its newest commit of %s\n", "tree", r.Name, stamp(r.Commit))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return printSummary(w, s.Summary)
}

// sayAge tells on standard error how old the exported lists are, and whether a
// run is going on that will change them. What it cannot tell, status does.
func (p *place) sayAge(e *env, dir string) {
	var last struct {
		Start time.Time `json:"start"`
	}
	if report.LoadStatus(dir, &last) != nil {
		return
	}
	meanwhile := ""
	if who, held, err := vault.Holder(p.state); err == nil && held {
		meanwhile = "; now running: " + who
	}
	fmt.Fprintf(e.stderr, "distkeep: as of the run of %s, %v ago%s\n", stamp(last.Start), e.now().Sub(last.Start).Round(time.Second), meanwhile)
}

// reports returns the directory of what the last run exported, for a command that is about
// this machine too.
func (p *place) reports() (string, error) {
	is, err := p.bound()
	if err == nil && is != nil && is.Reader {
		err = is.Refuse(p.state)
	}
	if err != nil {
		return "", err
	}
	return store.ReportDir(p.state), nil
}

// bound checks that there is an archive, and returns what it is bound to.
func (p *place) bound() (*vault.Binding, error) {
	if err := p.resolve(); err != nil {
		return nil, err
	}
	if err := vault.Check(p.distfiles, p.state); err != nil {
		return nil, err
	}
	return vault.Bound(p.state)
}

// writeJSON prints records, one a line.
func writeJSON[T any](w io.Writer, records []T) error {
	return writeRecords(w, report.Each(records))
}

// outSize is how much is printed at once.
const outSize = 64 << 10

func writeRecords[T any](w io.Writer, records iter.Seq[*T]) (err error) {
	b := bufio.NewWriterSize(w, outSize)
	var line []byte
	for r := range records {
		if line, err = report.AppendLine(line[:0], r); err != nil {
			return err
		}
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return b.Flush()
}
