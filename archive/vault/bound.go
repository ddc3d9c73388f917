package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"distkeep/archive/store"
	"distkeep/catalog/regular"
)

// A Binding says where the contents of an archive are that has none of them itself.
// Whoever opened it without them would take all of them for lost.
type Binding struct {
	// URL is where they are, Mark what is written there to know it again.
	URL  string `json:"url"`
	Mark string `json:"mark"`
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
	return b, nil
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
// its files where r is nil.
func checkBound(state string, r Remote) error {
	b, err := Bound(state)
	switch {
	case err != nil:
		return err
	case b == nil && r != nil:
		return fmt.Errorf("%s is not that of %s: %w", state, r, ErrNoArchive)
	case b != nil && r == nil:
		return fmt.Errorf("the contents of this archive are in %s: say --archive %s --state %s", b.URL, b.URL, state)
	case b != nil && b.URL != r.String():
		return fmt.Errorf("%s is that of %s, not of %s", state, b.URL, r)
	}
	return nil
}
