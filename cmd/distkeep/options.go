package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"distkeep/catalog/regular"
)

// An option is given on the command line, or else by its variable, or else by the file
// of --config: there in the table of its command, or else above all tables, where one
// key serves all commands.

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "read options from `FILE` (TOML: option = value; arrays for repeated ones; [mirror] and the like for one command)"}
}

// variable is the name of the variable that gives an option.
func variable(option string) string {
	return "DISTKEEP_" + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

// setOptions gives a command what the command line does not say. It returns where
// the options come from that are set; the others have their defaults.
func setOptions(c *cli.Context) (map[string]string, error) {
	from := make(map[string]string)
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if c.IsSet(name) {
			from[name] = "command line"
			continue
		}
		// One without a value is not set: that is how a unit or a shell says it.
		v := os.Getenv(variable(name))
		if v == "" {
			continue
		}
		var err error
		if isList(f) {
			for _, w := range splitQuoted(v) {
				err = errors.Join(err, setFlag(c, name, w))
			}
		} else {
			err = setFlag(c, name, v)
		}
		if err != nil {
			return nil, usagef("variable %s: %w", variable(name), err)
		}
		from[name] = variable(name)
	}
	return from, applyConfig(c, from)
}

// isList reports whether an option can be given several times.
func isList(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationSliceFlag)
	return ok && d.IsSliceFlag()
}

// splitQuoted splits s at blanks outside quotes, single or double.
func splitQuoted(s string) (words []string) {
	var word strings.Builder
	var quote rune
	open := false // there is a word, be it empty
	for _, r := range s {
		switch {
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && strings.ContainsRune(" \t\n", r):
			if open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		words = append(words, word.String())
	}
	return words
}

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// applyConfig sets the options that --config gives. Every key must be known, also
// those of other commands: one file serves all.
func applyConfig(c *cli.Context, from map[string]string) error {
	path := c.String("config")
	if path == "" {
		return nil
	}
	text, err := readConfig(path)
	if err != nil {
		return usagef("config: %w", err)
	}
	var values map[string]any
	md, err := toml.Decode(text, &values)
	if pe := (toml.ParseError{}); errors.As(err, &pe) {
		return usagef("%s:%d: %s", path, pe.Position.Line, pe.Message)
	} else if err != nil {
		return usagef("%s: %w", path, err)
	}
	own := strings.Fields(c.Command.HelpName)[1:]
	var common, table []toml.Key
	for _, k := range md.Keys() { // in the order of the file
		if err := checkKey(c.App.Commands, values, k); err != nil {
			return usagef("%s:%d: %w", path, keyLine(text, k), err)
		}
		switch last := len(k) - 1; {
		case last == 0 && hasFlag(c.Command, k[0]):
			common = append(common, k)
		case last > 0 && slices.Equal(k[:last], own):
			table = append(table, k)
		}
	}
	for _, k := range append(table, common...) {
		key := k[len(k)-1]
		if c.IsSet(key) || isTable(values, k) {
			continue
		}
		if err := setFlag(c, key, valueAt(values, k)); err != nil {
			return usagef("%s:%d: %s: %w", path, keyLine(text, k), key, err)
		}
		from[key] = fmt.Sprintf("%s:%d", path, keyLine(text, k))
	}
	return nil
}

func isTable(values map[string]any, k toml.Key) bool {
	_, ok := valueAt(values, k).(map[string]any)
	return ok
}

// checkKey returns an error for a key that is neither an option nor a command with
// options.
func checkKey(commands []*cli.Command, values map[string]any, k toml.Key) error {
	var command *cli.Command
	for i, name := range k {
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == name })
		if at >= 0 && isTable(values, k[:i+1]) {
			command, commands = commands[at], commands[at].Subcommands
			continue
		}
		of, known := "", knownFlags(commands)
		if command != nil {
			of, known = " of "+command.HelpName, knownFlags([]*cli.Command{{Flags: command.Flags}})
		}
		switch {
		case name == "config":
			return errors.New(`"config" stands on the command line or in ` + variable(name))
		case !known[name]:
			return fmt.Errorf("unknown option %q%s%s", name, of, suggest(name, slices.Collect(maps.Keys(known))))
		case isTable(values, k[:i+1]):
			return fmt.Errorf("%s: a table cannot be its value", name)
		}
		return nil
	}
	return nil
}

// valueAt returns the value of a key.
func valueAt(values map[string]any, k toml.Key) any {
	for _, name := range k[:len(k)-1] {
		values, _ = values[name].(map[string]any)
	}
	return values[k[len(k)-1]]
}

// readConfig reads the file at path, as far as its bound.
func readConfig(path string) (string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxConfig)
	}
	return string(text), err
}

// keyLine returns the line on which a key stands first, as a key or a table, behind
// the line of the table that it is in.
func keyLine(text string, k toml.Key) int {
	n, found := 0, 0
	depth := 0
	for line := range strings.Lines(text) {
		n++
		rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t[\"'"), k[depth:].String())
		if !ok && depth == 0 && len(k) > 1 {
			if rest, ok = strings.CutPrefix(strings.TrimLeft(line, " \t[\"'"), k[:len(k)-1].String()); ok && !isKeyChar(rest) {
				depth, found = len(k)-1, n
				continue
			}
		}
		if ok && !isKeyChar(rest) {
			return n
		}
	}
	return max(found, 1)
}

// isKeyChar reports whether s goes on with a character of a bare key of TOML.
func isKeyChar(s string) bool {
	return s != "" && (s[0] == '-' || s[0] == '_' || '0' <= s[0] && s[0] <= '9' ||
		'A' <= s[0] && s[0] <= 'Z' || 'a' <= s[0] && s[0] <= 'z')
}

func setFlag(c *cli.Context, key string, v any) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := setFlag(c, key, x); err != nil {
				return err
			}
		}
		return nil
	case string, bool, int64, float64:
		err := c.Set(key, fmt.Sprint(v))
		if err == nil || err.Error() != parseError {
			return err
		}
		_, truth := c.Value(key).(bool)
		return fmt.Errorf("%q is %s", fmt.Sprint(v), kindWanted(truth))
	}
	return fmt.Errorf("value of type %T cannot be used", v)
}

func knownFlags(commands []*cli.Command) map[string]bool {
	known := make(map[string]bool)
	for _, c := range commands {
		for _, f := range c.Flags {
			known[f.Names()[0]] = true
		}
		for name := range knownFlags(c.Subcommands) {
			known[name] = true
		}
	}
	return known
}

func hasFlag(c *cli.Command, name string) bool {
	return slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == name })
}
