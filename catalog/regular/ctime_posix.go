//go:build !darwin && !freebsd && !netbsd

package regular

import (
	"io/fs"
	"syscall"
	"time"
)

// changed returns when a file was changed last in any way, or zero.
func changed(fi fs.FileInfo) time.Time {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(st.Ctim.Unix())
}
