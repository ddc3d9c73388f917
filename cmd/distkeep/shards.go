package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive/bucket"
	"distkeep/archive/report"
	"distkeep/archive/shards"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// A shardValue is --shard K/N.
type shardValue catalog.Part

var _ cli.Generic = (*shardValue)(nil)

// Set parses s.
func (v *shardValue) Set(s string) error {
	p, err := catalog.ParsePart(s)
	*v = shardValue(p)
	return err
}

// String spells the shard.
func (v *shardValue) String() string { return catalog.Part(*v).String() }

// shardFlag is the option of init and of what works as a worker does.
func (p *place) shardFlag() cli.Flag {
	return &cli.GenericFlag{Name: "shard", Usage: "be the worker for `K/N`, the K-th of N shards of an archive in a bucket; init notes it", Value: &p.shard}
}

// checkShard returns an error when --shard is not what is, of the state directory,
// says.
func (p *place) checkShard(is *vault.Binding) error {
	said := catalog.Part(p.shard)
	part, err := is.Part()
	switch {
	case err != nil:
		return err
	case is == nil || said.Whole() || part == said:
		return nil
	case is.Reader:
		return usagef("--shard %s: %s is a reader's", said, p.state)
	case part.Whole():
		return usagef("--shard %s: %s has no shards, and stays as it is", said, is)
	}
	return usagef("--shard %s: %s is that of %s", said, p.state, is)
}

// part is what the archive has of the catalog.
func (p *place) part() (catalog.Part, error) {
	is, err := vault.Bound(p.state)
	if err != nil {
		return catalog.Part{}, err
	}
	return is.Part()
}

// shards is how many the archive has, or zero.
func (p *place) shards() (int, error) {
	is, err := vault.Bound(p.state)
	if err != nil || is == nil {
		return 0, err
	}
	part, err := is.Part()
	return max(part.Of, is.Shards), err
}

// ofPart is the part of the bucket of an archive that a worker has for itself.
func ofPart(b *bucket.Bucket, p catalog.Part) *bucket.Bucket {
	if p.Whole() {
		return b
	}
	return b.Shard(p.Number, p.Of)
}

// begin marks the bucket as that of an archive, or of one shard of it, and returns the mark.
func begin(ctx context.Context, whole *bucket.Bucket, part catalog.Part) (id string, again bool, err error) {
	if !part.Whole() {
		if err := divide(ctx, whole, part); err != nil {
			return "", false, err
		}
	}
	b := ofPart(whole, part)
	is, again, err := b.Begin(ctx, bucket.Mark{Shard: part.String()})
	switch {
	case err != nil:
		return "", false, err
	case is.Shards > 0:
		return "", false, usagef("%s is in %d shards: say which one with --shard K/%d", b, is.Shards, is.Shards)
	case is.Shard != part.String() && part.Whole():
		return "", false, usagef("%s is shard %s of an archive: name that with --archive, and the shard with --shard", b, is.Shard)
	case is.Shard != part.String():
		return "", false, usagef("%s is an archive of its own, and no shard of one", b)
	}
	return is.ID, again, nil
}

// divide marks the archive as one that is in part.Of shards.
func divide(ctx context.Context, whole *bucket.Bucket, part catalog.Part) error {
	switch is, _, err := whole.Begin(ctx, bucket.Mark{Shards: part.Of}); {
	case err != nil:
		return err
	case is.Shard != "":
		return usagef("--shard %s: %s is itself shard %s of an archive", part, whole, is.Shard)
	case is.Shards == 0:
		return usagef("--shard %s: %s has no shards, and stays as it is", part, whole)
	case is.Shards != part.Of:
		return usagef("--shard %s: %s is in %d shards, and stays so", part, whole, is.Shards)
	}
	return nil
}

// initReader makes a state directory that reads an archive.
func (p *place) initReader(ctx context.Context) error {
	whole, was, err := p.whole(ctx)
	if err != nil {
		return err
	}
	mark, err := whole.Mark(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", whole, vault.ErrNoArchive)
	case err != nil:
		return err
	case mark.Shard != "":
		return usagef("%s is shard %s of an archive: name that with --archive", whole, mark.Shard)
	case was != nil && !was.Reader:
		return usagef("--reader: %s is that of a worker for %s", p.state, was)
	case was != nil && was.Mark != mark.ID:
		return usagef("%s reads another archive that was in %s", p.state, was)
	case was == nil && exists(store.ReportDir(p.state)):
		return usagef("%s is that of an archive in files", p.state)
	}
	for _, dir := range []string{p.distfiles, store.ReportDir(p.state)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return vault.Bind(p.state, &vault.Binding{
		URL: whole.String(), Mark: mark.ID, Endpoint: p.endpoint, Region: p.region, Reader: true, Shards: mark.Shards,
	})
}

// reading returns the directory of what the last run exported: the last run of each shard
// for a reader, which reads that first. What it cannot read now is as it was.
func (p *place) reading(ctx context.Context, e *env) (dir string, err error) {
	is, err := p.bound()
	if err != nil {
		return "", err
	}
	dir = store.ReportDir(p.state)
	if is == nil || !is.Reader {
		return dir, nil
	}
	whole, _, err := p.whole(ctx)
	if err != nil {
		return "", err
	}
	p.reader = shards.New(p.state, p.distfiles, whole, is.Shards)
	if err = p.reader.Refresh(ctx); err == nil || ctx.Err() != nil {
		return dir, err
	}
	if !report.HasDistfiles(dir) {
		return "", err
	}
	e.warner()(fmt.Sprintf("%v; what was read before is shown", err))
	return dir, nil
}

// follow reads what runs leave until ctx ends.
func (p *place) follow(ctx context.Context, warn func(format string, args ...any)) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(p.reader.Every())
		defer tick.Stop()
		last := ""
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			text := ""
			if err := p.reader.Refresh(ctx); err != nil && ctx.Err() == nil {
				text = err.Error()
			}
			if text != "" && text != last {
				warn("%s; what was read before is served", text)
			}
			last = text
		}
	}()
	return ended
}

// shardText is a line about the last run of a shard.
func shardText(r *report.ShardRun, now time.Time) string {
	if r.Start.IsZero() {
		return r.Shard + ": no run has finished yet"
	}
	failures := 0
	for _, n := range r.Failures {
		failures += n
	}
	text := fmt.Sprintf("%s: %s at %s, %v ago, %s, %s", r.Shard, r.Command, stamp(r.Start), now.Sub(r.Start).Round(time.Second), count(r.Archive), plural(failures, "failure"))
	switch {
	case r.Broken != "":
		text += ", broken"
	case r.Interrupted:
		text += ", interrupted"
	case !r.Complete:
		text += ", not complete"
	case r.Guard != "":
		text += ", deletions stopped"
	}
	return text
}
