package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/archive/imported"
	"distkeep/archive/takeover"
	"distkeep/archive/vault"
	"distkeep/catalog/regular"
)

const importHelp = `Make an archive know what another program knew of it, so that deletions keep
their days, owners and dates of recycling. FILE, or - for standard input, has
the lines of the exporter for the databases of emirrordist, or what portage's
shelve-utils dump wrote of any of them, or is the history or distinfo of dpb.

Only the Python that wrote the databases of emirrordist knows their formats.
--print-exporter prints the exporter: run it with that Python, and give it
the options --deletion-db, --distfiles-db, --content-db and --recycle-db of
emirrordist.

With --recycle-dir, its files are put into recycle, as links where that can be:
they come back from there, without a transfer, when they are wanted. Nothing
that is read is changed. The days count from the next run with --delete.

`

// importFlags are the options of import.
type importFlags struct {
	place
	recycleDir    string
	printExporter bool
	json          bool
}

func importCommand(e *env) *cli.Command {
	o := &importFlags{}
	return &cli.Command{
		Name:        "import",
		Usage:       "take over what emirrordist or dpb knew of the archive",
		UsageText:   "distkeep import --archive DIR [--recycle-dir DIR] [FILE...]\ndistkeep import --print-exporter",
		ArgsUsage:   "[FILE...]",
		Description: importHelp + exitHelp,
		Flags: append(o.place.flags(), jsonFlag(&o.json),
			&cli.StringFlag{Name: "recycle-dir", Usage: "put the files of `DIR` into recycle", Destination: &o.recycleDir},
			&cli.BoolFlag{Name: "print-exporter", Usage: "print the program that prints the databases of emirrordist, and do nothing else", Destination: &o.printExporter}),
		Action: func(c *cli.Context) error { return runImport(c, e, o) },
	}
}

func runImport(c *cli.Context, e *env, o *importFlags) error {
	if o.printExporter {
		_, err := io.WriteString(e.stdout, imported.Exporter)
		return err
	}
	if c.NArg() == 0 && o.recycleDir == "" {
		return usagef("import: say what to import: FILE or --recycle-dir DIR")
	}
	if err := o.place.resolve(); err != nil {
		return err
	}
	if err := o.inFiles("import", "what another program has kept are files of an archive"); err != nil {
		return err
	}
	facts := new(imported.Facts)
	for _, name := range c.Args().Slice() {
		if err := readFacts(e, facts, name); err != nil {
			return usageError{err}
		}
	}
	s, err := takeOver(c.Context, e, o.place, facts, o.recycleDir)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(e.stdout).Encode(s)
	}
	return printImport(e.stdout, s)
}

// readFacts reads one file, or standard input.
func readFacts(e *env, facts *imported.Facts, name string) error {
	if name == "-" {
		return facts.Read("standard input", e.stdin)
	}
	f, err := regular.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return facts.Read(name, f)
}

// takeOver gives facts to the archive.
func takeOver(ctx context.Context, e *env, p place, facts *imported.Facts, recycleDir string) (s *takeover.Summary, err error) {
	warn := e.warner()
	for i, err := range facts.Skipped {
		if i == maxShown {
			warn(fmt.Sprintf("import: and %d more", len(facts.Skipped)-i))
			break
		}
		warn(fmt.Sprintf("import: left out: %v", err))
	}
	a, err := p.open(ctx, e, "distkeep import", vault.Events{Warn: warn})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	return takeover.Import(ctx, a, facts, recycleDir)
}

// printImport prints what is known now.
func printImport(w io.Writer, s *takeover.Summary) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{label}, args...)...)
	}
	line("unwanted", "%s since a day that is known, for the next run with --delete", plural(s.Unwanted, "name"))
	line("owners", "%s whose last package is known", plural(s.Owners, "name"))
	line("contents", "%s by digest", plural(s.Contents, "name"))
	line("recycle", "%s new, %s there before", count(s.Recycled), files(s.Held))
	line("history", "%s, distinfo has %s", plural(s.History, "line"), plural(s.Distinfo, "line"))
	_, err := io.WriteString(w, b.String())
	return err
}

// runExporter runs the exporter for databases of emirrordist, which args name.
func runExporter(ctx context.Context, args []string) (*imported.Facts, error) {
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-"}, args...)...)
	cmd.Stdin = strings.NewReader(imported.Exporter)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	err := cmd.Run()
	if text := strings.TrimSpace(errs.String()); text != "" && err != nil {
		first, _, _ := strings.Cut(text, "\n")
		err = fmt.Errorf("%w: %s", err, first)
	}
	facts := new(imported.Facts)
	if err == nil {
		err = facts.Read("the exporter", &out)
	}
	return facts, err
}
