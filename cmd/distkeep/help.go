package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// helpWidth is how wide help is printed, on every terminal: what is narrower than
// that is rare, and longer lines are hard to read.
const helpWidth = 80

// optionGroups are the groups in which help lists options, in its order. An option
// that is in none of them comes first, below the name of its command.
var optionGroups = []struct {
	title   string
	options []string
}{
	{"What to archive", []string{
		"repo", "keyring", "master-repo", "metadata-command", "mirror-override", "mirror-overrides", "mirror-skip", "restrict-mirror-exemptions",
		"dump", "dump-command", "ports-dir", "partial", "backup-site", "missing", "missing-grace", "trust-key", "full-scan",
	}},
	{"Where", []string{"archive", "distfiles", "state", "endpoint", "region", "shard", "reader", "distfiles-local", "local-expiry", "adopt-from", "whitelist-from", "snapshots"}},
	{"Fetching", []string{
		"jobs", "host-jobs", "host-limit", "rate", "host-rate", "min-rate", "stall", "max-time", "max-size", "min-free", "tries", "prefer", "fallback",
	}},
	{"What servers need and may", []string{
		"contact", "user-agent", "netrc", "tls-min", "tls-skip-verify-host", "no-downgrade", "allow-port", "allow-private", "allow-scheme",
	}},
	{"Deleting", []string{"delete", "deletion-delay", "recycle-delay", "max-delete", "retire-repo", "layout-grace"}},
	{"Serving", []string{"listen", "on-demand", "mirror-every", "tls-cert", "tls-key", "max-connections", "max-per-address", "accel-redirect", "stream", "publish", "access-log", "sign-key"}},
	{"Snapshots", []string{"snapshot", "no-by-cipher", "keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"}},
	{"Reporting", []string{
		"dry-run", "json", "verbose", "log-json", "success-log", "failure-log", "scheduled-deletion-log", "metrics", "report", "fail-on",
	}},
	{"Everywhere", []string{"config", "help", "version"}},
}

// groupOf returns the index of an option's group, or -1.
func groupOf(option string) int {
	for i, g := range optionGroups {
		if slices.Contains(g.options, option) {
			return i
		}
	}
	return -1
}

// The library's own printer neither wraps nor groups.
func init() { cli.HelpPrinter = printHelp }

// printHelp prints the help of the program or of a command.
func printHelp(w io.Writer, _ string, data any) {
	var h helpText
	switch d := data.(type) {
	case *cli.App:
		h.name(d.Name, d.Usage, d.UsageText, d.Description)
		h.commands(d.VisibleCommands())
		h.options(d.VisibleFlags())
	case *cli.Command:
		h.name(d.HelpName, d.Usage, d.UsageText, d.Description)
		h.commands(d.VisibleCommands())
		h.options(d.VisibleFlags())
	}
	_, _ = io.WriteString(w, h.String()) // as the library: there is nobody to tell
}

// A helpText is help under way.
type helpText struct{ strings.Builder }

func (h *helpText) title(s string) { fmt.Fprintf(h, "\n%s:\n", s) }

func (h *helpText) name(name, usage, usageText, description string) {
	h.fill(name+" - "+usage, 0, 3)
	h.title("USAGE")
	for line := range strings.Lines(usageText) {
		h.fill(line, 3, 6)
	}
	h.description(description)
}

// description prints a description.
func (h *helpText) description(text string) {
	h.title("DESCRIPTION")
	indent := "   "
	describe(text, description{
		title: func(s string) {
			// The blank line before it is the title's own.
			text := strings.TrimSuffix(h.String(), "\n")
			h.Reset()
			h.WriteString(text)
			h.title(s)
			indent = ""
		},
		paragraph: func(s string) { h.fill(s, 3, 3) },
		verbatim:  func(s string) { h.WriteString(strings.TrimRight(indent+s, " ") + "\n") },
	})
}

// A description is told the parts of one, in their order.
type description struct{ title, paragraph, verbatim func(s string) }

