package sources

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"

	"distkeep/catalog"
	"distkeep/catalog/keyring"
)

// A kept is a list of an earlier run, and what is known of it.
type kept struct {
	catalog.Kept
	// Signature is the one that was beside the list, and Suffix what its name
	// has in addition.
	Signature []byte `json:"signature,omitempty"`
	Suffix    string `json:"suffix,omitempty"`

	list []byte
}

// scanURL asks for the list and reads it, or else the one of the last run.
func (r *Repository) scanURL(ctx context.Context, c *collector) (err error) {
	old, err := r.load()
	if err != nil {
		return err
	}
	var trouble error
	if !r.o.Offline {
		defer func() { err = errors.Join(err, r.o.Getter.Close()) }()
		var got *kept
		got, trouble = r.fetch(ctx, old)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case got == nil: // trouble, or there is nothing new
		default:
			if trouble = r.use(got, c); trouble == nil {
				return r.keeper().Store(got, got.list)
			}
			*c = collector{repo: c.repo, base: c.base}
		}
	}
	switch {
	case trouble != nil && old != nil:
		c.report(catalog.Problem{Msg: trouble.Error() + "; the list of the last run is used"})
	case trouble != nil:
		c.report(catalog.Problem{Msg: trouble.Error()})
		return nil
	case old == nil:
		return errors.New("nothing is known of it before a run has asked for it")
	}
	if err := r.use(old, c); err != nil {
		c.report(catalog.Problem{Msg: err.Error()})
	}
	return nil
}

// use reads the list of k if its signature is right.
func (r *Repository) use(k *kept, c *collector) error {
	t := &text{file: catalog.Redact(r.o.Path), path: urlPath(r.o.Path), data: k.list, sig: k.Signature, suffix: k.Suffix, modTime: k.Version.ModTime}
	if err := r.verify(t); err != nil {
		return err
	}
	return r.read(t, c)
}

// keeper keeps the list as it was got.
func (r *Repository) keeper() *catalog.Keep {
	return &catalog.Keep{Dir: r.o.State, URL: catalog.Redact(r.o.Path), Most: maxList + 2*maxSignature, Dry: r.o.Dry, Room: r.o.Room}
}

// load returns what is kept of the URL, or nil.
func (r *Repository) load() (*kept, error) {
	k := new(kept)
	list, err := r.keeper().Load(k)
	if err != nil || list == nil {
		return nil, err
	}
	k.list = list
	return k, nil
}

// urlPath is the name of the list at a URL with its directories.
func urlPath(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "list"
	}
	return shortPath(u.Path)
}

// fetch asks for the list and its signature. Without an error nil means that
// old is still what there is.
func (r *Repository) fetch(ctx context.Context, old *kept) (k *kept, err error) {
	k = new(kept)
	var have catalog.Version
	if old != nil {
		have = old.Version
	}
	k.list, k.Version, err = r.get(ctx, r.o.Path, have, maxList)
	switch {
	case errors.Is(err, catalog.ErrUnchanged):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if !r.besides(&text{path: urlPath(r.o.Path), data: k.list}) || keyring.FindInline(k.list) != nil {
		return k, nil
	}
	for _, suffix := range signatureSuffixes {
		sig, _, err := r.get(ctx, r.o.Path+suffix, catalog.Version{}, maxSignature)
		if err == nil {
			k.Signature, k.Suffix = sig, suffix
			return k, nil
		}
		if !errors.Is(err, catalog.ErrRefused) {
			return nil, err
		}
	}
	return k, nil
}

func (r *Repository) get(ctx context.Context, url string, have catalog.Version, most int64) ([]byte, catalog.Version, error) {
	var buf bytes.Buffer
	v, err := r.o.Getter.Get(ctx, url, have, most, func() (io.Writer, error) {
		buf.Reset()
		return &buf, nil
	})
	return buf.Bytes(), v, err
}
