package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"distkeep/catalog"
)

const configHelp = `Print the options of a command as they are in force, and where each comes from:
the command line, a variable, the file of --config, or the default. COMMAND and
OPTIONS are what you would call distkeep with; nothing is done. What is printed can be
used as a file for --config. Passwords are left out.
`

func configCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:            "config",
		Usage:           "print the options that are in force, and where each comes from",
		UsageText:       "distkeep config COMMAND [OPTIONS]",
		ArgsUsage:       "COMMAND [OPTIONS]",
		Description:     configHelp,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			switch args := c.Args().Slice(); {
			case len(args) == 0:
				return usagef("config: name a command, such as: distkeep config mirror --config FILE")
			case args[0] == "--help" || args[0] == "-h":
				return cli.ShowSubcommandHelp(c)
			default:
				sub := *e
				sub.args, sub.showOptions = append([]string{e.args[0]}, args...), true
				return newApp(&sub).RunContext(c.Context, sub.args)
			}
		},
	}
}

// printOptions prints the options of a command, as a file for --config.
func printOptions(w io.Writer, c *cli.Context, from map[string]string) error {
	var b strings.Builder
	for _, f := range sortFlags(c.Command.Flags) {
		name := f.Names()[0]
		if name == "help" || name == "config" {
			continue
		}
		line, err := tomlLine(name, valueOf(c, f))
		if err != nil {
			return err
		}
		origin, unset := from[name], ""
		if origin == "" {
			origin, unset = "default", "# "
		}
		fmt.Fprintf(&b, "%s%s  # %s\n", unset, line, origin)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// valueOf returns the value of an option, as TOML knows it.
func valueOf(c *cli.Context, f cli.Flag) any {
	name := f.Names()[0]
	switch f := f.(type) {
	case valueFlag:
		return f.Value.String()
	case stringsFlag:
		list := make([]string, 0)
		for _, s := range c.StringSlice(name) {
			list = append(list, catalog.Redact(s))
		}
		return list
	case intsFlag:
		return append([]int{}, c.IntSlice(name)...)
	case stringFlag:
		return catalog.Redact(c.String(name))
	}
	return c.Value(name)
}

// tomlLine is an option and its value as a line of TOML.
func tomlLine(name string, v any) (string, error) {
	text, err := toml.Marshal(map[string]any{name: v})
	return strings.TrimSpace(string(text)), err
}
