package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

const generateHelp = `Print what make install puts beside the program: completions for a shell, or, into a
directory, the man pages of all commands. They are made of the texts of the help.

With key, make a key to sign with, see distkeep pull: the secret one is written to
FILE, the other one is printed.
`

// generateCommand is for packages of the program: it is hidden.
func generateCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:        "generate",
		Usage:       "write man pages, or completions for a shell",
		UsageText:   "distkeep generate bash|zsh|fish\ndistkeep generate man DIR\ndistkeep generate key NAME FILE",
		ArgsUsage:   "bash|zsh|fish|man|key [DIR|NAME FILE]",
		Description: generateHelp,
		Hidden:      true,
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			pages := pagesOf(c.App)
			switch {
			case len(args) == 2 && args[0] == "man":
				return writeMan(args[1], pages)
			case len(args) == 3 && args[0] == "key":
				public, err := generateKey(args[1], args[2])
				if err == nil {
					_, err = fmt.Fprintln(e.stdout, public)
				}
				return err
			case len(args) != 1 || shells[args[0]] == nil:
				return usagef("generate: want bash, zsh, fish, man and a directory, or key, a name and a file")
			}
			var b bytes.Buffer
			shells[args[0]](&b, pages)
			_, err := e.stdout.Write(b.Bytes())
			return err
		},
	}
}

// A page is what is to be said of one command, or of the program.
type page struct {
	// path are the words of the command, none for the program.
	path                   []string
	usage, synopsis, about string
	below                  []*cli.Command
	flags                  []cli.Flag
}

// pagesOf are those of the program and of all commands that users see, each before
// those below it.
func pagesOf(app *cli.App) []page {
	pages := []page{{nil, app.Usage, app.UsageText, app.Description, app.VisibleCommands(), app.VisibleFlags()}}
	var add func(path []string, cs []*cli.Command)
	add = func(path []string, cs []*cli.Command) {
		for _, c := range cs {
			if c.Hidden {
				continue
			}
			own := append(slices.Clone(path), c.Name)
			flags := c.VisibleFlags()
			if !slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), "help") }) {
				flags = append(slices.Clone(flags), cli.HelpFlag)
			}
			pages = append(pages, page{own, c.Usage, c.UsageText, c.Description, c.VisibleCommands(), flags})
			add(own, c.Subcommands)
		}
	}
	add(nil, app.Commands)
	return pages
}

// writeMan writes a man page for each of pages.
func writeMan(dir string, pages []page) error {
	for _, p := range pages {
		name := strings.Join(append([]string{"distkeep"}, p.path...), "-")
		if err := os.WriteFile(filepath.Join(dir, name+".1"), manPage(name, p), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// roff escapes a text for man.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// manPage is the man page of one command, in the macros of man(7).
func manPage(name string, p page) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`.TH %s 1 "" "distkeep %s" "distkeep"`, strings.ToUpper(roff(name)), roff(version()))
	line(".SH NAME\n%s \\- %s", roff(name), roff(p.usage))
	line(".SH SYNOPSIS\n.nf")
	for l := range strings.SplitSeq(p.synopsis, "\n") {
		line("%s", roff(l))
	}
	line(".fi\n.SH DESCRIPTION")
	describe(p.about, description{
		title:     func(s string) { line(".SH %s", roff(s)) },
		paragraph: func(s string) { line(".PP\n%s", roff(s)) },
		verbatim:  func(s string) { line(".nf\n%s\n.fi", roff(s)) },
	})
	if len(p.below) > 0 {
		line(".SH COMMANDS")
		for _, c := range p.below {
			line(".TP\n.BR %s (1)\n%s", roff(name+"-"+c.Name), roff(c.Usage))
		}
	}
	line(".SH OPTIONS")
	at := -1
	for _, f := range sortFlags(p.flags) {
		o, ok := optionOf(f)
		if !ok {
			continue
		}
		if g := groupOf(o.names[0]); g != at && g >= 0 {
			at = g
			line(".SS %s", roff(optionGroups[g].title))
		}
		line(".TP\n\\fB%s\\fR \\fI%s\\fR\n%s", roff(o.spelt()), roff(o.value), roff(o.text))
	}
	return b.Bytes()
}
