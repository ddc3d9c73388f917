package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/ledger"
	"distkeep/archive/why"
)

const whyHelp = `Tell all that is known of a distfile: who wants it, what keeps it, when it would go,
where it came from, its digests, where its links are, why it is not there, and what
was done with it in the last year, which is known of a name that is gone as well. An
argument is a name, or the SHA-256 of a content in hex.

It reads what the last run exported and needs no lock, so that it works during a
run; it says how old that is. With --repo, the trees are scanned for all packages
that want the name now.

EXIT STATUS:
   0    something is known of every name
   1    nothing is known of a name
   2    wrong usage or configuration`

// whyFlags are the options of why.
type whyFlags struct {
	place
	*repoFlags
	whitelists *cli.StringSlice
	local      string
	json       bool
}

func whyCommand(e *env) *cli.Command {
	o := &whyFlags{repoFlags: newRepoFlags(), whitelists: cli.NewStringSlice()}
	return &cli.Command{
		Name:        "why",
		Usage:       "tell why the archive has a file, or has not",
		UsageText:   "distkeep why --archive DIR [OPTIONS] NAME...",
		ArgsUsage:   "NAME...",
		Description: whyHelp,
		Flags: append(append(o.place.flags(), o.repoFlags.flags()...), jsonFlag(&o.json),
			&cli.StringSliceFlag{Name: "whitelist-from", Usage: "look at the names listed in `PATH`, a file or a directory, beside those in STATE/whitelist; repeatable", Destination: o.whitelists},
			&cli.StringFlag{Name: "distfiles-local", Usage: "look at the drop box `DIR`", Destination: &o.local}),
		Action: func(c *cli.Context) error { return runWhy(c, e, o) },
	}
}

func runWhy(c *cli.Context, e *env, o *whyFlags) error {
	if c.NArg() == 0 {
		return usagef("why: name at least one distfile")
	}
	if _, err := o.reading(c.Context, e); err != nil { // checks that there is an archive
		return err
	}
	w := why.Options{Distfiles: o.distfiles, State: o.state}
	var err error
	if w.Shards, err = o.shards(); err != nil {
		return err
	}
	if w.Whitelist, err = loadWhitelists(o.state, o.whitelists.Value()); err != nil {
		return err
	}
	if o.local != "" {
		if w.Local, err = filepath.Abs(o.local); err != nil {
			return err
		}
	}
	if len(o.repos.Value()) > 0 {
		if w.Repositories, err = o.repoFlags.open(&opening{stdin: e.stdin, state: o.state, offline: true, now: e.now}); err != nil {
			return err
		}
	}
	answers, err := why.Ask(c.Context, w, c.Args().Slice())
	if err != nil {
		return err
	}
	if o.json {
		err = writeJSON(e.stdout, answers)
	} else {
		err = printAnswers(e.stdout, answers, e.now())
	}
	if err == nil && slices.ContainsFunc(answers, func(a *why.Answer) bool { return !a.Known }) {
		err = status(exitNew)
	}
	return err
}

func printAnswers(w io.Writer, answers []*why.Answer, now time.Time) error {
	var b strings.Builder
	for i, a := range answers {
		if i > 0 {
			b.WriteByte('\n')
		}
		printAnswer(&b, a)
		if !a.AsOf.IsZero() {
			field(&b, "as of", "the run of %s, %v ago", stamp(a.AsOf), now.Sub(a.AsOf).Round(time.Second))
		} else {
			field(&b, "as of", "no run has finished yet")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func field(b *strings.Builder, label, format string, args ...any) {
	fmt.Fprintf(b, "%-12s "+format+"\n", append([]any{label}, args...)...)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func printAnswer(b *strings.Builder, a *why.Answer) {
	field(b, "name", "%s", a.Name)
	field(b, "why", "%s", a.Why)
	for _, x := range a.Wanted {
		how := ""
		if x.Shadowed {
			how = ", but another package has the name"
		}
		if x.Refused != "" {
			how += fmt.Sprintf(", but it must not be mirrored (%s)", x.Refused)
		}
		if x.Shard != "" {
			how += ", in shard " + x.Shard
		}
		field(b, "wanted", "by %s%s", strings.Join(x.Owners, ", "), how)
		for _, d := range x.Digests {
			field(b, "  digest", "%s", d)
		}
		for _, s := range x.Sources {
			field(b, "  source", "%s", s)
		}
	}
	for _, h := range a.Contents {
		printHeld(b, &h)
	}
	for _, e := range a.Past {
		from := ""
		if e.What == string(ledger.Added) && e.Origin != "" {
			from = " from " + e.Origin
		}
		field(b, "past", "%s %s, SHA256 %.16s, %s%s", stamp(e.Time), e.What, e.SHA256, plural(int(e.Size), "byte"), from)
	}
	for _, f := range a.Failures {
		field(b, "failure", "%s", f.Text())
		next := "every run"
		if !f.Next.IsZero() {
			next = "at " + stamp(f.Next)
		}
		field(b, "  tried", "%s since %s, last at %s, next %s", plural(f.Count, "time"), stamp(f.First), stamp(f.Last), next)
		if f.Hint != "" {
			field(b, "  hint", "%s", f.Hint)
		}
	}
	if a.Whitelist != nil {
		field(b, "whitelist", "%s:%d", a.Whitelist.File, a.Whitelist.Line)
	}
	if a.Local != "" {
		field(b, "drop box", "%s", a.Local)
	}
}

func printHeld(b *strings.Builder, h *why.Held) {
	state := "by its digest only"
	switch {
	case h.Recycled:
		state = "in recycle"
	case h.Named:
		state = "published"
	}
	field(b, "content", "SHA256 %s, %s, %s", h.SHA256, plural(int(h.Size), "byte"), state)
	field(b, "  why", "%s", h.Why)
	if h.Shard != "" {
		field(b, "  shard", "%s", h.Shard)
	}
	if h.Owner != "" {
		field(b, "  owner", "%s", h.Owner)
	}
	field(b, "  from", "%s, at %s", h.Origin, stamp(h.Added))
	field(b, "  last read", "%s", stamp(h.Verified))
	if !h.Unwanted.IsZero() {
		field(b, "  unwanted", "since %s", stamp(h.Unwanted))
	}
	for _, alg := range slices.Sorted(maps.Keys(h.Digests)) {
		field(b, "  digest", "%s %s", alg, h.Digests[alg])
	}
	for _, l := range h.Links {
		field(b, "  link", "%s (%s)", l.Path, l.State)
	}
}
