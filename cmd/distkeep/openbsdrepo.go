package main

import (
	"cmp"
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/catalog"
	"distkeep/catalog/openbsd"
)

const openbsdHelp = `An OpenBSD ports tree needs the output of make dump-vars beside its path:

   --repo openbsd:/usr/ports --dump /srv/dump-vars.txt
   --repo 'openbsd:/srv/wip?name=wip&dump=/srv/wip-vars.txt'

Behind the question mark are
   name=NAME      what owners and reports call it; openbsd if not given
   dump=FILE      its own --dump, so that several trees have room
   ports-dir=DIR  its own --ports-dir

`

// openbsdFlags are the options of openbsd repositories.
type openbsdFlags struct {
	dump, dumpCommand, portsDir string
	partial                     bool
	stdins                      int // how many dumps are standard input
	backupSites                 *cli.StringSlice
}

func newOpenBSDFlags() openbsdFlags {
	return openbsdFlags{backupSites: cli.NewStringSlice()}
}

func (r *repoFlags) openbsdOptions() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "dump", Usage: "read the output of OpenBSD's make dump-vars from `FILE`, or - for standard input, when one tree is given", Destination: &r.dump},
		&cli.StringFlag{Name: "dump-command", Usage: "run `COMMAND` in each ports tree that has no dump for that output, such as \"make dump-vars DPB=Fetch BATCH=Yes REPORT_PROBLEM=:\"", Destination: &r.dumpCommand},
		&cli.StringFlag{Name: "ports-dir", Usage: "PORTSDIR as the dump spells it is `DIR`", Value: "/usr/ports", Destination: &r.portsDir},
		&cli.BoolFlag{Name: "partial", Usage: "the dumps are of some ports only: nothing is scheduled or deleted, and history stays as it is", Destination: &r.partial},
		&cli.StringSliceFlag{Name: "backup-site", Usage: "ask the directory at `URL` by local name after all sites of a port; repeatable", Destination: r.backupSites},
	}
}

func (r *repoFlags) checkOpenBSD(paths []string) error {
	own := 0
	for _, p := range paths {
		s, err := r.parseOpenBSD(p)
		if err != nil {
			return usagef("--repo openbsd:%s: %w", p, err)
		}
		if s.own {
			own++
		}
		if s.dump == "-" {
			r.stdins++
		}
	}
	switch {
	case r.dump != "" && len(paths)-own > 1:
		return usagef("--dump is of one openbsd repository: name that of each with dump=FILE, as openbsd:PATH?name=NAME&dump=FILE")
	case r.dump != "" && len(paths) > 0 && own == len(paths):
		return usagef("each openbsd repository has a dump= of its own: --dump is of none")
	case len(paths) == 0 && (r.dump != "" || r.dumpCommand != "" || r.partial):
		return usagef("--dump, --dump-command and --partial go with --repo openbsd:PATH")
	}
	return nil
}

// An openbsdSpec is what follows "openbsd:", with what the options say of it.
type openbsdSpec struct {
	path, name, dump, command, portsDir string
	own                                 bool // it has a dump= of its own
}

// parseOpenBSD reads what follows "openbsd:".
func (r *repoFlags) parseOpenBSD(text string) (s openbsdSpec, err error) {
	where, q, err := splitSpec(text, "name", "dump", "ports-dir")
	if err != nil {
		return s, err
	}
	s = openbsdSpec{path: where, name: q.Get("name"), dump: q.Get("dump"), portsDir: cmp.Or(q.Get("ports-dir"), r.portsDir)}
	if s.own = s.dump != ""; !s.own {
		s.dump, s.command = r.dump, r.dumpCommand
	}
	if s.name != "" {
		_, err = catalog.ParseName(s.name)
	}
	return s, err
}

// openOpenBSD opens a ports tree.
func (r *repoFlags) openOpenBSD(text string, o *opening) (catalog.Repository, error) {
	s, err := r.parseOpenBSD(text)
	if err != nil {
		return nil, usagef("--repo openbsd:%s: %w", text, err)
	}
	if (s.dump == "") == (s.command == "") {
		return nil, usagef("openbsd:%s: say where the output of make dump-vars is: --dump FILE or -, or --dump-command COMMAND", s.path)
	}
	return openbsd.Open(s.path, openbsd.Options{
		Name: s.name, Dump: s.dump, Stdin: o.stdin, Command: strings.Fields(s.command),
		Root: s.portsDir, Partial: r.partial, BackupSites: r.backupSites.Value(),
	})
}
