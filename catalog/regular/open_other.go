//go:build !linux

package regular

import "golang.org/x/sys/unix"

// searchOnly opens a directory that need not be readable, where the system can.
const searchOnly = unix.O_RDONLY
