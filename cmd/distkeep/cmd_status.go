package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
)

func statusCommand(e *env) *cli.Command {
	var p place
	var asJSON bool
	return &cli.Command{
		Name:        "status",
		Usage:       "show how the last run ended and what the archive holds",
		UsageText:   "distkeep status --archive DIR [--json]",
		Description: "It reads what the last run exported, and who holds the lock. It needs no lock itself\nand may be called during a run.",
		Flags:       append(p.flags(), jsonFlag(&asJSON)),
		Action: func(*cli.Context) error {
			dir, err := p.reports()
			if err != nil {
				return err
			}
			s := statusRecord{Summary: new(report.Summary)}
			if s.Holder, s.Running, err = vault.Holder(p.state); err != nil {
				return err
			}
			if err := s.load(dir); err != nil && (!errors.Is(err, report.ErrNoRun) || s.Holder == "") {
				return err
			}
			if asJSON {
				return json.NewEncoder(e.stdout).Encode(s)
			}
			return s.print(e.stdout, e.now())
		},
	}
}

// A statusRecord is what status tells: how the last run ended, and what is going
// on since.
type statusRecord struct {
	*report.Summary        // nil before the first run has ended
	Holder          string `json:"holder,omitempty"`
	// Running is false when the holder was killed.
	Running bool `json:"running,omitempty"`
	// Since is the number of failures that were found after the last run.
	Since int `json:"failures_since,omitempty"`
}

func (s *statusRecord) load(dir string) error {
	if err := report.LoadStatus(dir, s.Summary); err != nil {
		s.Summary = nil
		return err
	}
	fs, err := report.LoadFailures(dir)
	if errors.Is(err, report.ErrNoRun) {
		return nil // somebody has removed the list; the next run writes it
	}
	for _, f := range fs {
		if f.Last.After(s.Start) {
			s.Since++
		}
	}
	return err
}

func (s *statusRecord) print(w io.Writer, now time.Time) error {
	var b strings.Builder
	switch {
	case s.Running:
		fmt.Fprintf(&b, "%-12s %s\n", "running", s.Holder)
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

// reports returns the directory of what the last run exported.
func (p *place) reports() (string, error) {
	if err := p.resolve(); err != nil {
		return "", err
	}
	if err := vault.Check(p.distfiles, p.state); err != nil {
		return "", err
	}
	return store.ReportDir(p.state), nil
}

// writeJSON prints records, one a line.
func writeJSON[T any](w io.Writer, records []T) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
