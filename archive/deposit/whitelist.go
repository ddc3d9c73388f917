package deposit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"distkeep/archive/bucket"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// The whitelist of an archive is in its state directory, where people edit it. Without it
// whoever goes on with the bucket elsewhere would delete what it names.

const (
	whitelistDoc = "whitelist"
	maxWhitelist = 64 << 20
)

// leaveWhitelist leaves the whitelist in b, or removes that which was left there when
// there is none any more.
func (l *left) leaveWhitelist(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	path := store.WhitelistFile(v.State)
	if l.Whitelist != "" {
		switch f, err := regular.OpenItself(path); {
		case errors.Is(err, fs.ErrNotExist):
			if err := b.RemoveDoc(ctx, whitelistDoc+packed); err != nil {
				return err
			}
			l.Whitelist = ""
			return nil
		case err != nil:
			return err
		default:
			f.Close()
		}
	}
	return document(ctx, v, b, whitelistDoc+packed, path, &l.Whitelist)
}

// takeWhitelist takes the whitelist of the last worker, unless the one that is here was
// edited since it was left or taken.
func (l *left) takeWhitelist(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	r, err := unpack(ctx, b, whitelistDoc+packed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxWhitelist))
	if err != nil {
		return err
	}
	path := store.WhitelistFile(v.State)
	sum := digest.SHA256.Sum(text).Hex()
	is, err := regular.Read(path, maxWhitelist)
	switch was := digest.SHA256.Sum(is).Hex(); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && was != sum && was != l.Whitelist:
		v.Warn("%s was edited here: the whitelist that the last worker has left in %s is not taken, and this one is left there", path, b.URLOfDoc(whitelistDoc+packed))
		return nil
	case err == nil && was == sum:
	default:
		err := v.Store.Replace(path, "", func(w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(text))
			return err
		})
		if err != nil {
			return err
		}
	}
	l.Whitelist = sum
	return nil
}
