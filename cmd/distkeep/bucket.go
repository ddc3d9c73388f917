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

// bucket returns the bucket of the archive. Credentials, and the region where none is
// given, are found as the AWS tools find them: variables, files, roles.
func (p *place) bucket(ctx context.Context) (*bucket.Bucket, error) {
	o := bucket.Options{Endpoint: p.endpoint, Proxy: http.ProxyFromEnvironment}
	var err error
	if o.Bucket, o.Prefix, err = bucket.Parse(p.archive); err != nil {
		return nil, usagef("--archive: %w", err)
	}
	region := p.region
	switch b, err := vault.Bound(p.state); {
	case err != nil:
		return nil, err
	case b != nil && b.URL != p.archive:
		return nil, usagef("%s is that of %s, not of %s", p.state, b.URL, p.archive)
	case b != nil:
		o.Endpoint, region = cmp.Or(o.Endpoint, b.Endpoint), cmp.Or(region, b.Region)
	}
	var more []func(*config.LoadOptions) error
	if region != "" {
		more = append(more, config.WithRegion(region))
	}
	c, err := config.LoadDefaultConfig(ctx, more...)
	if err != nil {
		return nil, usagef("%s: %w", p.archive, err)
	}
	o.Region, o.Credentials = c.Region, c.Credentials
	b, err := bucket.New(o)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return b, nil
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
	o.Remote = b
	o.Lease = func() (func() error, error) { return p.lease(ctx, b, what) }
	return o, nil
}

// lease keeps others from changing the archive from another state directory. Who had it
// with this one is dead: the lock says so.
func (p *place) lease(ctx context.Context, b *bucket.Bucket, what string) (release func() error, err error) {
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
	return l.Release, nil
}

// checkBucket returns an error unless the bucket is the one that init has seen: another
// one of that name, or an empty one, would have no contents.
func (p *place) checkBucket(ctx context.Context) error {
	if !p.remote() {
		return nil
	}
	is, err := vault.Bound(p.state)
	if err != nil || is == nil {
		return err // nobody opens the archive
	}
	b, err := p.bucket(ctx)
	if err != nil {
		return err
	}
	switch mark, err := b.Mark(ctx); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: what init has written there is gone", b, vault.ErrNoArchive)
	case err != nil:
		return vault.Damage(err)
	case mark != is.Mark:
		return fmt.Errorf("%s is not the bucket that %s belongs to: it has another mark", b, p.state)
	}
	return nil
}

// initBucket makes an archive in a bucket, or a state directory for one that is there.
func (p *place) initBucket(ctx context.Context, e *env, conf layout.Conf) (again bool, err error) {
	b, err := p.bucket(ctx)
	if err != nil {
		return false, err
	}
	if err := b.Probe(ctx); err != nil {
		return false, err
	}
	mark, again, err := b.Begin(ctx)
	if err != nil {
		return false, err
	}
	was, err := vault.Bound(p.state)
	switch {
	case err != nil:
		return false, err
	case was != nil && was.Mark != mark:
		return false, usagef("%s is that of another archive that was in %s", p.state, was.URL)
	case was == nil && exists(store.ReportDir(p.state)):
		return false, usagef("%s is that of an archive in files", p.state)
	}
	if err := vault.Init(p.distfiles, p.state, conf, e.now()); err != nil {
		return false, err
	}
	return again && was == nil, vault.Bind(p.state, &vault.Binding{URL: p.archive, Mark: mark, Endpoint: p.endpoint, Region: p.region})
}

// restoring lets doctor fill an empty ledger from what the last run has left in the
// bucket.
func (p *place) restoring(ctx context.Context, o *doctor.Options) error {
	if !p.remote() {
		return nil
	}
	if err := p.checkBucket(ctx); err != nil {
		return err
	}
	b, err := p.bucket(ctx)
	if err != nil {
		return err
	}
	there, err := deposit.Left(ctx, b)
	if err != nil || !there {
		return err
	}
	o.From = b.String()
	o.Restore = func(ctx context.Context, v *vault.Vault) (int, error) { return deposit.Restore(ctx, v, b) }
	return nil
}

// deposit leaves in the bucket what a run has changed.
func (p *place) deposit(ctx context.Context, v *vault.Vault) error {
	if !p.remote() {
		return nil
	}
	b, err := p.bucket(ctx)
	if err != nil {
		return err
	}
	if err := deposit.Upload(context.WithoutCancel(ctx), v, b); err != nil {
		return vault.Damage(err)
	}
	return nil
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
	so.Elsewhere, so.Stream = b, o.stream
	return nil
}
