package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"distkeep/archive/bucket"
	"distkeep/archive/deposit"
	"distkeep/archive/doctor"
	"distkeep/archive/layout"
	"distkeep/archive/serve"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// remote reports whether the contents of the archive are in a bucket.
func (p *place) remote() bool { return strings.HasPrefix(p.archive, bucket.Scheme) }

// resolveBucket fills in what follows from the URL of a bucket.
func (p *place) resolveBucket() error {
	if _, _, err := bucket.Parse(p.archive); err != nil {
		return usagef("--archive: %w", err)
	}
	p.archive = strings.TrimRight(p.archive, "/")
	public := store.PublicDir(p.state)
	switch {
	case p.state == "":
		return usagef("--archive %s: say where the ledger is and what is on its way in: --state DIR", p.archive)
	case p.distfiles != "" && p.distfiles != public:
		return usagef("--archive %s: the contents are in the bucket: --distfiles is of an archive in files", p.archive)
	}
	p.distfiles = public
	return nil
}

// inFiles returns an error for a command that is about the files of an archive.
func (p *place) inFiles(command, why string) error {
	if p.remote() {
		return usagef("%s does not work with an archive in a bucket: %s", command, why)
	}
	return nil
}

// bucket returns the bucket of the archive, or of the part of it that the state directory
// is for.
func (p *place) bucket(ctx context.Context) (*bucket.Bucket, error) {
	if p.opened != nil {
		return p.opened, nil
	}
	b, is, err := p.whole(ctx)
	if err != nil {
		return nil, err
	}
	part, err := is.Part()
	if err != nil {
		return nil, err
	}
	p.opened = ofPart(b, part)
	return p.opened, nil
}

// whole returns the bucket of the whole archive, and what the state directory says.
// Credentials, and the region where none is given, are found as the AWS tools find them:
// variables, files, roles.
func (p *place) whole(ctx context.Context) (b *bucket.Bucket, is *vault.Binding, err error) {
	o := bucket.Options{Endpoint: p.endpoint, Proxy: http.ProxyFromEnvironment, Waits: p.waits, Cache: store.SnapshotsDir(p.distfiles)}
	if o.Bucket, o.Prefix, err = bucket.Parse(p.archive); err != nil {
		return nil, nil, usagef("--archive: %w", err)
	}
	region := p.region
	if is, err = vault.Bound(p.state); err == nil {
		err = p.checkShard(is)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case is != nil && is.Archive != p.archive:
		return nil, nil, usagef("%s is that of %s, not of %s", p.state, is, p.archive)
	case is != nil:
		o.Endpoint, region = cmp.Or(o.Endpoint, is.Endpoint), cmp.Or(region, is.Region)
	}
	var more []func(*config.LoadOptions) error
	if region != "" {
		more = append(more, config.WithRegion(region))
	}
	c, err := config.LoadDefaultConfig(ctx, more...)
	if err != nil {
		return nil, nil, usagef("%s: %w", p.archive, err)
	}
	o.Region, o.Credentials = c.Region, c.Credentials
	if b, err = bucket.New(o); err != nil {
		return nil, nil, usagef("%w", err)
	}
	return b, is, nil
}

// vaultOptions are those to open the archive with.
func (p *place) vaultOptions(ctx context.Context, e *env, what string, ev vault.Events) (o vault.Options, err error) {
	o = vault.Options{Distfiles: p.distfiles, State: p.state, Now: e.now, What: what, Events: ev, Around: e.around}
	if !p.remote() {
		return o, nil
	}
	b, err := p.bucket(ctx)
	if err != nil {
		return o, err
	}
	if err := p.checkBucket(ctx, b); err != nil {
		return o, err
	}
	o.Remote = b
	var held *bucket.Lease
	o.Lease = func() (release func() error, err error) {
		if held, err = p.lease(ctx, b, what); err != nil {
			return nil, err
		}
		return held.Release, nil
	}
	o.CatchUp = func(v *vault.Vault) error { return deposit.CatchUp(ctx, v, b, held.Taken) }
	o.Leave = func(v *vault.Vault) error { return leave(ctx, v, b) }
	return o, nil
}

