package peer

import (
	"distkeep/catalog"
	"distkeep/catalog/feed"
)

// A kept is what is known of an archive.
type kept struct {
	catalog.Kept // its Version is that of the file that names the newest generation
	// Key is the one that it was signed by.
	Key    string      `json:"key,omitempty"`
	Latest feed.Latest `json:"latest"`

	state feed.State
}

// keeper keeps the list in full.
func (r *Repository) keeper() *catalog.Keep {
	return &catalog.Keep{Dir: r.o.State, URL: catalog.Redact(r.o.URL), Most: feed.MaxFile + feed.MaxLatest, Dry: r.o.Dry, Room: r.o.Room}
}

// load returns what is kept of the archive, or nil.
func (r *Repository) load() (*kept, error) {
	k, keeper := new(kept), r.keeper()
	list, err := keeper.Load(k)
	if err != nil || list == nil {
		return nil, err
	}
	g, err := feed.Decode(list)
	if err != nil {
		return nil, keeper.Damaged(err)
	}
	k.state.Latest = k.Latest
	if k.state.List, err = g.List(); err != nil {
		return nil, keeper.Damaged(err)
	}
	return k, nil
}

// keep writes k for the next run.
func (r *Repository) keep(k *kept) error {
	if r.o.Dry {
		return nil // nor is it encoded
	}
	list, err := feed.Full(k.state.Generation, k.state.Time, nil, k.state.List).Encode()
	if err != nil {
		return err
	}
	k.Latest = k.state.Latest
	return r.keeper().Store(k, list)
}
