package main

import (
	"fmt"
	"net/url"

	"github.com/urfave/cli/v2"

	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/peer"
)

const archiveHelp = `Another archive of distkeep is a repository by the URL of its published tree:

   --repo archive:https://host/distfiles

What it holds is wanted, and fetched from it by its digests. Behind a question mark
may be name=NAME, what owners and reports call it; the host if not given. See
distkeep pull.

`

func (r *repoFlags) archiveOptions() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "trust-key", Usage: "believe another archive only what is signed by the key in `FILE`, which distkeep generate key has printed", Destination: &r.trustKey}}
}

func (r *repoFlags) checkArchive([]string) error { return nil }

// openArchive opens another archive.
func (r *repoFlags) openArchive(text string, op *opening) (catalog.Repository, error) {
	wrong := func(err error) (catalog.Repository, error) { return nil, usagef("--repo archive:%s: %w", text, err) }
	where, q, err := splitSpec(text, "name")
	if err != nil {
		return wrong(err)
	}
	name := q.Get("name")
	if name == "" {
		u, err := url.Parse(where)
		if err != nil || u.Hostname() == "" {
			return wrong(fmt.Errorf("%q is not the URL of an archive", catalog.Redact(where)))
		}
		name = u.Hostname()
	}
	o := peer.Options{
		Name: name, URL: where, Dir: layout.GenerationsDir, ByCipher: layout.ByCipher,
		State: store.PeerDir(op.state, name), Offline: op.offline, Dry: op.dry, Room: vault.Room(op.state, op.minFree),
	}
	if o.Key, err = loadTrusted(r.trustKey); err != nil {
		return nil, err
	}
	if o.Getter, err = newGetter(op.fetch); err != nil {
		return nil, err
	}
	p, err := peer.Open(o)
	if err != nil {
		return wrong(err)
	}
	return p, nil
}
