package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/history"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/whitelist"
)

const whitelistHelp = `A whitelist names distfiles to keep although no package wants them, each with who
said so, when and why. The archive's own is STATE/whitelist; mirror reads it in
every run, beside those of --whitelist-from. The format is that of
profiles/package.mask, with names of distfiles:

   # Author Name <mail@example.org> (2026-01-02)
   # The reason.
   foo-1.0.tar.gz
`

// checkOwn returns an error when there is something else in its place: a directory
// would be a list without a name.
func checkOwn(path string) error {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return usagef("whitelist: %s is not a regular file", path)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// whitelistFlags are what the subcommands share.
type whitelistFlags struct {
	place
	file string
}

func (o *whitelistFlags) flags() []cli.Flag {
	return append(o.place.flags(),
		&cli.StringFlag{Name: "file", Usage: "the list is `FILE`, not the archive's own", Destination: &o.file})
}

func (o *whitelistFlags) path() (string, error) {
	if o.file != "" {
		return o.file, nil
	}
	dir, err := o.reports() // checks that there is an archive
	if err != nil {
		return "", err
	}
	return store.WhitelistFile(filepath.Dir(dir)), nil
}

func whitelistCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:        "whitelist",
		Usage:       "add, remove, list or check names to keep",
		UsageText:   "distkeep whitelist add|remove|list|check [OPTIONS] [NAME...]",
		Description: whitelistHelp,
		Subcommands: []*cli.Command{
			whitelistAdd(e), whitelistRemove(e), whitelistList(e), whitelistCheck(e),
		},
	}
}

func whitelistAdd(e *env) *cli.Command {
	var o whitelistFlags
	var author, reason string
	return &cli.Command{
		Name:        "add",
		Usage:       "add names with a reason",
		UsageText:   `distkeep whitelist add --archive DIR --author "NAME <MAIL>" --reason TEXT NAME...`,
		ArgsUsage:   "NAME...",
		Description: whitelistHelp,
		Flags: append(o.flags(),
			&cli.StringFlag{Name: "author", Usage: "who says so: `\"NAME <MAIL>\"`", Destination: &author},
			&cli.StringFlag{Name: "reason", Usage: "why, in one or more lines of `TEXT`", Destination: &reason}),
		Action: func(c *cli.Context) error {
			names, err := nameArgs(c)
			if err != nil {
				return err
			}
			if author == "" || reason == "" {
				return usagef("whitelist add: say who and why: --author \"NAME <MAIL>\" --reason TEXT")
			}
			path, err := o.path()
			if err != nil {
				return err
			}
			entries := make([]whitelist.Entry, len(names))
			for i, n := range names {
				entries[i] = whitelist.Entry{Name: n, Author: author, Date: whitelist.Day(e.now().UTC()), Reason: reason}
			}
			for _, x := range entries {
				if x.LooksLikePattern() {
					e.warner()(fmt.Sprintf("%q is taken for the name of one file: a whitelist has no patterns", x.Name))
				}
			}
			return whitelist.Add(path, entries...)
		},
	}
}

func whitelistRemove(*env) *cli.Command {
	var o whitelistFlags
	return &cli.Command{
		Name:        "remove",
		Usage:       "remove names",
		UsageText:   "distkeep whitelist remove --archive DIR NAME...",
		ArgsUsage:   "NAME...",
		Description: whitelistHelp,
		Flags:       o.flags(),
		Action: func(c *cli.Context) error {
			names, err := nameArgs(c)
			if err != nil {
				return err
			}
			path, err := o.path()
			if err != nil {
				return err
			}
			return whitelist.Remove(path, names...)
		},
	}
}

// nameArgs validates arguments that are names of distfiles.
func nameArgs(c *cli.Context) ([]catalog.Name, error) {
	if c.NArg() == 0 {
		return nil, usagef("%s: name at least one distfile", c.Command.Name)
	}
	var names []catalog.Name
	for _, a := range c.Args().Slice() {
		n, err := catalog.ParsePath(a)
		if err != nil {
			return nil, usageError{err}
		}
		names = append(names, n)
	}
	return names, nil
}

// load loads the list that the flags name.
func (o *whitelistFlags) load() (*whitelist.List, error) {
	path, err := o.path()
	if err != nil {
		return nil, err
	}
	if o.file == "" && !exists(path) {
		return whitelist.Load() // nothing was added yet
	}
	if o.file == "" {
		if err := checkOwn(path); err != nil {
			return nil, err
		}
	}
	return whitelist.Load(path)
}

func whitelistList(e *env) *cli.Command {
	var o whitelistFlags
	var asJSON bool
	return &cli.Command{
		Name:        "list",
		Usage:       "list names, authors, dates and reasons",
		UsageText:   "distkeep whitelist list --archive DIR [--json]",
		Description: whitelistHelp,
		Flags:       append(o.flags(), jsonFlag(&asJSON)),
		Action: func(*cli.Context) error {
			l, err := o.load()
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(e.stdout, l.Entries())
			}
			t := newTable(e.stdout)
			for _, x := range l.Entries() {
				date := ""
				if !x.Date.IsZero() {
					date = x.Date.Format(time.DateOnly)
				}
				t.row(string(x.Name), date, x.Author, firstLine(x.Reason))
			}
			return t.flush()
		},
	}
}

func whitelistCheck(e *env) *cli.Command {
	var o whitelistFlags
	var asJSON, stale bool
	return &cli.Command{
		Name:      "check",
		Usage:     "find entries that do not say who, when and why, or hold nothing",
		UsageText: "distkeep whitelist check --archive DIR [--stale] [--json]",
		Description: whitelistHelp + `
Exit status 2 says that something was found. With --stale, entries are found as well
that hold nothing: the archive has no such file, or a package wants it, as far as the
last run knows.
`,
		Flags: append(o.flags(), jsonFlag(&asJSON),
			&cli.BoolFlag{Name: "stale", Usage: "find entries that hold nothing", Destination: &stale}),
		Action: func(*cli.Context) error {
			l, err := o.load()
			if err != nil {
				return err
			}
			issues := l.Check(e.now())
			if stale {
				more, err := o.stale(l)
				if err != nil {
					return err
				}
				issues = append(issues, more...)
			}
			if asJSON {
				err = writeJSON(e.stdout, issues)
			} else {
				err = printIssues(e.stdout, issues)
			}
			if err != nil {
				return err
			}
			if len(issues) > 0 {
				return status(exitUsage)
			}
			return nil
		},
	}
}

// stale finds the entries that hold nothing in the archive.
func (o *whitelistFlags) stale(l *whitelist.List) ([]whitelist.Issue, error) {
	dir, err := o.reports()
	if err != nil {
		return nil, err
	}
	ds, err := report.LoadDistfiles(dir)
	if err != nil {
		return nil, err
	}
	held, unwanted := make(map[catalog.Name]bool), make(map[catalog.Name]bool)
	for _, d := range ds {
		held[catalog.Name(d.Name)] = true
	}
	lines, err := history.LoadHistory(filepath.Join(o.distfiles, "history"))
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		unwanted[line.Name] = true
	}
	return l.Stale(func(n catalog.Name) bool { return held[n] }, func(n catalog.Name) bool { return unwanted[n] }), nil
}

func printIssues(w io.Writer, issues []whitelist.Issue) error {
	for _, i := range issues {
		if _, err := fmt.Fprintln(w, i); err != nil {
			return err
		}
	}
	return nil
}