// lease keeps others from changing the archive from another state directory. Who had it
// with this one is dead: the lock says so.
func (p *place) lease(ctx context.Context, b *bucket.Bucket, what string) (*bucket.Lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	state, err := vault.RealPath(p.state)
	if err != nil {
		return nil, err
	}
	holder := host + ":" + state
	l, err := b.Hold(ctx, holder, what+" with "+holder)
	if errors.Is(err, bucket.ErrHeld) {
		return nil, fmt.Errorf("%w: %w", vault.ErrLocked, err)
	} else if err != nil {
		return nil, vault.Damage(err)
	}
	return l, nil
}

// checkBucket returns an error unless the bucket is the one that init has seen: another
// one of that name, or an empty one, would have no contents.
func (p *place) checkBucket(ctx context.Context, b *bucket.Bucket) error {
	is, err := vault.Bound(p.state)
	if err != nil || is == nil {
		return err // nobody opens the archive
	}
	switch mark, err := b.Mark(ctx); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: what init has written there is gone", b, vault.ErrNoArchive)
	case err != nil:
		return vault.Damage(err)
	case mark.ID != is.Mark:
		return fmt.Errorf("%s is not the bucket that %s belongs to: it has another mark", b, p.state)
	}
	return nil
}

// initBucket makes an archive in a bucket, or a state directory for one that is there.
func (p *place) initBucket(ctx context.Context, e *env, conf layout.Conf, publish *publishFlag) (again bool, err error) {
	whole, was, err := p.whole(ctx)
	if err != nil {
		return false, err
	}
	part := catalog.Part(p.shard)
	if was != nil {
		if part, err = was.Part(); err != nil {
			return false, err
		}
	}
	b := ofPart(whole, part)
	if err := b.Probe(ctx); err != nil {
		return false, err
	}
	if err := b.ProbePublishing(ctx, bucket.Publishing(publish.value)); err != nil {
		return false, err
	}
	id, again, err := begin(ctx, whole, part)
	switch {
	case err != nil:
		return false, err
	case was != nil && was.Mark != id:
		return false, usagef("%s is that of another archive that was in %s", p.state, was)
	case was == nil && exists(store.ReportDir(p.state)):
		return false, usagef("%s is that of an archive in files", p.state)
	}
	if again = again && was == nil; again {
		if err := deposit.RestoreFiles(ctx, b, p.distfiles); err != nil {
			return false, err
		}
	}
	if err := vault.Init(p.distfiles, p.state, conf, e.now()); err != nil {
		return false, err
	}
	err = vault.Bind(p.state, &vault.Binding{
		URL: b.String(), Mark: id, Endpoint: p.endpoint, Region: p.region, Archive: p.archive, Shard: part.String(),
	})
	if err != nil {
		return false, err
	}
	return again, publish.choose(ctx, b)
}

// examining lets doctor look at what the bucket has beside contents, and say where there is a
// copy of the ledger.
func (p *place) examining(ctx context.Context, o *doctor.Options) error {
	if !p.remote() {
		return nil
	}
	b, err := p.bucket(ctx)
	if err != nil {
		return err
	}
	o.Beside = func(ctx context.Context, v *vault.Vault) ([]doctor.Beside, error) {
		return deposit.Examine(ctx, v, v.Remote.(*bucket.Bucket))
	}
	there, err := deposit.Left(ctx, b)
	if err == nil && there {
		o.From = b.String()
	}
	return err
}

// fromBucket makes serve send what is in the bucket.
func (o *serveFlags) fromBucket(ctx context.Context, so *serve.Options) error {
	switch {
	case !o.remote() && o.stream:
		return usagef("serve: --stream goes with an archive in a bucket")
	case !o.remote():
		return nil
	case o.accel != "":
		return usagef("serve: --accel-redirect goes with an archive in files")
	}
	b, err := o.bucket(ctx)
	if err != nil {
		return err
	}
	so.Elsewhere, so.Stream = map[string]serve.Elsewhere{"": b}, o.stream
	if o.reader != nil {
		for name, b := range o.reader.Buckets() {
			so.Elsewhere[name] = b
		}
	}
	return nil
}
