package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/report/pages"
	"distkeep/archive/store"
	"distkeep/fetch"
)

const reportHelp = `Make a static site of what the last run exported: an overview with plots over the runs,
the failures with a search, a page for each maintainer and each package that has some,
hosts, scheduled deletions by day, the whitelist, conflicts and quarantine. Failures are
there as JSON and as Atom feeds as well, all of them and those of each maintainer. The
directory can be served as it is, or read from a disk; nothing in it is from elsewhere.
mirror --report makes it at the end of each run.
`

func reportCommand(e *env) *cli.Command {
	var p place
	var html string
	lists := cli.NewStringSlice()
	return &cli.Command{
		Name:        "report",
		Usage:       "make web pages of the failures and of everything else",
		UsageText:   "distkeep report --archive DIR --html DIR [--whitelist-from PATH...]",
		Description: reportHelp,
		Flags: append(p.flags(),
			&cli.StringFlag{Name: "html", Usage: "make the site in `DIR`", Destination: &html},
			&cli.StringSliceFlag{Name: "whitelist-from", Usage: "show the whitelists in `PATH`, a file or a directory, beside that in STATE/whitelist; repeatable", Destination: lists}),
		Action: func(c *cli.Context) error {
			if html == "" {
				return usagef("report: say where to: --html DIR")
			}
			if _, err := p.reading(c.Context, e); err != nil { // checks that there is an archive
				return err
			}
			return writePages(html, &p, lists.Value(), e.now())
		},
	}
}

// writePages makes the site of an archive in dir.
func writePages(dir string, p *place, whitelistFrom []string, now time.Time) error {
	s := &pages.Site{Now: now, Summary: new(report.Summary)}
	reports := store.ReportDir(p.state)
	var errs [4]error
	errs[0] = report.LoadStatus(reports, s.Summary)
	s.Runs, errs[1] = report.LoadRuns(reports)
	s.Failures, errs[2] = report.LoadFailures(reports)
	s.Deletions, errs[3] = report.LoadDeletions(reports)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	list, err := loadWhitelists(p.state, whitelistFrom)
	if err != nil {
		return err
	}
	for _, x := range list.Entries() {
		s.Whitelist = append(s.Whitelist, pages.Keep{Name: string(x.Name), Author: x.Author, Reason: x.Reason, Date: x.Date})
	}
	kept, err := fetch.ListQuarantine(quarantineDir(p))
	if err != nil {
		return err
	}
	for _, k := range kept {
		x := pages.Kept{ID: k.ID, Kind: k.Kind, Name: string(k.Name()), Size: k.Size, Time: k.Time}
		if k.Record != nil {
			x.From, x.Why = k.Record.URL, k.Record.Why
		}
		s.Quarantine = append(s.Quarantine, x)
	}
	return s.Write(dir)
}
