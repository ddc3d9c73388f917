package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"distkeep/archive/layout"
	"distkeep/archive/vault"
)

const initHelp = `Make the directories of a new archive, and its layout.conf when --layout is given.
Other commands refuse to work where there is no archive, so that a disk that is
not mounted is not taken for an empty one. A directory that emirrordist or dpb
has filled may be given as --distfiles: nothing in it is changed, and the first
run takes over what it finds there. On an archive that exists already, init
changes nothing, except that it writes a layout.conf when --layout is given: in
one that clients use, "distkeep layout set" does so without a path missing.

With s3://BUCKET/PREFIX, the contents go to object storage, and no copy of them stays
here. init asks the server whether it keeps to the conditions that an archive depends
on, and refuses one that does not. Credentials are those of the AWS tools. With
--publish, readers find the files in the bucket without distkeep serve.

With --shard K/N, the archive is divided among N workers, each of which keeps what
belongs to its shard; the first init says how many there are. With --reader, nothing is
made but a state directory for commands that read what the workers have left.

A layout is "flat", "filename-hash BLAKE2B 8" or "content-hash SHA512 8:8" (GLEP
75). With several, files have a path in each; the first is preferred.
`

func initCommand(e *env) *cli.Command {
	var p place
	var publish publishFlag
	layouts := cli.NewStringSlice()
	reader := false
	return &cli.Command{
		Name:        "init",
		Usage:       "make a new archive",
		UsageText:   "distkeep init --archive DIR [--layout LAYOUT...]\ndistkeep init --archive s3://BUCKET/PREFIX --state DIR [--endpoint URL] [--shard K/N]\ndistkeep init --archive s3://BUCKET/PREFIX --state DIR [--endpoint URL] --reader",
		Description: initHelp,
		Flags: append(p.flags(), p.shardFlag(), publish.flag(),
			&cli.BoolFlag{Name: "reader", Usage: "make a state directory that only reads an archive in a bucket, all shards of it, for serve, status and others", Destination: &reader},
			&cli.StringSliceFlag{Name: "layout", Usage: "publish by `LAYOUT`; repeatable", Destination: layouts}),
		Action: func(c *cli.Context) error {
			if err := errors.Join(p.resolve(), publish.check(&p)); err != nil {
				return err
			}
			var conf layout.Conf
			for _, s := range layouts.Value() {
				l, err := layout.Parse(s)
				if err != nil {
					return usagef("--layout: %w", err)
				}
				conf = append(conf, l)
			}
			if reader {
				if !p.remote() || p.shard.Of > 0 || publish.value != "" || len(conf) > 0 {
					return usagef("init: --reader goes with --archive s3://BUCKET/PREFIX and --state alone")
				}
				if err := p.initReader(c.Context); err != nil {
					return err
				}
				_, err := fmt.Fprintf(e.stdout, "reader\t%s\t%s\n", p.archive, p.state)
				return err
			}
			if p.remote() {
				again, err := p.initBucket(c.Context, e, conf, &publish)
				if err != nil {
					return err
				}
				if again {
					fmt.Fprintf(e.stderr, "distkeep: %s has an archive already: the next run reads its ledger from there\n", p.archive)
				}
				_, err = fmt.Fprintf(e.stdout, "archive\t%s\t%s\n", p.archive, p.state)
				return err
			}
			if err := vault.Init(p.distfiles, p.state, conf, e.now()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(e.stdout, "archive\t%s\t%s\n", p.distfiles, p.state)
			return err
		},
	}
}
