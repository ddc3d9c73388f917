//go:build !failpoint

package store

// Failpoint does nothing. In a build with the tag failpoint it kills the
// process with SIGKILL when the environment variable DISTKEEP_FAILPOINT is
// "name" or "name:n" and it is called the n-th time with that name.
func Failpoint(string) {}

// Trace does nothing. In a build with the tag failpoint it appends a line "OP",
// or "OP<TAB>PATH" with further paths, to the file that the environment variable
// DISTKEEP_TRACE names. An operation is traced when it has succeeded; "syncfs"
// also has a line "syncfs-begin", because what other goroutines do meanwhile
// is not covered by it.
//
// Package store traces write-part, fsync, syncfs, link, rename, mkdir,
// fsync-dir, unlink and rmdir.
func Trace(string, ...string) {}

func traced(f FS) FS { return f }

// syncEachFile is false. In a build with the tag failpoint it is true when the
// environment variable DISTKEEP_SYNC_EACH is set: then syncfs is not used, as on
// file systems where it is not known to work.
func syncEachFile() bool { return false }
