package store

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"distkeep/archive/disk"
	"distkeep/catalog/regular"
)

// ErrLocked means that another run holds the archive. The error that wraps it
// names the holder.
var ErrLocked = errors.New("archive is in use by another run")

// maxHolder bounds what is read of a lock file.
const maxHolder = 512

// A Held lock is held by this process.
type Held struct {
	// Unsynced says that the holder before may have left changes that are not
	// durable: it was killed, or has set this. Whoever makes everything durable
	// clears it, whoever cannot sets it. A holder that was killed on a disk too
	// full for its name in the lock file has left no sign.
	Unsynced bool

	file *flock.Flock
	text *os.File // the same file, open for writing
}

// Lock takes the lock of the archive whose state directory is given, creating
// the directory. what says what the holder does, for the message that a second
// run prints. The lock file stays: removing it would let two runs lock two files
// of one name.
//
// It is flock(2): it holds between processes of one host on any local file
// system, and between hosts over NFS when Linux passes it on (not with the
// mount options nolock or local_lock). A lock ends with its process.
func Lock(state, what string, now time.Time) (*Held, error) {
	if err := disk.MakeDirs(new(disk.Disk), filepath.Clean(state)); err != nil {
		return nil, fmt.Errorf("lock archive: %w", err)
	}
	path := lockPath(state)
	h := &Held{file: flock.New(path, flock.SetPermissions(0o644), flock.SetFlag(regular.LockFlags))}
	// Holder looks at the lock by taking it for a moment.
	ok, err := h.file.TryLock()
	for n := 0; n < 50 && err == nil && !ok; n++ {
		time.Sleep(2 * time.Millisecond)
		ok, err = h.file.TryLock()
	}
	if err != nil {
		return nil, fmt.Errorf("lock archive: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w: %s", path, ErrLocked, cmp.Or(signature(path), "unknown"))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	// On a full disk nobody can be told who holds the lock, but it is held.
	err = h.sign(path, fmt.Sprintf("%s, pid %d on %s, since %s\n", what, os.Getpid(), host, now.UTC().Format(time.RFC3339)))
	if err != nil && !Broken(err) {
		return nil, errors.Join(fmt.Errorf("lock archive: %w", err), h.release())
	}
	return h, nil
}

func lockPath(state string) string { return filepath.Join(state, lockFile) }

// signature is what the holder wrote into the lock file.
func signature(path string) string {
	b, err := regular.Read(path, maxHolder)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Holder returns who holds the lock of the archive, as Lock was told, or whoever
// held it last if that did not give it back properly: then held is false. Without
// either it returns "".
func Holder(state string) (who string, held bool, err error) {
	path := lockPath(state)
	if who = signature(path); who == "" {
		return "", false, nil
	}
	probe := flock.New(path, flock.SetFlag(regular.LockFlags))
	free, err := probe.TryRLock()
	if err != nil {
		return "", false, fmt.Errorf("look at the lock: %w", err)
	}
	if !free {
		return who, true, nil
	}
	return signature(path), false, probe.Unlock()
}

// sign puts text into the lock file, which at no time becomes empty by it.
func (h *Held) sign(path, text string) (err error) {
	if h.text, err = regular.OpenFile(path, os.O_WRONLY); err != nil {
		return err
	}
	fi, err := h.text.Stat()
	if err != nil {
		return err
	}
	h.Unsynced = fi.Size() > 0
	if _, err := h.text.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return h.text.Truncate(int64(len(text)))
}

// Unlock gives the lock back. The holder's name stays in the lock file when it is
// Unsynced, as that of one that was killed does.
func (h *Held) Unlock() error {
	var err error
	if !h.Unsynced && h.text != nil {
		err = h.text.Truncate(0)
	}
	return errors.Join(err, h.release())
}

func (h *Held) release() error {
	var err error
	if h.text != nil {
		err = h.text.Close()
	}
	return errors.Join(err, h.file.Unlock())
}
