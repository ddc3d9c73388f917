package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"distkeep/archive/layout"
	"distkeep/archive/snapshot"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/regular"
)

// snapshotSet are the snapshots of an archive, wherever that is.
type snapshotSet interface {
	List(ctx context.Context) ([]snapshot.Snapshot, error)
	Alone(ctx context.Context, names ...string) (layout.Count, error)
	// Diff compares two, or one with what is published.
	Diff(ctx context.Context, names []string, f func(snapshot.Change) error) error
	Decide(ctx context.Context, p snapshot.Policy) ([]snapshot.Decision, error)
	Prune(ctx context.Context, p snapshot.Policy) ([]snapshot.Decision, []snapshot.Removed, error)
	Remove(ctx context.Context, names ...string) ([]snapshot.Removed, error)
	Close() error
}

// snapshotDir are those of an archive in files.
type snapshotDir struct {
	*snapshot.Dir
	distfiles string
}

func (d snapshotDir) List(context.Context) ([]snapshot.Snapshot, error) { return d.Dir.List() }

func (d snapshotDir) Decide(_ context.Context, p snapshot.Policy) ([]snapshot.Decision, error) {
	return d.Dir.Decide(p)
}

func (d snapshotDir) Diff(ctx context.Context, names []string, f func(snapshot.Change) error) (err error) {
	views := make([]*snapshot.Tree, 2)
	for i := range views {
		if i < len(names) {
			views[i], err = d.OpenSnapshot(names[i])
		} else {
			views[i], err = snapshot.OpenTree(d.distfiles)
		}
		if err != nil {
			return err
		}
		defer views[i].Close()
	}
	return snapshot.Diff(ctx, views[0], views[1], f)
}

// bucketSnapshots are those of an archive in a bucket. v is open when they are changed.
type bucketSnapshots struct {
	*snapshot.Lists
	reports string
	v       *vault.Vault
	open    func(ctx context.Context) (*vault.Vault, error)
}

// inBucket returns those of an archive that change opens, or nil if it is open already.
func (p *place) inBucket(ctx context.Context, e *env, v *vault.Vault) (*bucketSnapshots, error) {
	b, err := p.bucket(ctx)
	if err != nil {
		return nil, err
	}
	return &bucketSnapshots{Lists: snapshot.In(b, e.now), reports: store.ReportDir(p.state), v: v, open: func(ctx context.Context) (*vault.Vault, error) {
		return p.open(ctx, e, "distkeep snapshot", vault.Events{Warn: e.warner()})
	}}, nil
}

// need opens the archive unless it is open.
func (s *bucketSnapshots) need(ctx context.Context) (err error) {
	if s.v != nil {
		return nil
	}
	if s.v, err = s.open(ctx); err != nil {
		return err
	}
	return s.v.Load(ctx)
}

func (s *bucketSnapshots) Create(ctx context.Context, label string) (made snapshot.Snapshot, err error) {
	if err := s.need(ctx); err != nil {
		return made, err
	}
	update, err := lastUpdate(s.v.Distfiles)
	if err != nil {
		return made, err
	}
	return s.Lists.Create(ctx, s.v, label, update)
}

func (s *bucketSnapshots) Alone(ctx context.Context, names ...string) (layout.Count, error) {
	return s.Lists.Alone(ctx, s.reports, names...)
}

func (s *bucketSnapshots) Diff(ctx context.Context, names []string, f func(snapshot.Change) error) error {
	with := ""
	if len(names) > 1 {
		with = names[1]
	}
	return s.Lists.Diff(ctx, s.reports, names[0], with, f)
}

func (s *bucketSnapshots) Prune(ctx context.Context, p snapshot.Policy) ([]snapshot.Decision, []snapshot.Removed, error) {
	if err := s.need(ctx); err != nil {
		return nil, nil, err
	}
	return s.Lists.Prune(ctx, s.v, p)
}

func (s *bucketSnapshots) Remove(ctx context.Context, names ...string) ([]snapshot.Removed, error) {
	if err := s.need(ctx); err != nil {
		return nil, err
	}
	return s.Lists.Remove(ctx, s.v, names...)
}

func (s *bucketSnapshots) Close() error {
	if s.v == nil {
		return nil
	}
	return s.v.Close()
}

// lastUpdate tells states of a published tree apart. It is empty where that does not say.
func lastUpdate(distfiles string) (string, error) {
	const maxStamp = 64
	text, err := regular.Read(filepath.Join(distfiles, "lastupdate"), maxStamp)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}
