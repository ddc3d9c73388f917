package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/bucket"
	"distkeep/archive/store"
	"distkeep/catalog/regular"
	"distkeep/fetch"
)

const quarantineHelp = `Quarantine holds bytes that are not what they should be, for a person to look at. By
the kind of a file, it got there because
   fetched   a transfer brought it, and the tree wants something else
   changed   it was published, and is no more what was verified
   replaced  it was in the way of a published file
   unknown   it was where only recorded files may be

When a tree is put right, so that it wants what was fetched, the next run takes it from
there and asks nobody. Of what is there 1 GiB and 1000 files are kept, the newest; what
no transfer brought stays for 30 days at least.
`

// quarantineFlags are what the subcommands share.
type quarantineFlags struct {
	place
	json bool
}

func (o *quarantineFlags) flags() []cli.Flag { return o.place.flags() }

// dir returns the directory that quarantine is in.
func (o *quarantineFlags) dir() (string, error) {
	if _, err := o.reports(); err != nil { // checks that there is an archive
		return "", err
	}
	return quarantineDir(&o.place), nil
}

// quarantineDir is the directory of quarantine.
func quarantineDir(p *place) string {
	dirs := store.QuarantineDirs(p.distfiles, p.state)
	if i := slices.IndexFunc(dirs, exists); i >= 0 {
		return dirs[i]
	}
	return dirs[0]
}

func quarantineCommand(e *env) *cli.Command {
	return &cli.Command{
		Name:        "quarantine",
		Usage:       "list, show, release and drop bytes that are not right",
		UsageText:   "distkeep quarantine list|show|release|drop [OPTIONS] [ID...]",
		Description: quarantineHelp,
		Subcommands: []*cli.Command{quarantineList(e), quarantineShow(e), quarantineRelease(e), quarantineDrop(e)},
	}
}

func quarantineList(e *env) *cli.Command {
	var o quarantineFlags
	return &cli.Command{
		Name:      "list",
		Usage:     "list what is in quarantine, the oldest first",
		UsageText: "distkeep quarantine list --archive DIR [--json]",
		Description: quarantineHelp + `
A line has the ID, the kind, since when it is there, the size in bytes, the name, and
where it came from.
`,
		Flags: append(o.flags(), jsonFlag(&o.json)),
		Action: func(*cli.Context) error {
			dir, err := o.dir()
			if err != nil {
				return err
			}
			list, err := fetch.ListQuarantine(dir)
			if err != nil {
				return err
			}
			if o.remote() {
				fmt.Fprintf(e.stderr, "distkeep: what was in the place of a content in the bucket, and is not that, is in %s: look at it with the tools of the storage\n", bucket.Asides(o.archive))
			}
			if o.json {
				return writeJSON(e.stdout, list)
			}
			t := newTable(e.stdout)
			for _, k := range list {
				url := ""
				if k.Record != nil {
					url = k.Record.URL
				}
				t.row(k.ID, k.Kind, k.Time.Format(time.RFC3339), itoa(k.Size), string(k.Name()), url)
			}
			return t.flush()
		},
	}
}

// found is a file in quarantine and where it is.
type found struct {
	fetch.Kept
	Path string `json:"path"`
}

// find returns the files that the arguments name: by ID, the beginning of one, or the
// name of a distfile.
func (o *quarantineFlags) find(c *cli.Context) (dir string, fs []found, err error) {
	if c.NArg() == 0 {
		return "", nil, usagef("quarantine %s: say which: distkeep quarantine list has the IDs", c.Command.Name)
	}
	if dir, err = o.dir(); err != nil {
		return "", nil, err
	}
	list, err := fetch.ListQuarantine(dir)
	if err != nil {
		return "", nil, err
	}
	for _, a := range c.Args().Slice() {
		n := len(fs)
		for _, k := range list {
			if k.ID == a || string(k.Name()) == a || len(a) >= 8 && strings.HasPrefix(k.ID, a) {
				fs = append(fs, found{k, filepath.Join(dir, k.ID)})
			}
		}
		if len(fs) == n {
			return "", nil, usagef("quarantine %s: there is no %q in quarantine", c.Command.Name, a)
		}
	}
	return dir, fs, nil
}

