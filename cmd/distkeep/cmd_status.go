package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive"
	"distkeep/archive/report"
)

func statusCommand(e *env) *cli.Command {
	var p place
	var asJSON bool
	return &cli.Command{
		Name:        "status",
		Usage:       "show how the last run ended and what the archive holds",
		UsageText:   "distkeep status --archive DIR [--json]",
		Description: "It reads what the last run exported: it needs no lock and may be called during a run.",
		Flags:       append(p.flags(), jsonFlag(&asJSON)),
		Action: func(*cli.Context) error {
			dir, err := p.reports()
			if err != nil {
				return err
			}
			var s archive.Summary
			if err := report.LoadStatus(dir, &s); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(e.stdout).Encode(s)
			}
			age := e.now().Sub(s.Start).Round(time.Second)
			if _, err := fmt.Fprintf(e.stdout, "%-12s %s at %s, %v ago\n", "last run", s.Command, s.Start.Format(time.RFC3339), age); err != nil {
				return err
			}
			return printSummary(e.stdout, &s)
		},
	}
}

// reports returns the directory of what the last run exported.
func (p *place) reports() (string, error) {
	if err := p.resolve(); err != nil {
		return "", err
	}
	if err := archive.Check(p.distfiles, p.state); err != nil {
		return "", err
	}
	return filepath.Join(p.state, "report"), nil
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
