//go:build linux || freebsd

package fetch

import "syscall"

// dieWithParent has a child killed when this process is.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
