package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrLocked means that another run holds the archive. The error that wraps it
// names the holder.
var ErrLocked = errors.New("archive is in use by another run")

// maxHolder bounds what is read of a lock file.
const maxHolder = 512

// Lock takes the lock of the archive whose state directory is given, creating
// the directory, and returns the function that lets it go. what says what the
// holder does, for the message that a second run prints. The lock file stays:
// removing it would let two runs lock two files of one name.
//
// It is flock(2): it holds between processes of one host on any local file
// system, and between hosts over NFS when Linux passes it on (not with the
// mount options nolock or local_lock). A lock ends with its process.
func Lock(state, what string, now time.Time) (unlock func() error, err error) {
	if err := makeDirs(filepath.Clean(state)); err != nil {
		return nil, fmt.Errorf("lock archive: %w", err)
	}
	path := filepath.Join(state, "lock")
	l := flock.New(path)
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock archive: %w", err)
	}
	if !ok {
		holder := "unknown"
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 && len(b) <= maxHolder {
			holder = strings.TrimSpace(string(b))
		}
		return nil, fmt.Errorf("%s: %w: %s", path, ErrLocked, holder)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	// On a full disk nobody can be told who holds the lock, but it is held.
	text := fmt.Sprintf("%s, pid %d on %s, since %s\n", what, os.Getpid(), host, now.UTC().Format(time.RFC3339))
	werr := os.WriteFile(path, []byte(text), 0o644)
	if werr != nil && !Broken(werr) {
		return nil, errors.Join(fmt.Errorf("lock archive: %w", werr), l.Unlock())
	}
	return func() error {
		return errors.Join(os.Truncate(path, 0), l.Unlock())
	}, nil
}