func quarantineShow(e *env) *cli.Command {
	var o quarantineFlags
	return &cli.Command{
		Name:        "show",
		Usage:       "show what is known of files in quarantine",
		UsageText:   "distkeep quarantine show --archive DIR [--json] ID|NAME...",
		ArgsUsage:   "ID|NAME...",
		Description: quarantineHelp,
		Flags:       append(o.flags(), jsonFlag(&o.json)),
		Action: func(c *cli.Context) error {
			_, list, err := o.find(c)
			if err != nil {
				return err
			}
			if o.json {
				return writeJSON(e.stdout, list)
			}
			var b strings.Builder
			for i, k := range list {
				if i > 0 {
					b.WriteByte('\n')
				}
				k.print(&b)
			}
			_, err = io.WriteString(e.stdout, b.String())
			return err
		},
	}
}

func (k *found) print(b *strings.Builder) {
	line := func(title, text string) { fmt.Fprintf(b, "%-9s %s\n", title, text) }
	line("name", string(k.Name()))
	line("kind", k.Kind)
	line("since", k.Time.Format(time.RFC3339))
	line("size", itoa(k.Size))
	if r := k.Record; r != nil {
		if r.WantSize >= 0 && r.WantSize != r.Size {
			line("expected", itoa(r.WantSize)+" bytes")
		}
		for _, alg := range slices.Sorted(maps.Keys(r.Want)) {
			line("expected", alg+" "+r.Want[alg])
		}
		for _, alg := range slices.Sorted(maps.Keys(r.Got)) {
			line("got", alg+" "+r.Got[alg])
		}
		line("why", r.Why)
		line("from", r.URL)
		if r.Final != "" && r.Final != r.URL {
			line("led to", r.Final)
		}
		for _, h := range slices.Sorted(maps.Keys(r.Header)) {
			line("header", h+": "+r.Header[h])
		}
	}
	line("path", k.Path)
}

func quarantineRelease(e *env) *cli.Command {
	var o quarantineFlags
	var to string
	return &cli.Command{
		Name:      "release",
		Usage:     "move files out of quarantine",
		UsageText: "distkeep quarantine release --archive DIR --to DIR ID|NAME...",
		ArgsUsage: "ID|NAME...",
		Description: quarantineHelp + `
Each file is moved into a directory, under its name; nothing there is overwritten. In the
drop box of mirror --distfiles-local, it is published when a package wants these bytes.
`,
		Flags: append(o.flags(), &cli.StringFlag{Name: "to", Usage: "move them into `DIR`", Destination: &to}),
		Action: func(c *cli.Context) error {
			if to == "" {
				return usagef("quarantine release: say where to: --to DIR")
			}
			dir, list, err := o.find(c)
			if err != nil {
				return err
			}
			t := newTable(e.stdout)
			for _, k := range list {
				dst := filepath.Join(to, filepath.Base(string(k.Name())))
				if err := k.moveTo(dst); err != nil {
					return errors.Join(usagef("quarantine release: %w", err), t.flush())
				}
				if err := fetch.DropQuarantined(dir, k.ID); err != nil {
					return errors.Join(err, t.flush())
				}
				t.row(k.ID, dst)
			}
			return t.flush()
		},
	}
}

// moveTo makes a file at dst of the same bytes: a link, or a copy on another file
// system.
func (k *found) moveTo(dst string) error {
	err := os.Link(k.Path, dst)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	src, err := regular.Open(k.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	f, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, src)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(dst))
	}
	return nil
}

func quarantineDrop(e *env) *cli.Command {
	var o quarantineFlags
	return &cli.Command{
		Name:        "drop",
		Usage:       "remove files from quarantine for good",
		UsageText:   "distkeep quarantine drop --archive DIR ID|NAME...",
		ArgsUsage:   "ID|NAME...",
		Description: quarantineHelp,
		Flags:       o.flags(),
		Action: func(c *cli.Context) error {
			dir, list, err := o.find(c)
			if err != nil {
				return err
			}
			t := newTable(e.stdout)
			for _, k := range list {
				if err := fetch.DropQuarantined(dir, k.ID); err != nil {
					return errors.Join(err, t.flush())
				}
				t.row(k.ID, itoa(k.Size))
			}
			return t.flush()
		},
	}
}
