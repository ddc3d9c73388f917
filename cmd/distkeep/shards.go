package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"distkeep/archive/bucket"
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
