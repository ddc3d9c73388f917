package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"distkeep/archive/doctor"
	"distkeep/archive/export"
	"distkeep/archive/vault"
)

const doctorHelp = `Compare the archive with its ledger and its layouts, in both directions, and say what
is wrong, a line each: the state (found, repaired or left), the kind, the file or the
name, the problem, and what is done about it. It reads no file's bytes; verify does.

With --repair, do it. Unknown bytes are read and recorded, and what is not what its
path promises is moved to STATE/quarantine; the only link to any bytes is never
removed. A ledger that is lost or damaged is moved aside and made anew from the
files of the archive, so that nothing has to be fetched again.

--export writes the ledger as JSON Lines, --import reads them into an empty one.

`

// doctorFlags are the options of doctor.
type doctorFlags struct {
	place
	repair, json bool
	local        string
	exportTo     string
	importFrom   string
}

func doctorCommand(e *env) *cli.Command {
	o := &doctorFlags{}
	return &cli.Command{
		Name:        "doctor",
		Usage:       "find and repair what is wrong with an archive",
		UsageText:   "distkeep doctor --archive DIR [--repair] [OPTIONS]\ndistkeep doctor --archive DIR --export FILE|-\ndistkeep doctor --archive DIR --import FILE|-",
		Description: doctorHelp + exitHelp,
		Flags: append(o.place.flags(), jsonFlag(&o.json),
			&cli.BoolFlag{Name: "repair", Usage: "put right what is found", Destination: &o.repair},
			&cli.StringFlag{Name: "distfiles-local", Usage: "compare the records of the drop box with `DIR`", Destination: &o.local},
			&cli.StringFlag{Name: "export", Usage: "write the ledger to `FILE`, or - for standard output", Destination: &o.exportTo},
			&cli.StringFlag{Name: "import", Usage: "read an export from `FILE`, or - for standard input, into an empty ledger", Destination: &o.importFrom}),
		Action: func(c *cli.Context) error {
			for _, name := range []string{"export", "import"} {
				if c.IsSet(name) && c.String(name) == "" {
					return usagef("doctor: --%s needs the name of a file, or -", name)
				}
			}
			switch {
			case o.exportTo != "" && o.importFrom != "", o.repair && o.exportTo+o.importFrom != "":
				return usagef("doctor: --repair, --export and --import are said alone")
			case o.exportTo != "":
				return o.export(c.Context, e)
			case o.importFrom != "":
				return o.importLedger(c.Context, e)
			}
			return o.run(c.Context, e)
		},
	}
}

func (o *doctorFlags) run(ctx context.Context, e *env) error {
	if err := o.place.resolve(); err != nil {
		return err
	}
	p := newProgress(e)
	defer p.stop()
	vo, err := o.vaultOptions(ctx, e, "distkeep doctor", events(e.logger(false, false), runLogs{}, p))
	if err != nil {
		return err
	}
	do := doctor.Options{Repair: o.repair, Local: o.local}
	if err := o.examining(ctx, &do); err != nil {
		return err
	}
	if !o.repair {
		vo.CatchUp = nil
	}
	r, err := doctor.Doctor(ctx, vo, do)
	p.stop()
	if r == nil {
		return err
	}
	if perr := o.print(e, r); perr != nil || err != nil {
		return errors.Join(err, perr)
	}
	if r.Left() > 0 {
		return status(exitBroken)
	}
	return nil
}

func (o *doctorFlags) print(e *env, r *doctor.Report) error {
	if o.json {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	t := newTable(e.stdout)
	for _, f := range r.Findings {
		state, what, remedy := "found", f.Path, f.Remedy
		switch {
		case f.Repaired:
			state = "repaired"
		case r.Repair:
			state = "left"
		}
		if what == "" {
			what = f.Name
		}
		if remedy == "" {
			remedy = "this is for a person to put right"
		}
		if f.Error != "" {
			remedy = f.Error
		}
		t.row(state, f.Kind, what, f.Problem, remedy)
	}
	for _, s := range r.Strays {
		t.row("note", "elsewhere", s.Path, count(s.Count)+" where no layout would have them", "mirror takes of them what is wanted; the rest is yours")
	}
	if err := t.flush(); err != nil {
		return err
	}
	verdict := "nothing is wrong"
	switch n, left := len(r.Findings), r.Left(); {
	case n > 0 && !r.Repair:
		verdict = plural(n, "finding") + "; distkeep doctor --repair puts right what it can"
	case n > 0:
		verdict = fmt.Sprintf("%s, %d repaired, %d left", plural(n, "finding"), n-left, left)
	}
	_, err := fmt.Fprintf(e.stderr, "distkeep: %s recorded, %s in recycle: %s\n", count(r.Archive), files(r.Recycle), verdict)
	return err
}

func (o *doctorFlags) export(ctx context.Context, e *env) (err error) {
	a, err := o.place.open(ctx, e, "distkeep doctor --export", vault.Events{Warn: e.warner()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if o.exportTo == "-" {
		return export.Ledger(a, e.stdout)
	}
	return export.LedgerFile(a, o.exportTo)
}

func (o *doctorFlags) importLedger(ctx context.Context, e *env) (err error) {
	name, in := "standard input", e.stdin
	if o.importFrom != "-" {
		f, err := os.Open(o.importFrom)
		if err != nil {
			return usagef("--import: %w", err)
		}
		defer f.Close()
		name, in = o.importFrom, io.Reader(f)
	}
	a, err := o.place.open(ctx, e, "distkeep doctor --import", vault.Events{Warn: e.warner()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	n, err := export.ImportLedger(ctx, a, name, in)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s imported\n", plural(n, "record"))
	return err
}
