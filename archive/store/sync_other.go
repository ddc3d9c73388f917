//go:build !linux

package store

// A syncer cannot do anything here: only Linux has syncfs(2), so that every
// file and directory is synchronised by itself.
type syncer struct{}

func newSyncer(string) (syncer, error) { return syncer{}, nil }
func (syncer) all() bool               { return false }
func (syncer) filesystem() error       { return nil }
func (syncer) close() error            { return nil }
