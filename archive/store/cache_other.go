//go:build !linux

package store

import "os"

// uncache does nothing: only Linux forgets the pages of a file on request.
func uncache(*os.File) {}
