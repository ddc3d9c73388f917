//go:build !linux

package disk

import "os"

// Uncache does nothing: only Linux forgets the pages of a file on request.
func Uncache(*os.File) {}
