package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/layout"
	"distkeep/archive/snapshot"
	"distkeep/archive/store"
	"distkeep/archive/vault"
)

const snapshotHelp = `A snapshot is a dated copy of the published tree that no later change can alter. It
is made of hard links, so that its files need no room until the archive deletes
them; then they stay until no snapshot has them. Its directories do need room: on
ext4, 4 KiB and an inode for each content that has one in by_cipher (create
--no-by-cipher leaves that out).

Snapshots are in ARCHIVE/snapshots, or where --snapshots says, on the file system
of the published tree. A name is the time in UTC, as in 2026-01-02T030000Z, with
.LABEL behind it if there is one; "latest" is a link to the newest.

A snapshot of an archive in a bucket is a list of its names and contents there: what
one has stays in the bucket until none has it. To make or remove one needs the lock.
`

// snapshotFlags are what the subcommands share.
type snapshotFlags struct {
	place
	dir  string
	json bool
}

func (o *snapshotFlags) flags() []cli.Flag {
	return append(o.place.flags(), jsonFlag(&o.json),
		&cli.StringFlag{Name: "snapshots", Usage: "the snapshots are in `DIR`; by default in the directory snapshots beside the published one", Destination: &o.dir})
}

// resolve fills in what follows from the options and checks that there is an
// archive, an empty mount point being none, and that the snapshots are apart
// from it.
func (o *snapshotFlags) resolve() error {
	if err := o.place.resolve(); err != nil {
		return err
	}
	if o.remote() {
		return o.resolveRemote()
	}
	if o.dir == "" {
		o.dir = store.SnapshotsDir(o.distfiles)
	}
	if err := vault.Check(o.distfiles, o.state); err != nil {
		return err
	}
	return vault.CheckSnapshots(o.dir, o.distfiles, o.state)
}

// resolveRemote is resolve for an archive in a bucket.
func (o *snapshotFlags) resolveRemote() error {
	if o.dir != "" {
		return usagef("--snapshots is of an archive in files: those of a bucket are in it")
	}
	return vault.Check(o.distfiles, o.state)
}

// open opens the snapshots that are there.
func (o *snapshotFlags) open(ctx context.Context, e *env) (snapshotSet, error) {
	if err := o.resolve(); err != nil {
		return nil, err
	}
	if o.remote() {
		return o.inBucket(ctx, e, nil)
	}
	d, err := snapshot.Open(o.dir, e.now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted{err, "the first snapshot is made by: distkeep snapshot create"}
	} else if err != nil {
		return nil, err
	}
	return snapshotDir{d, o.distfiles}, nil
}

// snapshotError gives an error the exit status of what caused it.
func snapshotError(err error) error {
	if err != nil && store.Broken(err) {
		return vault.Damage(err)
	}
	return err
}

func snapshotCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:        "snapshot",
		Usage:       "make, list, compare and remove dated copies of the published tree",
		UsageText:   "distkeep snapshot create|list|diff|prune|remove [OPTIONS] [NAME...]",
		Description: snapshotHelp,
		Subcommands: []*cli.Command{
			snapshotCreate(e), snapshotList(e), snapshotDiff(e), snapshotPrune(e), snapshotRemove(e),
		},
	}
}

const snapshotCreateHelp = snapshotHelp + `
In files, it needs no lock and may be called during a run: every file of the view is whole,
and files are there that its distinfo or a pacman database names, but which of the
files that come or go just then is left to chance. For the view of one moment, call
it when no run is on: distkeep mirror ... && distkeep snapshot create ...

It prints the name, the number of files outside by_cipher, and the size of all
contents.
`

func snapshotCreate(e *env) *cli.Command {
	o := &snapshotFlags{}
	var c snapshot.CreateOptions
	minFree := sizeValue(1 << 30)
	return &cli.Command{
		Name:        "create",
		Usage:       "make a snapshot of the published tree as it is now",
		UsageText:   "distkeep snapshot create --archive DIR [OPTIONS]",
		Description: snapshotCreateHelp,
		Flags: append(o.flags(),
			&cli.StringFlag{Name: "label", Usage: "add `LABEL` to the name; prune leaves snapshots with a label alone", Destination: &c.Label},
			&cli.BoolFlag{Name: "no-by-cipher", Usage: "leave out by_cipher", Destination: &c.NoByCipher},
			&cli.GenericFlag{Name: "min-free", Usage: "make none that would leave less than `SIZE` free", Value: &minFree}),
		Action: func(ctx *cli.Context) error {
			return snapshotError(runSnapshotCreate(ctx.Context, e, o, c, int64(minFree)))
		},
	}
}

