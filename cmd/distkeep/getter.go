package main

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// An upstreamGetter asks upstreams the way distfiles are fetched.
type upstreamGetter struct{ f *fetch.Fetcher }

var _ catalog.Getter = upstreamGetter{}

func newGetter(o fetch.Options) (catalog.Getter, error) {
	f, err := fetch.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return upstreamGetter{f}, nil
}

func (g upstreamGetter) Get(ctx context.Context, url string, have catalog.Version, most int64, start func() (io.Writer, error)) (catalog.Version, error) {
	v, err := g.f.Get(ctx, url, fetch.Version(have), most, start)
	if errors.Is(err, fetch.ErrUnchanged) {
		return have, catalog.ErrUnchanged
	}
	if whole := (*fetch.Error)(nil); errors.As(err, &whole) {
		err = answerError{whole}
	}
	return catalog.Version(v), err
}

// An answerError is an error of a transfer in the words of package catalog.
type answerError struct{ err *fetch.Error }

func (e answerError) Error() string { return e.err.Reason() }

func (e answerError) Unwrap() []error {
	switch e.err.Class {
	case failure.Gone:
		return []error{e.err, fs.ErrNotExist, catalog.ErrRefused}
	case failure.Server:
		return []error{e.err, catalog.ErrRefused, catalog.ErrTrouble}
	case failure.Forbidden, failure.HTML, failure.Size, failure.Policy, failure.BadURI:
		return []error{e.err, catalog.ErrRefused}
	}
	return []error{e.err}
}

// Close closes idle connections.
func (g upstreamGetter) Close() error { return g.f.Close() }
