package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"distkeep/archive/bucket"
	"distkeep/archive/disk"
	"distkeep/archive/report"
	"distkeep/archive/shards"
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
	at             *place                // the archive, once it is known
	actsAs         string                // the user that root works as, or empty

	// outlives is set by what goes on after SIGHUP; run makes it.
	outlives *atomic.Bool
	// logJSON: messages are JSON lines.
	logJSON bool
	// showOptions: commands print their options, and do nothing.
	showOptions bool
}

// newApp lists the commands.
func newApp(e *env) *cli.App {
	return appOf(e,
		initCommand(e),
		mirrorCommand(e),
		pullCommand(e),
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
		serveCommand(e),
		quarantineCommand(e),
		reportCommand(e),
		emirrordistCommand(e),
		importCommand(e),
		configCommand(e),
		helpCommand(e),
		generateCommand(e),
	)
}

// appOf makes a program of commands.
func appOf(e *env, commands ...*cli.Command) *cli.App {
	app := &cli.App{
		Name:                      "distkeep",
		Usage:                     "archive the upstream sources of package trees",
		UsageText:                 "distkeep COMMAND [OPTIONS] [ARGUMENTS]",
		Description:               "distkeep help COMMAND explains a command.\n\nEvery option can also be set by a variable, --deletion-delay by\nDISTKEEP_DELETION_DELAY, or in the file of --config. The command line wins over\nthe environment, and that over the file. In a variable, what can be given several\ntimes stands between blanks.",
		Version:                   version(),
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a URL may contain a comma
		Reader:                    e.stdin,
		Writer:                    e.stdout,
		ErrWriter:                 e.stderr,
		Commands:                  commands,
		Flags:                     []cli.Flag{cli.HelpFlag},     // which the library leaves out where a command has its name
		ExitErrHandler:            func(*cli.Context, error) {}, // run decides
		OnUsageError:              onUsageError,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return unknownCommand("", c.Args().First(), c.App.Commands)
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range commands {
		prepare(e, c, c.Name)
	}
	return app
}

// prepare gives a command, and those below it, what all commands have. name is its
// own and that of the command above it.
func prepare(e *env, c *cli.Command, name string) {
	for _, sub := range c.Subcommands {
		prepare(e, sub, name+" "+sub.Name)
	}
	c.Description = strings.TrimRight(c.Description, "\n") + examplesOf(name)
	c.HideHelpCommand = true
	c.OnUsageError = onUsageError
	if c.SkipFlagParsing {
		return // its options are its own
	}
	if len(c.Subcommands) > 0 {
		c.Action = func(ctx *cli.Context) error {
			if ctx.NArg() > 0 {
				return unknownCommand(c.Name+": ", ctx.Args().First(), c.Subcommands)
			}
			return usagef("%s: say what to do: see distkeep %s --help", c.Name, c.Name)
		}
		return
	}
	c.Flags = append(c.Flags, configFlag())
	for i, f := range c.Flags {
		c.Flags[i] = named(f)
	}
	c.Before = func(ctx *cli.Context) error {
		if o := behind(e.args, ctx.Args().Slice()); o != "" {
			return usagef("%s: put the option %s before the arguments, or -- before names that begin with -", ctx.Command.Name, o)
		}
		if c.ArgsUsage == "" && ctx.NArg() > 0 {
			return usagef("%s takes no arguments, got %q", ctx.Command.Name, ctx.Args().First())
		}
		from, err := setOptions(ctx)
		e.logJSON = ctx.Bool("log-json")
		if e.showOptions && err == nil {
			c.Action = func(ctx *cli.Context) error { return printOptions(e.stdout, ctx, from) }
			return nil
		}
		if err != nil {
			return err
		}
		return e.workAsOwner(place{archive: ctx.String("archive"), distfiles: ctx.String("distfiles"), state: ctx.String("state")})
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
		if strings.HasPrefix(a, "-") && a != "-" {
			return a
		}
	}
	return ""
}

// unknownCommand says so, and what it may have been meant to be.
func unknownCommand(above, name string, commands []*cli.Command) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	if s := suggest(name, names); s != "" {
		return usagef("%sunknown command %q%s", above, name, s)
	}
	return usagef("%sunknown command %q: see distkeep %s--help", above, name, strings.Replace(above, ":", "", 1))
}

