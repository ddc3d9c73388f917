package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"distkeep/catalog/regular"
)

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "read options from `FILE` (TOML: option = value; arrays for repeated ones)"}
}

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// applyConfig sets the flags of a command from --config. The command line and
// the environment win. A key may belong to another command: one file serves
// all.
func applyConfig(c *cli.Context) error {
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
	known := knownFlags(c.App.Commands)
	for _, k := range md.Keys() { // in the order of the file
		key := k[0]
		if !known[key] || key == "config" {
			return usagef("%s:%d: unknown option %q", path, keyLine(text, key), key)
		}
		if len(k) > 1 || c.IsSet(key) || !hasFlag(c.Command, key) {
			continue
		}
		if err := setFlag(c, key, values[key]); err != nil {
			return usagef("%s:%d: %s: %w", path, keyLine(text, key), key, err)
		}
	}
	return nil
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

// keyLine returns the line on which a key stands first, as a key or a table.
func keyLine(text, key string) int {
	n := 0
	for line := range strings.Lines(text) {
		n++
		rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t[\"'"), key)
		if ok && !isKeyChar(rest) {
			return n
		}
	}
	return 1
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
