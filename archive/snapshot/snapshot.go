// Package snapshot keeps dated copies of a published tree that no later change
// of the tree can alter.
//
// A snapshot is a directory with the names of the published tree, made of hard
// links. That is enough for distfiles: a published inode is read-only and never
// written to again, and a content that changes is another inode, put in place
// by rename. What a person or another program may write in place is copied.
//
// Snapshots have their time for a name and stand in one directory, which belongs on
// the file system of the published tree:
//
//	SNAPSHOTS/2026-01-02T030000Z/        a snapshot
//	SNAPSHOTS/2026-01-02T030000Z.label/  a snapshot that Policy never removes
//	SNAPSHOTS/latest                     a symbolic link to the newest snapshot, but for those
//	                                     whose time has yet to come
//	SNAPSHOTS/lock
//
// A snapshot is never seen half made or half removed: until it is whole, and from
// when it goes, it has a hidden name. The next command that changes anything
// removes what an interrupted one has left there.
package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"distkeep/archive/store"
	"distkeep/catalog/regular"
)

// errNotFound means that there is no snapshot of that name.
var errNotFound = errors.New("no such snapshot")

// errPlace means that snapshots cannot be kept where they were asked to be.
var errPlace = errors.New("snapshots cannot be kept there")

const (
	latestName = "latest"
	// recordName is the file in a snapshot that says what it is. It is the last
	// that is written. In a published tree, where it is when somebody has
	// copied a snapshot back, it is not looked at.
	recordName = ".snapshot.json"
	// newPrefix and oldPrefix hide snapshots that are being made and removed.
	newPrefix = ".new-"
	oldPrefix = ".old-"

	timeFormat = "2006-01-02T150405Z"
	maxRecord  = 64 << 10
)

// A Snapshot is what is known of a snapshot without walking it.
type Snapshot struct {
	Name string `json:"name"`
	// Time is when it was begun, in UTC and in whole seconds.
	Time  time.Time `json:"time"`
	Label string    `json:"label,omitempty"`
	// Files is the number of its files and symbolic links outside by_cipher.
	Files int64 `json:"files"`
	// Bytes is the size of all its contents, each counted once.
	Bytes int64 `json:"bytes"`
	// ByCipher says that the snapshot has by_cipher, as a directory.
	ByCipher bool `json:"by_cipher"`
	// Vanished is the number of names that went away while the snapshot was made, and
	// of symbolic links to directories outside the tree that somebody else has made.
	// More than zero means that a run was deleting or replacing files, mostly.
	Vanished int64 `json:"vanished,omitempty"`
	// Latest says that it is the newest, but for those of the Future, which a
	// clock that was wrong has made: as the newest for years they would stand
	// in for all that come after them.
	Latest bool `json:"latest,omitempty"`
	Future bool `json:"future,omitempty"`
}

var labelPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// Name returns the name of a snapshot of the time t. A label that is not empty
// is 1 to 64 letters, digits and ". _ + -", the first a letter or a digit.
func Name(t time.Time, label string) (string, error) {
	name := t.UTC().Format(timeFormat)
	if label == "" {
		return name, nil
	}
	if !labelPattern.MatchString(label) {
		return "", fmt.Errorf("bad label %q: want 1 to 64 letters, digits and . _ + -, the first a letter or a digit", label)
	}
	return name + "." + label, nil
}

// parseName is the inverse of Name.
func parseName(name string) (t time.Time, label string, ok bool) {
	stamp, label, labelled := strings.Cut(name, ".")
	t, err := time.Parse(timeFormat, stamp)
	if err != nil || labelled && label == "" {
		return t, "", false
	}
	// Parse is more lenient than Format.
	again, err := Name(t, label)
	return t, label, err == nil && again == name
}

// A Dir is a directory of snapshots. Its methods may be called by several
// processes at once: those that change anything take its lock, and their error
// wraps store.ErrLocked when another one has it.
type Dir struct {
	path string
	root *os.Root
	now  func() time.Time
}

// Open opens a directory of snapshots that is there. Its error wraps
// fs.ErrNotExist when it is not: no snapshot was made yet.
func Open(path string, now func() time.Time) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	return &Dir{filepath.Clean(path), root, now}, nil
}

// Make makes the directory path for snapshots of the tree that is published in
// the directory published, unless it is there, and opens it. Its parent must be
// there. It is an error when one is inside the other, or they are on two file
// systems.
func Make(path, published string, now func() time.Time) (*Dir, error) {
	if err := checkPlace(path, published); err != nil {
		return nil, err
	}
	err := os.Mkdir(path, 0o755)
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make directory of snapshots: %w", err)
	}
	return Open(path, now)
}

func checkPlace(path, published string) error {
	real, err := realPath(path)
	if err != nil {
		return fmt.Errorf("make directory of snapshots: %w", err)
	}
	tree, err := filepath.EvalSymlinks(published)
	if err == nil {
		tree, err = filepath.Abs(tree)
	}
	if err != nil {
		return err
	}
	switch {
	case isInside(real, tree):
		return fmt.Errorf("%w: %s is inside the published tree %s: every snapshot would hold all older ones", errPlace, path, published)
	case isInside(tree, real):
		return fmt.Errorf("%w: the published tree %s is inside %s", errPlace, published, path)
	}
	a, err := device(tree)
	if err != nil {
		return err
	}
	b, err := device(real)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = device(filepath.Dir(real))
	}
	if err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("%w: %s and %s are on different file systems, so that files cannot be hard-linked between them: give --snapshots DIR on that of the published tree", errPlace, path, published)
	}
	return nil
}

