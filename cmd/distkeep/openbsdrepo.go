package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"distkeep/catalog"
	"distkeep/catalog/openbsd"
)

// openbsdFlags are the options of an openbsd repository.
type openbsdFlags struct {
	dump, dumpCommand, portsDir string
	partial                     bool
	backupSites                 *cli.StringSlice
}

func newOpenBSDFlags() openbsdFlags {
	return openbsdFlags{backupSites: cli.NewStringSlice()}
}

func (r *repoFlags) openbsdOptions() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "dump", Usage: "read the output of OpenBSD's make dump-vars from `FILE`, or - for standard input", Destination: &r.dump},
		&cli.StringFlag{Name: "dump-command", Usage: "run `COMMAND` in the ports tree for that output, such as \"make dump-vars DPB=Fetch BATCH=Yes REPORT_PROBLEM=:\"", Destination: &r.dumpCommand},
		&cli.StringFlag{Name: "ports-dir", Usage: "PORTSDIR as the dump spells it is `DIR`", Value: "/usr/ports", Destination: &r.portsDir},
		&cli.BoolFlag{Name: "partial", Usage: "the dump is of some ports only: nothing is scheduled or deleted, and history stays as it is", Destination: &r.partial},
		&cli.StringSliceFlag{Name: "backup-site", Usage: "ask the directory at `URL` by local name after all sites of a port; repeatable", Destination: r.backupSites},
	}
}

func (r *repoFlags) checkOpenBSD(paths []string) error {
	switch {
	case len(paths) > 1:
		return usagef("one openbsd repository a run: --dump and --dump-command are about one")
	case len(paths) == 0 && (r.dump != "" || r.dumpCommand != "" || r.partial):
		return usagef("--dump, --dump-command and --partial go with --repo openbsd:PATH")
	}
	return nil
}

// openOpenBSD opens the ports tree.
func (r *repoFlags) openOpenBSD(path string, o *opening) (catalog.Repository, error) {
	if (r.dump == "") == (r.dumpCommand == "") {
		return nil, usagef("openbsd:%s: say where the output of make dump-vars is: --dump FILE or -, or --dump-command COMMAND", path)
	}
	return openbsd.Open(path, openbsd.Options{
		Dump: r.dump, Stdin: o.stdin, Command: strings.Fields(r.dumpCommand),
		Root: r.portsDir, Partial: r.partial, BackupSites: r.backupSites.Value(),
	})
}
