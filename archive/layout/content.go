package layout

import (
	"errors"
	"fmt"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A Content is one content under one name, and decides where it is published.
type Content struct {
	Name catalog.Name
	// Digests hold at least SHA256, and what the layouts ask for.
	Digests digest.Set
	// Size is the length in bytes.
	Size int64
	// ModTime is the modification time of the stored file. A file with another
	// one is not what was verified. Zero is not known.
	ModTime time.Time
	// Named says that it is published under its name; otherwise it is
	// reachable below by_cipher only.
	Named bool
	// Kind is the kind of the repository that wants it, or empty. It decides
	// whether by_cipher has the base64 spelling as well.
	Kind catalog.Kind
}

// SHA256 is the digest that identifies the content.
func (c *Content) SHA256() digest.Digest { return c.Digests.Get(digest.SHA256) }

// CipherPaths returns the paths of c below by_cipher, that in hex first.
func (c *Content) CipherPaths() []string {
	paths := []string{ByCipher(c.SHA256(), c.Name.Base())}
	if c.Kind.Base64() {
		paths = append(paths, ByCipherBase64(c.SHA256(), c.Name.Base()))
	}
	return paths
}

// Path returns the path of c in one layout, or "" where that needs a digest that
// c lacks.
func (c *Content) Path(l Layout) string {
	p, ok := l.Path(c.Name, c.Digests)
	if !ok {
		return ""
	}
	return p
}

// ErrPath means that a content cannot have the path that a layout gives it.
var ErrPath = errors.New("path is not available")

// Paths returns all paths of c relative to the published tree: by_cipher first,
// then those of the layouts. Its error wraps ErrPath when the name is one that
// the archive needs itself, or a layout needs a digest that c lacks.
func (conf Conf) Paths(c *Content) ([]string, error) {
	paths := c.CipherPaths()
	if !c.Named {
		return paths, nil
	}
	if err := conf.Check(c.Name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPath, err)
	}
	for _, l := range conf {
		p := c.Path(l)
		if p == "" {
			return nil, fmt.Errorf("%w: layout %s needs a digest that is not known", ErrPath, l)
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// A Count is a number of files and their bytes.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Add counts a file. A negative size is one that is not known.
func (c *Count) Add(size int64) {
	c.Files++
	c.Bytes += max(size, 0)
}
