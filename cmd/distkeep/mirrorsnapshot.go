package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/snapshot"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/regular"
)

// A snapshotAfter is what mirror does about snapshots at the end of a run.
type snapshotAfter struct {
	wanted     bool
	dir        string
	noByCipher bool
	policy     snapshot.Policy
}

func (o *snapshotAfter) flags() []cli.Flag {
	return append(keepFlags(&o.policy),
		&cli.BoolFlag{Name: "snapshot", Usage: "make a snapshot after a run that changed something, and remove old ones; without --keep-PERIOD the last 24 stay, and 7 daily ones", Destination: &o.wanted},
		&cli.StringFlag{Name: "snapshots", Usage: "the snapshots are in `DIR`; by default in the directory snapshots beside the published one", Destination: &o.dir},
		&cli.BoolFlag{Name: "no-by-cipher", Usage: "leave by_cipher out of the snapshot", Destination: &o.noByCipher})
}

// check fills in the defaults. What cannot be is said before the run.
func (o *snapshotAfter) check(p *place) error {
	if !o.wanted {
		return nil
	}
	if err := p.inFiles("--snapshot", "there are no files to link"); err != nil {
		return err
	}
	if o.dir == "" {
		o.dir = store.SnapshotsDir(p.distfiles)
	}
	if o.policy == (snapshot.Policy{}) {
		// What reads one, with an hourly job, has a day before it goes.
		o.policy = snapshot.Policy{Last: 24, Daily: 7}
	}
	if _, err := o.policy.Apply(nil); err != nil {
		return usageError{err}
	}
	return vault.CheckSnapshots(o.dir, p.distfiles, p.state)
}

// take makes a snapshot of v, which the run of s has changed, or an earlier one
// that could make none, and removes old ones.
func (o *snapshotAfter) take(ctx context.Context, e *env, v *vault.Vault, s *report.Summary, minFree int64) (err error) {
	if !o.wanted {
		return nil
	}
	d, err := snapshot.Make(o.dir, v.Distfiles, e.now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	same, err := sameUpdate(filepath.Join(o.dir, "latest"), v.Distfiles)
	if err != nil || same {
		return err
	}
	made, err := d.Create(ctx, v.Distfiles, snapshot.CreateOptions{
		NoByCipher: o.noByCipher, Room: func() error { return v.Store.Room(0, minFree) },
	})
	if err != nil {
		return err
	}
	s.Snapshot = made.Name
	_, removed, err := d.Prune(ctx, o.policy)
	s.SnapshotsRemoved = len(removed)
	return err
}

// sameUpdate reports whether two published trees are of the same last change.
func sameUpdate(a, b string) (bool, error) {
	const maxStamp = 64
	of, err := regular.Read(filepath.Join(a, "lastupdate"), maxStamp)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	with, err := regular.Read(filepath.Join(b, "lastupdate"), maxStamp)
	return err == nil && string(of) == string(with), err
}
