package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNothingToDo runs the hourly job when there is nothing to do, on an archive
// of 3000 files, and has the kernel tell which files it opens and which paths it
// changes: none but the archive's own lists.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, smallFiles(3000), nil)
	dir := filepath.Join(s.dir, "archive")
	s.run(0, "init", "--archive", dir, "--layout", "filename-hash BLAKE2B 8", "--layout", "flat")
	out, _ := s.run(0, s.mirrorArgs("archive")...)
	if !strings.Contains(out, "3000 fetched") {
		t.Fatalf("the first run:\n%s", out)
	}
	if n := len(s.up.take()); n != 2700 {
		t.Errorf("%d requests for 2700 contents", n)
	}
	distfiles := filepath.Join(dir, "distfiles")
	if n := len(published(t, distfiles)); n != 3*3000+6 {
		t.Errorf("%d files are published, want three paths for each, four lists, and a generation in two files", n)
	}
	before, err := glances(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := glances(s.tree)
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch(t, distfiles)

	s.run(0, s.mirrorArgs("archive")...)

	if diff := w.opened("layout.conf", "distinfo", "history", "lastsync", "lastupdate"); len(diff) > 0 {
		t.Errorf("%d files were opened: %v ...", len(diff), diff[:min(len(diff), 5)])
	}
	// Were one opened, the test would see it.
	if _, err := os.ReadFile(filepath.Join(distfiles, "small-0001.tar.gz")); err != nil {
		t.Fatal(err)
	}
	if got := w.opened(); !slices.Contains(got, "small-0001.tar.gz") {
		t.Fatalf("the kernel tells nothing: %v", got)
	}
	if rs := s.up.take(); len(rs) > 0 {
		t.Errorf("%d requests: %v ...", len(rs), rs[:min(len(rs), 5)])
	}
	after, err := glances(dir)
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"state/lock", "state/ledger", "state/ledger.lock", "state/report", "state/parts/.", // the run record and the export
		"state/.", "state/certificate",
		"state/stamps", // if the tree is old enough by now
		"distfiles/.", "distfiles/lastsync",
	}
	if diff := differences(before, after, allowed); len(diff) > 0 {
		t.Errorf("the run changed:\n%s", strings.Join(diff, "\n"))
	}
	after, err = glances(s.tree)
	if err != nil {
		t.Fatal(err)
	}
	if diff := differences(tree, after, nil); len(diff) > 0 {
		t.Errorf("the run changed the tree:\n%s", strings.Join(diff, "\n"))
	}
}

// A watch is told by the kernel which files below a directory are opened.
type watch struct {
	t    *testing.T
	fd   int
	dirs map[int32]string
}

func newWatch(t *testing.T, root string) *watch {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Skipf("no inotify here: %v", err)
	}
	w := &watch{t, fd, make(map[int32]string)}
	t.Cleanup(func() { unix.Close(fd) })
	// The walk itself would be told of.
	var dirs []string
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range dirs {
		if err == nil {
			err = w.add(root, dir)
		}
	}
	if errors.Is(err, unix.ENOSPC) {
		t.Skip("the kernel allows too few watches here (fs.inotify.max_user_watches)")
	} else if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watch) add(root, dir string) error {
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return err
	}
	wd, err := unix.InotifyAddWatch(w.fd, dir, unix.IN_OPEN|unix.IN_ACCESS|unix.IN_MODIFY)
	w.dirs[int32(wd)] = rel
	return err
}

// opened returns the files that were opened, read or written since the last
// call, each once, without those of the root that are named.
func (w *watch) opened(except ...string) (files []string) {
	w.t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(w.fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			w.t.Fatal(err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(b))
			mask := binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:end], "\x00"))
			b = b[end:]
			if mask&unix.IN_Q_OVERFLOW != 0 {
				w.t.Fatal("more was opened than the kernel could tell of")
			}
			if mask&unix.IN_ISDIR != 0 || name == "" {
				continue // a directory was listed
			}
			if path := filepath.Join(w.dirs[wd], name); !slices.Contains(except, path) && !slices.Contains(files, path) {
				files = append(files, path)
			}
		}
	}
	return files
}