func runSnapshotCreate(ctx context.Context, e *env, o *snapshotFlags, c snapshot.CreateOptions, minFree int64) (err error) {
	if err := o.resolve(); err != nil {
		return err
	}
	if o.remote() {
		return o.createInBucket(ctx, e, c)
	}
	s, err := store.Open(o.distfiles, o.state, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c.Room = func() error { return s.Room(0, minFree) }
	d, err := snapshot.Make(o.dir, o.distfiles, e.now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	made, err := d.Create(ctx, o.distfiles, c)
	if err != nil {
		return err
	}
	return o.printMade(e, made)
}

// createInBucket is runSnapshotCreate for an archive in a bucket.
func (o *snapshotFlags) createInBucket(ctx context.Context, e *env, c snapshot.CreateOptions) (err error) {
	if c.NoByCipher {
		return usagef("--no-by-cipher is of an archive in files")
	}
	s, err := o.inBucket(ctx, e, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	made, err := s.Create(ctx, c.Label)
	if err != nil {
		return err
	}
	return o.printMade(e, made)
}

func (o *snapshotFlags) printMade(e *env, made snapshot.Snapshot) error {
	if o.json {
		return writeJSON(e.stdout, []snapshot.Snapshot{made})
	}
	t := newTable(e.stdout)
	t.row(made.Name, itoa(made.Files), itoa(made.Bytes))
	return t.flush()
}

// A listedSnapshot is a snapshot, and what only it has if that was asked for.
type listedSnapshot struct {
	snapshot.Snapshot
	Alone *layout.Count `json:"alone,omitempty"`
}

func snapshotList(e *env) *cli.Command {
	o := &snapshotFlags{}
	var alone bool
	return &cli.Command{
		Name:      "list",
		Usage:     "list snapshots, the oldest first",
		UsageText: "distkeep snapshot list --archive DIR [--json]",
		Description: snapshotHelp + `
A line has the name, the time, the number of files outside by_cipher, the size of
all contents in bytes, and "latest" for the newest, or "future" when its time has
yet to come: the clock was wrong, and it is never the latest. All else was noted when
the snapshot was made. With --alone, each file is looked at, and there are two columns
more: the number and the bytes of the contents that only this snapshot has.
`,
		Flags: append(o.flags(), &cli.BoolFlag{Name: "alone", Usage: "say what only this snapshot has, which its removal would free", Destination: &alone}),
		Action: func(c *cli.Context) error {
			list, err := o.list(c.Context, e, alone)
			if err != nil {
				return err
			}
			if o.json {
				return writeJSON(e.stdout, list)
			}
			t := newTable(e.stdout)
			for _, s := range list {
				cells := []string{s.Name, s.Time.Format(time.RFC3339), itoa(s.Files), itoa(s.Bytes)}
				if s.Alone != nil {
					cells = append(cells, itoa(int64(s.Alone.Files)), itoa(s.Alone.Bytes))
				}
				if s.Latest {
					cells = append(cells, "latest")
				} else if s.Future {
					cells = append(cells, "future")
				}
				t.row(cells...)
			}
			return t.flush()
		},
	}
}

// list lists the snapshots: none where none was made yet.
func (o *snapshotFlags) list(ctx context.Context, e *env, alone bool) (list []listedSnapshot, err error) {
	asked := o.dir != ""
	if err := o.resolve(); err != nil {
		return nil, err
	}
	if !o.remote() && !asked && !exists(o.dir) {
		return nil, nil
	}
	d, err := o.open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	all, err := d.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		l := listedSnapshot{Snapshot: s}
		if alone {
			n, err := d.Alone(ctx, s.Name)
			if err != nil {
				return nil, err
			}
			l.Alone = &n
		}
		list = append(list, l)
	}
	return list, nil
}

const snapshotDiffHelp = snapshotHelp + `
It prints "+ NAME" for a file that only the second has, "- NAME" for one that only
the first has, and "~ NAME OLD NEW" with both SHA-256 for one that is not the same.
Without a second name, the published tree is compared. by_cipher, distinfo, history,
lastsync and lastupdate are left out. Bytes are read only of files whose SHA-256
distinfo and by_cipher do not tell.
`

func snapshotDiff(e *env) *cli.Command {
	o := &snapshotFlags{}
	return &cli.Command{
		Name:        "diff",
		Usage:       "compare two snapshots, or one with the published tree",
		UsageText:   "distkeep snapshot diff --archive DIR [--json] NAME [NAME]",
		ArgsUsage:   "NAME [NAME]",
		Description: snapshotDiffHelp,
		Flags:       o.flags(),
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 || c.NArg() > 2 {
				return usagef("snapshot diff: name one or two snapshots")
			}
			return snapshotError(runSnapshotDiff(c.Context, e, o, c.Args().Slice()))
		},
	}
}

func runSnapshotDiff(ctx context.Context, e *env, o *snapshotFlags, names []string) (err error) {
	d, err := o.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	return d.Diff(ctx, names, func(c snapshot.Change) error {
		if o.json {
			return enc.Encode(c)
		}
		line := c.Op + " " + printable(c.Name)
		if c.Op == "~" {
			line += " " + printable(c.Old) + " " + printable(c.New)
		}
		_, err := fmt.Fprintln(e.stdout, line)
		return err
	})
}

// printable quotes what would break a line.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(s)
	}
	return s
}

