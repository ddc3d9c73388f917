package main

import (
	"slices"

	"github.com/urfave/cli/v2"
)

const pullHelp = `Make the archive hold what another archive of distkeep holds, which is at URL: its
published tree, behind any web server or distkeep serve. This is distkeep mirror of
the repository archive:URL, with the same options, delays, guards and reports:
without --delete nothing is deleted.

Packages of pacman repositories come as files, and their databases do not.

The other archive tells in the directory generations what each of its runs has
changed. When nothing has, that is one small request. Contents are fetched by their
digests, what the archive has under another name is linked, and the layouts are its
own. What is wanted is always one generation, all of it: what cannot be had is a
failure, and the next run asks for it again. A history in which the generation that
was seen last is not any more is refused: the run goes on with what it has seen,
deletes nothing, and ends with status 4.

With --trust-key the other archive must sign its generations: it runs distkeep
mirror --sign-key FILE. Both keys are made by distkeep generate key NAME FILE,
which writes the secret one to FILE and prints the other.

`

func pullCommand(e *env) *cli.Command {
	o := newMirrorFlags()
	flags := slices.DeleteFunc(o.flags(), func(f cli.Flag) bool {
		name := f.Names()[0]
		return groupOf(name) == 0 && name != "trust-key"
	})
	return &cli.Command{
		Name:        "pull",
		Usage:       "bring the archive up to date with another one",
		UsageText:   "distkeep pull --archive DIR [OPTIONS] URL",
		ArgsUsage:   "URL",
		Description: pullHelp + exitHelp,
		Flags:       flags,
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("pull: name one URL: that of the published tree of another archive")
			}
			if err := o.repos.Set("archive:" + c.Args().First()); err != nil {
				return err
			}
			return runMirror(c.Context, e, o, o)
		},
	}
}