// realPath returns the absolute path without symbolic links of path, whose
// last component need not be there.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// isInside reports whether path is dir or below it.
func isInside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func device(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint64(st.Dev), nil
}

func syncPath(path string) error {
	return regular.SyncDir(path)
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

// List returns the snapshots, the oldest first. Whatever else is in the
// directory is left out.
func (d *Dir) List() ([]Snapshot, error) {
	top, err := d.open()
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	defer top.Close()
	names, err := top.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var list []Snapshot
	for _, name := range names {
		s, err := d.get(name)
		if errors.Is(err, errNotFound) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		s.Latest, s.Future = false, s.Time.After(d.now())
		list = append(list, s)
	}
	// The time is at the start of the name and always as long.
	slices.SortFunc(list, func(a, b Snapshot) int { return strings.Compare(a.Name, b.Name) })
	if newest := newest(list); newest != nil {
		newest.Latest = true
	}
	return list, nil
}

// newest returns which of list, as List returns it, is the newest, or nil.
func newest(list []Snapshot) *Snapshot {
	for i := range slices.Backward(list) {
		if !list[i].Future {
			return &list[i]
		}
	}
	return nil
}

// get returns one snapshot. Its error wraps errNotFound unless name is that of
// a directory that Create has made: a symbolic link is none.
func (d *Dir) get(name string) (Snapshot, error) {
	if _, _, ok := parseName(name); !ok {
		return Snapshot{}, fmt.Errorf("%s: %w", filepath.Join(d.path, name), errNotFound)
	}
	fi, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir() {
		return Snapshot{}, fmt.Errorf("%s: %w", filepath.Join(d.path, name), errNotFound)
	} else if err != nil {
		return Snapshot{}, err
	}
	file := filepath.Join(name, recordName)
	text, err := regular.ReadIn(d.root, file, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, fmt.Errorf("%s: %w: a directory without %s was not made by snapshot create", filepath.Join(d.path, name), errNotFound, recordName)
	} else if err != nil {
		return Snapshot{}, err
	}
	s, err := parseRecord(name, text)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s: not the record of a snapshot (%w): rename the directory to something else, or remove it", filepath.Join(d.path, file), err)
	}
	return s, nil
}

// parseRecord parses the record of the snapshot name. What the name says, and
// which snapshot is the latest, is not for a record to say.
func parseRecord(name string, text []byte) (s Snapshot, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return Snapshot{}, err
	}
	s.Name, s.Latest, s.Future = name, false, false
	s.Time, s.Label, _ = parseName(name)
	return s, nil
}

// lock takes the lock of d and removes what interrupted commands have left.
func (d *Dir) lock(what string) (unlock func() error, err error) {
	held, err := store.Lock(d.path, what, d.now())
	if err != nil {
		return nil, err
	}
	unlock = held.Unlock
	if err := d.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("remove what an interrupted snapshot command has left: %w", err), unlock())
	}
	held.Unsynced = false // what was interrupted is gone
	return unlock, nil
}

// sweep removes hidden snapshots. The lock makes sure that nobody works on them.
func (d *Dir) sweep() error {
	top, err := d.open()
	if err != nil {
		return err
	}
	defer top.Close()
	names, err := top.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		rest, isNew := strings.CutPrefix(name, newPrefix)
		if !isNew {
			rest = strings.TrimPrefix(name, oldPrefix)
		}
		if _, _, ok := parseName(rest); !ok || rest == name {
			continue
		}
		if _, err := removeSnapshot(top, name); err != nil {
			return err
		}
	}
	return nil
}

// pointLatest makes the link latest point at the newest snapshot but those in
// gone, in one step, or removes it when there is none.
func (d *Dir) pointLatest(gone ...string) error {
	list, err := d.List()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(s Snapshot) bool { return slices.Contains(gone, s.Name) })
	old, err := d.root.Readlink(latestName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is in the place of the link to the newest snapshot: move it away", err, filepath.Join(d.path, latestName))
	}
	newest := newest(list)
	if newest == nil {
		if err != nil {
			return nil
		}
		return errors.Join(d.root.Remove(latestName), d.sync())
	}
	target := newest.Name
	if err == nil && old == target {
		return nil
	}
	const temp = newPrefix + latestName
	if err := d.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.root.Symlink(target, temp); err != nil {
		return err
	}
	if err := d.root.Rename(temp, latestName); err != nil {
		return err
	}
	return d.sync()
}

// open opens the directory itself.
func (d *Dir) open() (*dir, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	return &dir{File: f, fd: int(f.Fd()), at: d.path}, nil
}

// sync makes the names in d durable.
func (d *Dir) sync() error {
	top, err := d.open()
	if err != nil {
		return err
	}
	return errors.Join(top.Sync(), top.Close())
}