// describe takes a description apart: lines without indentation are paragraphs, others
// stay as they are, and one such as "EXAMPLES:" begins a section.
func describe(text string, d description) {
	var open []string
	flush := func() {
		if len(open) > 0 {
			d.paragraph(strings.Join(open, " "))
		}
		open = nil
	}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		title, isTitle := strings.CutSuffix(line, ":")
		switch {
		case isTitle && title != "" && strings.ToUpper(title) == title && title[0] != ' ':
			flush()
			d.title(title)
		case line == "" || line[0] == ' ':
			flush()
			d.verbatim(line)
		default:
			open = append(open, line)
		}
	}
	flush()
}

func (h *helpText) commands(commands []*cli.Command) {
	if len(commands) == 0 {
		return
	}
	h.title("COMMANDS")
	for _, c := range commands {
		h.entry(strings.Join(c.Names(), ", "), c.Usage, 15)
	}
}

// options prints the options of a command by their groups.
func (h *helpText) options(flags []cli.Flag) {
	if len(flags) == 0 {
		return
	}
	h.title("OPTIONS")
	at := -2
	for _, f := range sortFlags(flags) {
		if g := groupOf(f.Names()[0]); g != at {
			if at >= -1 {
				h.WriteString("\n")
			}
			if at = g; g >= 0 {
				h.WriteString("   " + optionGroups[g].title + ":\n")
			}
		}
		h.option(f)
	}
}

// sortFlags returns the flags of a command in the order of their groups.
func sortFlags(flags []cli.Flag) []cli.Flag {
	place := func(f cli.Flag) (group, index int) {
		name := f.Names()[0]
		if group = groupOf(name); group >= 0 {
			index = slices.Index(optionGroups[group].options, name)
		}
		return group, index
	}
	return slices.SortedStableFunc(slices.Values(flags), func(a, b cli.Flag) int {
		ga, ia := place(a)
		gb, ib := place(b)
		return cmp.Or(cmp.Compare(ga, gb), cmp.Compare(ia, ib))
	})
}

func (h *helpText) option(f cli.Flag) {
	if o, ok := optionOf(f); ok {
		h.entry(strings.TrimSuffix(o.spelt()+" "+o.value, " "), o.text, 24)
	}
}

// An option is what is to be said of a flag: what the library's own printer knows of
// it, but for its variable, which has the name of the option.
type option struct {
	names       []string
	value, text string
	takesValue  bool
}

func optionOf(f cli.Flag) (o option, ok bool) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return o, false
	}
	o = option{names: f.Names(), text: d.GetUsage(), takesValue: d.TakesValue()}
	if _, rest, ok := strings.Cut(o.text, "`"); ok {
		o.value, _, _ = strings.Cut(rest, "`")
		o.text = strings.ReplaceAll(o.text, "`", "")
	}
	if def := d.GetDefaultText(); d.TakesValue() && def != "" && def != `""` {
		o.text += " (default: " + strings.Trim(def, `"`) + ")"
	}
	return o, true
}

// spelt are its names as they are given.
func (o *option) spelt() string {
	names := make([]string, len(o.names))
	for i, n := range o.names {
		names[i] = dashed(n)
	}
	return strings.Join(names, ", ")
}

// dashed is the name of an option as it is given.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// entry prints a name and what is to be said of it, in a column of its own.
func (h *helpText) entry(name, text string, column int) {
	if 3+len(name)+2 > column {
		h.WriteString("   " + name + "\n")
		h.fill(text, column, column)
		return
	}
	var b helpText
	b.fill(text, column, column)
	h.WriteString("   " + name + b.String()[3+len(name):])
}

// fill prints the words of text in lines of helpWidth, with so many blanks before
// the first line and before the others.
func (h *helpText) fill(text string, first, others int) {
	line := strings.Repeat(" ", first)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > helpWidth:
			h.WriteString(line + "\n")
			line = strings.Repeat(" ", others) + word
		default:
			line += " " + word
		}
	}
	h.WriteString(line + "\n")
}
