package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"distkeep/archive/report"
	"distkeep/archive/snapshot"
	"distkeep/archive/store"
	"distkeep/archive/vault"
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
	if o.policy == (snapshot.Policy{}) {
		// What reads one, with an hourly job, has a day before it goes.
		o.policy = snapshot.Policy{Last: 24, Daily: 7}
	}
	if _, err := o.policy.Apply(nil); err != nil {
		return usageError{err}
	}
	if p.remote() {
		if o.noByCipher || o.dir != "" {
			return usagef("--no-by-cipher and --snapshots are of an archive in files")
		}
		return nil
	}
	if o.dir == "" {
		o.dir = store.SnapshotsDir(p.distfiles)
	}
	return vault.CheckSnapshots(o.dir, p.distfiles, p.state)
}

// take makes a snapshot of v, which the run of s has changed, or an earlier one
// that could make none, and removes old ones.
func (o *snapshotAfter) take(ctx context.Context, e *env, p *place, v *vault.Vault, s *report.Summary, minFree int64) (err error) {
	if !o.wanted {
		return nil
	}
	if p.remote() {
		return o.takeInBucket(ctx, e, p, v, s)
	}
	d, err := snapshot.Make(o.dir, v.Distfiles, e.now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	is, err := lastUpdate(v.Distfiles)
	if err != nil {
		return err
	}
	if was, err := lastUpdate(filepath.Join(o.dir, "latest")); err != nil || is == was && is != "" {
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

// takeInBucket is take for an archive in a bucket.
func (o *snapshotAfter) takeInBucket(ctx context.Context, e *env, p *place, v *vault.Vault, s *report.Summary) error {
	d, err := p.inBucket(ctx, e, v)
	if err != nil {
		return err
	}
	is, err := lastUpdate(v.Distfiles)
	if err != nil {
		return err
	}
	if was, err := d.Update(ctx); err != nil || is == was && is != "" {
		return err
	}
	made, err := d.Create(ctx, "")
	if err != nil {
		return err
	}
	s.Snapshot = made.Name
	_, removed, err := d.Prune(ctx, o.policy)
	s.SnapshotsRemoved = len(removed)
	return err
}
