//go:build !linux && !freebsd

package fetch

import "syscall"

// dieWithParent does nothing: a child of a killed process finds that out when it
// next writes to it, or goes on to the end of its file.
func dieWithParent(*syscall.SysProcAttr) {}