const snapshotPruneHelp = snapshotHelp + `
Of each hour (day, ISO week, month, year, in UTC) that has snapshots, the newest is
kept, for as many as the option says, counted from the newest snapshot; -1 is all.
As in restic, when a number is not used up, the oldest snapshot is kept as well.
Snapshots with a label, and those whose time has yet to come, are kept and not
counted: remove them by name.

It prints "keep NAME REASONS" or "remove NAME" for each snapshot, tabs between.
`

func snapshotPrune(e *env) *cli.Command {
	o := &snapshotFlags{}
	var p snapshot.Policy
	dryRun := false
	return &cli.Command{
		Name:        "prune",
		Usage:       "remove old snapshots, but keep some of each period",
		UsageText:   "distkeep snapshot prune --archive DIR [--keep-PERIOD N...] [OPTIONS]",
		Description: snapshotPruneHelp,
		Flags: append(append(o.flags(), keepFlags(&p)...),
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be done and remove nothing", Destination: &dryRun}),
		Action: func(c *cli.Context) error {
			return snapshotError(runSnapshotPrune(c.Context, e, o, p, dryRun))
		},
	}
}

// keepFlags are the options of a policy.
func keepFlags(p *snapshot.Policy) []cli.Flag {
	keep := func(what, name string, dest *int) cli.Flag {
		return &cli.IntFlag{Name: "keep-" + name, Usage: "keep the newest of the last `N` " + what, Destination: dest}
	}
	return []cli.Flag{
		&cli.IntFlag{Name: "keep-last", Usage: "keep the last `N` snapshots", Destination: &p.Last},
		keep("hours", "hourly", &p.Hourly), keep("days", "daily", &p.Daily), keep("weeks", "weekly", &p.Weekly),
		keep("months", "monthly", &p.Monthly), keep("years", "yearly", &p.Yearly),
	}
}

func runSnapshotPrune(ctx context.Context, e *env, o *snapshotFlags, p snapshot.Policy, dryRun bool) (err error) {
	d, err := o.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var ds []snapshot.Decision
	if dryRun {
		ds, err = d.Decide(ctx, p)
	} else {
		ds, _, err = d.Prune(ctx, p)
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(e.stdout, ds)
	}
	t := newTable(e.stdout)
	var gone []string
	for _, x := range ds {
		if x.Keep {
			t.row("keep", x.Name, strings.Join(x.Reasons, ", "))
		} else {
			t.row("remove", x.Name)
			gone = append(gone, x.Name)
		}
	}
	if err := t.flush(); err != nil || !dryRun || len(gone) == 0 {
		return err
	}
	free, err := d.Alone(ctx, gone...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stderr, "distkeep: %s, %s would be free\n", plural(free.Files, "file"), humanSize(free.Bytes))
	return err
}

func snapshotRemove(e *env) *cli.Command {
	o := &snapshotFlags{}
	return &cli.Command{
		Name:      "remove",
		Usage:     "remove snapshots by name",
		UsageText: "distkeep snapshot remove --archive DIR [--json] NAME...",
		ArgsUsage: "NAME...",
		Description: snapshotHelp + `
It prints the name, the number of links that are gone, and the bytes that are free
now because nothing else has them.
`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usagef("snapshot remove: name at least one snapshot")
			}
			return snapshotError(runSnapshotRemove(c.Context, e, o, c.Args().Slice()))
		},
	}
}

func runSnapshotRemove(ctx context.Context, e *env, o *snapshotFlags, names []string) (err error) {
	d, err := o.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	removed, err := d.Remove(ctx, names...)
	if o.json {
		return errors.Join(err, writeJSON(e.stdout, removed))
	}
	t := newTable(e.stdout)
	for _, r := range removed {
		t.row(r.Name, itoa(r.Files), itoa(r.Freed))
	}
	return errors.Join(err, t.flush())
}
