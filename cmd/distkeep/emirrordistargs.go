package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An oldOption is an option of emirrordist.
type oldOption struct {
	long, short string
	// meta is the name of its value, or empty for one that has none.
	meta string
	// check says what is wrong with a value, or is nil.
	check func(value string) error
	usage string
}

// oldOptions are those of emirrordist, and one of ours, in the order of its help.
var oldOptions = []oldOption{
	{"help", "h", "", nil, "show this help"},
	{"version", "", "", nil, "print the version of distkeep"},
	{"mirror", "", "", nil, "mirror distfiles for the selected repository: the only action"},
	{"dry-run", "", "", nil, "change nothing; with -v, say what would be done"},
	{"verbose", "v", "", nil, "say more on standard error; -vv says still more"},
	{"ignore-default-opts", "", "", nil, "leave EMIRRORDIST_DEFAULT_OPTS of make.conf out"},
	{"distfiles", "", "DIR", nil, "the published directory (required)"},
	{"jobs", "j", "JOBS", checkInt, "number of transfers at the same time (16)"},
	{"load-average", "l", "LOAD", checkFloat, "accepted; transfers are no processes and make no load"},
	{"tries", "", "TRIES", checkInt, "ask at most so many URLs for a file; 0 is no limit (10)"},
	{"repo", "", "REPO", nil, "name of the repository, as in repos.conf"},
	{"config-root", "", "DIR", nil, "where etc/portage is (/)"},
	{"repositories-configuration", "", "TEXT", nil, "use TEXT, in the format of repos.conf, in its place"},
	{"strict-manifests", "", "<y|n>", checkYesNo, "accepted; what has no right digest is never published"},
	{"failure-log", "", "FILE", nil, "append every failure to FILE"},
	{"success-log", "", "FILE", nil, "append what was added and removed to FILE"},
	{"scheduled-deletion-log", "", "FILE", nil, "write what goes on which day to FILE"},
	{"delete", "", "", nil, "delete what no package wants"},
	{"deletion-db", "", "FILE", nil, "the state is in FILE.distkeep"},
	{"deletion-delay", "", "SECONDS", checkInt, "delete what nobody has wanted for so long"},
	{"temp-dir", "", "DIR", nil, "accepted; transfers are in the state, where they are resumed"},
	{"mirror-overrides", "", "FILE", nil, "read mirrors to use from FILE"},
	{"mirror-skip", "", "NAMES", nil, "never try the mirrors of these names"},
	{"restrict-mirror-exemptions", "", "NAMES", nil, "RESTRICT=mirror does not hold for these mirrors"},
	{"verify-existing-digest", "", "", nil, "read all files again before anything else"},
	{"distfiles-local", "", "DIR", nil, "take files that a person put into DIR"},
	{"distfiles-db", "", "FILE", nil, "the state is in FILE.distkeep if there is no --deletion-db"},
	{"content-db", "", "FILE", nil, "accepted; the ledger knows all digests"},
	{"recycle-dir", "", "DIR", nil, "files that emirrordist has recycled; new ones go to the state"},
	{"recycle-db", "", "FILE", nil, "the days on which they were recycled"},
	{"recycle-deletion-delay", "", "SECONDS", checkInt, "keep deleted files in recycle for so long (60 days)"},
	{"fetch-log-dir", "", "DIR", nil, "write a FILE.log into DIR for each failure"},
	{"whitelist-from", "", "FILE", nil, "keep the names listed in FILE, or in the files of a directory"},
	{"symlinks", "", "", nil, "accepted; hard links need no more room"},
	{"layout-conf", "", "FILE", nil, "must say what DISTFILES/layout.conf says: clients read that"},
	{"emirrordist-exit-zero", "", "", nil, "exit with 0 where emirrordist would: in place of 1, 3 and 4"},
}

func checkInt(s string) error {
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		return fmt.Errorf("invalid int value: %q", s)
	}
	return nil
}

func checkFloat(s string) error {
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return fmt.Errorf("invalid float value: %q", s)
	}
	return nil
}

