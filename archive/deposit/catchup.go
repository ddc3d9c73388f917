package deposit

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"distkeep/archive/bucket"
	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/vault"
)

// CatchUp makes the ledger of v, and what it publishes, those that the last worker has left
// in b, unless that was v. It is called by who has the lease. Whoever had it before and
// comes to run again can write its ledger no more after that, if taken says that it has not given the
// lease back.
func CatchUp(ctx context.Context, v *vault.Vault, b *bucket.Bucket, taken bool) error {
	l, err := load(v.State)
	if err != nil {
		return err
	}
	if err := l.catchUp(ctx, v, b); err != nil || !taken {
		return err
	}
	if err := v.NeedLedger(); err != nil {
		return err
	}
	clear(l.Reports) // of what the other was about to write nobody knows how far that came
	l.Index = ""
	return errors.Join(l.ledger(ctx, v, b), l.save(v))
}

func (l *left) catchUp(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	o, err := b.LookAtDoc(ctx, ledgerDoc)
	if errors.Is(err, fs.ErrNotExist) {
		if l.Ledger == bucket.Nothing {
			return nil
		}
		l.Ledger = bucket.Nothing // somebody has removed it: it is written anew
		return l.save(v)
	} else if err != nil {
		return err
	}
	empty := false
	if v.Ledger() != nil {
		empty, err = v.Ledger().Empty()
	} else if _, err = os.Stat(v.Store.LedgerDir()); errors.Is(err, fs.ErrNotExist) {
		empty, err = true, nil
	}
	switch {
	case err != nil:
		return err
	case empty:
	case o.ETag == l.Ledger:
		return nil
	case !o.SHA256.IsZero() && o.SHA256.Hex() == l.Coming:
		l.Ledger, l.Coming = o.ETag, ""
		return l.save(v)
	}
	return l.takeOver(ctx, v, b)
}

// takeOver reads what the last worker has left.
func (l *left) takeOver(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	if err := forget(v); err != nil {
		return err
	}
	err := RestoreFiles(ctx, b, v.Store.Published())
	if err == nil {
		err = restoreExposures(ctx, v, b)
	}
	if err == nil {
		v.Listed, err = layout.Load(v.Distfiles)
	}
	if err != nil {
		return err
	}
	r, o, err := b.Doc(ctx, ledgerDoc)
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%s: %w", b.URLOfDoc(ledgerDoc), err)
	}
	if err := v.RenewLedger(); err != nil {
		return err
	}
	n, err := export.ImportLedger(ctx, v, b.URLOfDoc(ledgerDoc), z)
	if err != nil {
		return err
	}
	v.Warn("%d records were read into %s, as the last worker has left them in %s", n, v.Store.LedgerDir(), b.URLOfDoc(ledgerDoc))
	*l = left{Ledger: o.ETag, Whitelist: l.Whitelist}
	return errors.Join(l.takeWhitelist(ctx, v, b), l.save(v))
}

// forget removes what v publishes, but for layout.conf, which was perhaps not published
// yet.
func forget(v *vault.Vault) (err error) {
	for _, rel := range append(slices.Clone(layout.SmallFiles), layout.GenerationsDir) {
		if rel != layout.ConfFile {
			err = errors.Join(err, os.RemoveAll(v.Store.Path(rel)))
		}
	}
	return err
}

// Left reports whether b has a ledger.
func Left(ctx context.Context, b *bucket.Bucket) (bool, error) {
	_, err := b.LookAtDoc(ctx, ledgerDoc)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
