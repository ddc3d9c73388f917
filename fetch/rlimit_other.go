//go:build !linux

package fetch

// limitFiles does nothing: a file that grows too large is found out by looking
// at it.
func limitFiles(int, int64) error { return nil }
