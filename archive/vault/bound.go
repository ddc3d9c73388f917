package vault

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// A Binding says where the contents of an archive are that has none of them itself.
// Whoever opened it without them would take all of them for lost.
type Binding struct {
	// URL is where they are, Mark what is written there to know it again.
	URL  string `json:"url"`
	Mark string `json:"mark"`
	// Archive is what people call it. It is the URL, unless the contents are only one
	// shard of that archive: Shard of them, as catalog.Part spells it.
	Archive string `json:"archive,omitempty"`
	Shard   string `json:"shard,omitempty"`
	// Reader says that the archive has no ledger here: it reads what workers leave,
	// of Shards shards where there are any.
	Reader bool `json:"reader,omitempty"`
	Shards int  `json:"shards,omitempty"`
	// Endpoint and Region say which server has them, where that was said.
	Endpoint string `json:"endpoint,omitempty"`
	Region   string `json:"region,omitempty"`
}

// Bound returns the binding of the archive with that state directory, or nil where it
// has its contents itself.
func Bound(state string) (*Binding, error) {
	data, err := regular.Read(store.BucketFile(state), 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	b := new(Binding)
	if err := json.Unmarshal(data, b); err != nil || b.URL == "" {
		return nil, fmt.Errorf("%s says nothing of a bucket: %v", store.BucketFile(state), err)
	}
	b.Archive = cmp.Or(b.Archive, b.URL)
	return b, nil
}

// Part is what the archive has of the catalog. The Binding may be nil.
func (b *Binding) Part() (catalog.Part, error) {
	if b == nil || b.Shard == "" {
		return catalog.Part{}, nil
	}
	return catalog.ParsePart(b.Shard)
}

// Refuse returns an error for what a reader cannot do.
func (b *Binding) Refuse(state string) error {
	return fmt.Errorf("%s is a reader's, which changes nothing of %s: say this to a worker, with its own --state", state, b.Archive)
}

// String says what the state directory is of.
func (b *Binding) String() string {
	if b.Shard != "" {
		return "shard " + b.Shard + " of " + b.Archive
	}
	return b.Archive
}

// Bind makes b the binding of an archive that Init has made.
func Bind(state string, b *Binding) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return regular.Replace(store.BucketFile(state), "", func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// checkBound returns an error when the contents of an archive are not in r, or not in
// its files where r is nil, and otherwise what it has of the catalog.
func checkBound(state string, r Remote) (catalog.Part, error) {
	b, err := Bound(state)
	switch {
	case err != nil:
	case b == nil && r != nil:
		err = fmt.Errorf("%s is not that of %s: %w", state, r, ErrNoArchive)
	case b != nil && r == nil:
		err = fmt.Errorf("the contents of this archive are in %s: say --archive %s --state %s", b.URL, b.Archive, state)
	case b != nil && b.Reader:
		err = b.Refuse(state)
	case b != nil && b.URL != r.String():
		err = fmt.Errorf("%s is that of %s, not of %s", state, b.URL, r)
	}
	if err != nil {
		return catalog.Part{}, err
	}
	return b.Part()
}
