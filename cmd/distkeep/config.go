package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"
)

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "read options from `FILE` (TOML: option = value; arrays for repeated ones)", EnvVars: []string{"DISTKEEP_CONFIG"}}
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
	if fi, err := os.Stat(path); err != nil {
		return usagef("config: %w", err)
	} else if fi.Size() > maxConfig {
		return usagef("config: %s: larger than %d bytes", path, maxConfig)
	}
	var values map[string]any
	if _, err := toml.DecodeFile(path, &values); err != nil {
		return usagef("config: %s: %w", path, err)
	}
	known := knownFlags(c.App.Commands)
	for key, v := range values {
		if !known[key] || key == "config" {
			return usagef("config: %s: unknown option %q", path, key)
		}
		if c.IsSet(key) || !hasFlag(c.Command, key) {
			continue
		}
		if err := setFlag(c, key, v); err != nil {
			return usagef("config: %s: %s: %w", path, key, err)
		}
	}
	return nil
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
		return c.Set(key, fmt.Sprint(v))
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
