package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"distkeep/archive/disk"
	"distkeep/archive/vault"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"
)

// The rules of the terminal are:
//
//   - results go to standard output, everything else to standard error;
//   - with --json, standard output is JSON and nothing else;
//   - messages begin with "distkeep: " and have neither a capital at the start
//     nor a full stop at the end;
//   - a progress line and aligned tables only on a terminal, tabs otherwise.

// An env is what a command knows of the world around it.
type env struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	around         func(disk.FS) disk.FS // see vault.Options
}

// newApp lists the commands.
func newApp(e *env) *cli.App {
	return appOf(e,
		initCommand(e),
		mirrorCommand(e),
		historyCommand(e),
		statusCommand(e),
		failuresCommand(e),
		deletionsCommand(e),
		whitelistCommand(e),
		layoutCommand(e),
		verifyCommand(e),
		whyCommand(e),
		doctorCommand(e),
		snapshotCommand(e),
		emirrordistCommand(e),
	)
}

// appOf makes a program of commands.
func appOf(e *env, commands ...*cli.Command) *cli.App {
	app := &cli.App{
		Name:                      "distkeep",
		Usage:                     "archive the upstream sources of package trees",
		UsageText:                 "distkeep COMMAND [OPTIONS] [ARGUMENTS]",
		Description:               "distkeep COMMAND --help explains a command.",
		Version:                   version(),
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a URL may contain a comma
		Reader:                    e.stdin,
		Writer:                    e.stdout,
		ErrWriter:                 e.stderr,
		Commands:                  commands,
		ExitErrHandler:            func(*cli.Context, error) {}, // run decides
		OnUsageError:              onUsageError,
		CommandNotFound:           nil,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("unknown command %q: see distkeep --help", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range commands {
		prepare(e, c)
	}
	return app
}

// prepare gives a command, and those below it, what all commands have.
func prepare(e *env, c *cli.Command) {
	for _, sub := range c.Subcommands {
		prepare(e, sub)
	}
	c.HideHelpCommand = true
	c.OnUsageError = onUsageError
	if c.SkipFlagParsing {
		return // its options are its own
	}
	if len(c.Subcommands) > 0 {
		c.Action = func(ctx *cli.Context) error {
			if ctx.NArg() > 0 {
				return usagef("%s: unknown command %q: see distkeep %s --help", c.Name, ctx.Args().First(), c.Name)
			}
			return usagef("%s: say what to do: see distkeep %s --help", c.Name, c.Name)
		}
		return
	}
	c.Flags = append(c.Flags, configFlag())
	for i, f := range c.Flags {
		c.Flags[i] = prepareFlag(f)
	}
	slices.SortStableFunc(c.Flags, func(a, b cli.Flag) int { return strings.Compare(a.Names()[0], b.Names()[0]) })
	c.Before = func(ctx *cli.Context) error {
		if o := behind(e.args, ctx.Args().Slice()); o != "" {
			return usagef("%s: put the option %s before the arguments, or -- before names that begin with -", ctx.Command.Name, o)
		}
		if c.ArgsUsage == "" && ctx.NArg() > 0 {
			return usagef("%s takes no arguments, got %q", ctx.Command.Name, ctx.Args().First())
		}
		return applyConfig(ctx)
	}
}

// behind returns the first of the arguments that looks like an option, or "": the
// flag library takes what stands behind the first argument for arguments. all is
// the command line; the library has dropped a "--" before the arguments.
func behind(all, args []string) string {
	if i := len(all) - len(args) - 1; i >= 0 && all[i] == "--" {
		return ""
	}
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			return a
		}
	}
	return ""
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	text, _, _ := strings.Cut(twoDashes.Replace(err.Error()), ": strconv.")
	if bad, ok := strings.CutSuffix(text, parseError); ok {
		text = bad + kindWanted(strings.HasPrefix(text, "invalid boolean"))
	}
	return usageError{errors.New(text)}
}

// parseError is all that package flag says of a number or a truth value.
const parseError = "parse error"

// kindWanted says more: what a value is not.
func kindWanted(truth bool) string {
	if truth {
		return "neither true nor false"
	}
	return "not a whole number"
}

// twoDashes spells options as our help does; package flag has one dash.
var twoDashes = strings.NewReplacer("for flag -", "for option --", "for -", "for option --", "flag needs an argument: -", "an argument is missing behind --", "flag provided but not defined: -", "there is no option --")

// place is where an archive is.
type place struct {
	archive, distfiles, state string
}

func (p *place) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "archive", Usage: "the archive is in `DIR`: distfiles/ and state/ in it", Destination: &p.archive},
		&cli.StringFlag{Name: "distfiles", Usage: "the published half is `DIR`", Destination: &p.distfiles},
		&cli.StringFlag{Name: "state", Usage: "the ledger and everything else is in `DIR`", Destination: &p.state},
	}
}

// resolve fills in what follows from --archive.
func (p *place) resolve() error {
	if p.archive != "" {
		d, s := vault.Dirs(p.archive)
		if p.distfiles == "" {
			p.distfiles = d
		}
		if p.state == "" {
			p.state = s
		}
	}
	if p.distfiles == "" || p.state == "" {
		return usagef("say where the archive is: --archive DIR, or --distfiles DIR and --state DIR")
	}
	return nil
}

func jsonFlag(dest *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON, a record a line", Destination: dest}
}

// printError prints the one line that says what went wrong, and a hint.
func (e *env) printError(err error) {
	fmt.Fprintf(e.stderr, "distkeep: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(e.stderr, "distkeep: hint: %s\n", h)
	}
}

// logger returns the logger of a command: lines for people by default, JSON
// lines with --log-json.
func (e *env) logger(verbose, asJSON bool) zerolog.Logger {
	level := zerolog.WarnLevel
	if verbose {
		level = zerolog.InfoLevel
	}
	if asJSON {
		return zerolog.New(zerolog.SyncWriter(e.stderr)).Level(level).Hook(zerolog.HookFunc(
			func(ev *zerolog.Event, _ zerolog.Level, _ string) { ev.Time("time", e.now()) }))
	}
	return zerolog.New(zerolog.SyncWriter(zerolog.ConsoleWriter{
		Out: e.stderr, NoColor: true,
		PartsOrder:  []string{zerolog.LevelFieldName, zerolog.MessageFieldName},
		FormatLevel: func(l any) string { return fmt.Sprintf("distkeep: %v:", l) },
	})).Level(level)
}

// terminal returns the width of standard error if it is a terminal, else 0.
func (e *env) terminal() int { return width(e.stderr) }