func checkYesNo(s string) error {
	if s != "y" && s != "n" {
		return fmt.Errorf("invalid choice: %q (choose from y, n)", s)
	}
	return nil
}

// oldArgs are the values of a command line of emirrordist, by long names. Of one
// without a value each time that it was given is "".
type oldArgs struct {
	values map[string][]string
	// unknown are words that it would ignore.
	unknown []string
}

func (a *oldArgs) has(name string) bool { return len(a.values[name]) > 0 }

// last is the value that counts of those given, or "".
func (a *oldArgs) last(name string) string {
	if vs := a.values[name]; len(vs) > 0 {
		return vs[len(vs)-1]
	}
	return ""
}

// parseOldArgs parses a command line as emirrordist does, with the rules of
// Python's argparse: a long option may be shortened as far as it stays the only
// one, short ones may be joined, and what is not known is ignored.
func parseOldArgs(args []string) (*oldArgs, error) {
	a := &oldArgs{values: make(map[string][]string)}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			a.unknown = append(a.unknown, args...)
			return a, nil
		case strings.HasPrefix(arg, "--") && !strings.Contains(arg, " "), strings.HasPrefix(arg, "--") && strings.Contains(arg, "="):
			args, err = a.long(arg, args)
		case strings.HasPrefix(arg, "-") && arg != "-":
			args, err = a.short(arg, args)
		default:
			a.unknown = append(a.unknown, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// long takes one long option, with its value, and returns what is left.
func (a *oldArgs) long(arg string, rest []string) ([]string, error) {
	name, value, joined := strings.Cut(arg[2:], "=")
	var found []*oldOption
	for i := range oldOptions {
		o := &oldOptions[i]
		if o.long == name {
			found = []*oldOption{o}
			break
		}
		if strings.HasPrefix(o.long, name) {
			found = append(found, o)
		}
	}
	switch {
	case len(found) == 0:
		a.unknown = append(a.unknown, arg)
		return rest, nil
	case len(found) > 1:
		names := make([]string, len(found))
		for i, o := range found {
			names[i] = "--" + o.long
		}
		return nil, usagef("ambiguous option: --%s could match %s", name, strings.Join(names, ", "))
	case found[0].meta == "" && joined:
		return nil, usagef("argument --%s: ignored explicit argument %q", found[0].long, value)
	}
	return a.take(found[0], value, joined, rest)
}

// short takes a word of short options.
func (a *oldArgs) short(arg string, rest []string) ([]string, error) {
	for letters := arg[1:]; letters != ""; {
		i := slices.IndexFunc(oldOptions, func(o oldOption) bool { return o.short != "" && o.short == letters[:1] })
		if i < 0 {
			a.unknown = append(a.unknown, arg)
			return rest, nil
		}
		letters = letters[1:]
		if oldOptions[i].meta != "" {
			return a.take(&oldOptions[i], strings.TrimPrefix(letters, "="), letters != "", rest)
		}
		a.values[oldOptions[i].long] = append(a.values[oldOptions[i].long], "")
	}
	return rest, nil
}

// take records an option, whose value is joined to it or is the next word.
func (a *oldArgs) take(o *oldOption, value string, joined bool, rest []string) ([]string, error) {
	if o.meta != "" && !joined {
		if len(rest) == 0 || strings.HasPrefix(rest[0], "-") && rest[0] != "-" && checkFloat(rest[0]) != nil && !strings.Contains(rest[0], " ") {
			return nil, usagef("argument --%s: expected one argument", o.long)
		}
		value, rest = rest[0], rest[1:]
	}
	if o.check != nil {
		if err := o.check(value); err != nil {
			return nil, usagef("argument --%s: %w", o.long, err)
		}
	}
	a.values[o.long] = append(a.values[o.long], value)
	return rest, nil
}

// oldOptionsHelp lists the options.
func oldOptionsHelp() string {
	var b strings.Builder
	for _, o := range oldOptions {
		names := "--" + o.long
		if o.meta != "" {
			names += " " + o.meta
		}
		if o.short != "" {
			names = "-" + o.short + ", " + names
		}
		fmt.Fprintf(&b, "%s\n      %s\n", names, o.usage)
	}
	return b.String()
}
