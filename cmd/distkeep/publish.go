package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"distkeep/archive/bucket"
	"distkeep/archive/deposit"
	"distkeep/archive/vault"
)

// A publishFlag is how readers find what is in a bucket without distkeep serve. Empty is as it was
// chosen before.
type publishFlag struct{ choiceValue }

func (p *publishFlag) flag() cli.Flag {
	for _, how := range bucket.Publishings {
		p.choices = append(p.choices, string(how))
	}
	return &cli.GenericFlag{
		Name: "publish", Value: &p.choiceValue,
		Usage: "let readers find the files of a bucket there by `HOW`: copies at their paths, redirects, for storage that hosts web sites, or none; it is remembered",
	}
}

// check says what cannot be before anything is done.
func (p *publishFlag) check(at *place) error {
	if p.value != "" && !at.remote() {
		return usagef("--publish is of an archive in a bucket: --archive s3://BUCKET/PREFIX")
	}
	return nil
}

// choose remembers the choice in b.
func (p *publishFlag) choose(ctx context.Context, b *bucket.Bucket) error {
	if p.value == "" {
		return nil
	}
	return b.SetPublishing(ctx, bucket.Publishing(p.value))
}

// expose makes readers find in the bucket what v has by now. What ctx cuts short the next
// run goes on with.
func expose(ctx context.Context, v *vault.Vault) (how bucket.Publishing, err error) {
	b, ok := v.Remote.(*bucket.Bucket)
	if !ok {
		return "", nil
	}
	if how, err = b.Publishing(ctx); err == nil {
		err = deposit.Publish(ctx, v, b, how)
	}
	if err == nil || ctx.Err() != nil {
		return how, nil
	}
	return how, vault.Damage(err)
}

// leave leaves in b what v has changed, for other workers and for readers.
func leave(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	ending := context.WithoutCancel(ctx)
	if err := deposit.Upload(ending, v, b); err != nil {
		return err
	}
	how, err := expose(ctx, v)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return deposit.Seal(ending, v, b, how)
}