// helpCommand is what people type who do not know --help.
func helpCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:        "help",
		Usage:       "explain a command",
		UsageText:   "distkeep help [COMMAND]",
		ArgsUsage:   "[COMMAND]",
		Description: "Print what distkeep COMMAND --help prints.",
		Action: func(c *cli.Context) error {
			args := append(append([]string{e.args[0]}, c.Args().Slice()...), "--help")
			return newApp(e).RunContext(c.Context, args)
		},
	}
}

const noSuchOption = "there is no option --"

func onUsageError(c *cli.Context, err error, _ bool) error {
	text, _, _ := strings.Cut(twoDashes.Replace(err.Error()), ": strconv.")
	if bad, ok := strings.CutSuffix(text, parseError); ok {
		text = bad + kindWanted(strings.HasPrefix(text, "invalid boolean"))
	}
	if name, ok := strings.CutPrefix(text, noSuchOption); ok {
		text += noOption(c, name)
	}
	return usageError{errors.New(text)}
}

// noOption says where an option belongs that is not one here, or what it may have
// been meant to be.
func noOption(c *cli.Context, name string) string {
	all := knownFlags(c.App.Commands)
	if len(strings.Fields(c.Command.HelpName)) < 2 && all[name] {
		return " before the command: put it behind, as in distkeep COMMAND --" + name
	}
	known := []string{"help"}
	for _, f := range c.Command.Flags {
		known = append(known, f.Names()[0])
	}
	return suggest(name, known)
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
var twoDashes = strings.NewReplacer("for flag -", "for option --", "for -", "for option --", "flag needs an argument: -", "an argument is missing behind --", "flag provided but not defined: -", noSuchOption)

// place is where an archive is.
type place struct {
	archive, distfiles, state string
	// endpoint and region are of a bucket; what is not said was said to init.
	endpoint, region string
	// shard is what was said of the part of the archive; the state directory knows.
	shard shardValue
	// reader, if not nil, reads what is shown of an archive that is elsewhere.
	reader *shards.Reader
	// opened is the bucket, once it is known, and waits what Options.Waits of it is.
	opened *bucket.Bucket
	waits  func(why error)
}

func (p *place) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "archive", Usage: "the archive is in `DIR`: distfiles/ and state/ in it; or its contents are in s3://BUCKET/PREFIX, and the rest in --state", Destination: &p.archive},
		&cli.StringFlag{Name: "distfiles", Usage: "the published half is `DIR`", Destination: &p.distfiles},
		&cli.StringFlag{Name: "state", Usage: "the ledger and everything else is in `DIR`", Destination: &p.state},
		&cli.StringFlag{Name: "endpoint", Usage: "the bucket is on the server at `URL`; by default on Amazon's", Destination: &p.endpoint},
		&cli.StringFlag{Name: "region", Usage: "the bucket is in the region `NAME`", Destination: &p.region},
	}
}

// resolve fills in what follows from --archive.
func (p *place) resolve() error {
	switch {
	case p.remote():
		return p.resolveBucket()
	case p.endpoint+p.region != "", p.shard.Of > 0:
		return usagef("--endpoint, --region and --shard are of a bucket: --archive s3://BUCKET/PREFIX")
	}
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
	if e.logJSON {
		log := e.logger(false, true)
		ev := log.WithLevel(zerolog.FatalLevel).Err(err)
		if h := e.hint(err); h != "" {
			ev = ev.Str("hint", h)
		}
		ev.Msg("ended")
		return
	}
	fmt.Fprintf(e.stderr, "distkeep: %v\n", err)
	if h := e.hint(err); h != "" {
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
		// Names that others choose must not look like more messages.
		FormatMessage: func(m any) string { return report.OneLine(fmt.Sprint(m)) },
	})).Level(level)
}

// terminal returns the width of standard error if it is a terminal, else 0.
func (e *env) terminal() int { return width(e.stderr) }
