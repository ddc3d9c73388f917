// Package storetest has the file system of crash tests, which fails, kills and keeps a
// trace, and checks that trace.
package storetest

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// CheckOrder reads the trace of a Faulty and returns an error for the first line
// at which a power failure could do harm: a file that is linked outside the
// directory parts before its bytes are durable, a line "ledger-commit" before
// everything that was linked there is, or a link of a recorded file that is
// removed or replaced while none of its others is durable. It returns the
// number of ledger commits, so that a caller can see that there were some.
//
// It believes nothing but the trace: bytes are durable when their file or the
// whole file system was synchronised after "write-part", entries when their
// directory or the file system was synchronised after "link", "symlink", "rename"
// or "mkdir". A file that the trace has not seen written is older: it is taken for
// durable and recorded.
func CheckOrder(trace io.Reader, parts string) (commits int, err error) {
	d := &replay{
		parts: filepath.Clean(parts),
		inode: make(map[string]*inode), pending: make(map[string]int),
	}
	sc := bufio.NewScanner(trace)
	for n := 1; sc.Scan(); n++ {
		op, rest, _ := strings.Cut(sc.Text(), "\t")
		if op == "ledger-commit" {
			commits++
		}
		if err := d.apply(n, op, strings.Split(rest, "\t")); err != nil {
			return commits, fmt.Errorf("line %d: %s: %w", n, sc.Text(), err)
		}
	}
	return commits, sc.Err()
}

// An inode is the content of a file.
type inode struct {
	dirty    int  // the line that wrote it, 0 when durable
	recorded bool // a ledger commit came after it was linked
}

// A replay is what a trace has done.
type replay struct {
	parts   string
	inode   map[string]*inode // by path
	pending map[string]int    // entries that are not durable, and the line that made them
	begun   int               // the line at which syncfs began
}

func (d *replay) apply(n int, op string, paths []string) error {
	arity := map[string]int{"link": 2, "symlink": 2, "rename": 2}[op]
	if len(paths) < arity {
		return fmt.Errorf("has %d paths, want %d", len(paths), arity)
	}
	switch op {
	case "write-part":
		d.inode[paths[0]] = &inode{dirty: n}
	case "fsync":
		d.at(paths[0]).dirty = 0
	case "link":
		return d.enter(n, d.at(paths[0]), paths[1])
	case "symlink":
		return d.enter(n, new(inode), paths[1])
	case "rename":
		i := d.at(paths[0])
		delete(d.inode, paths[0])
		delete(d.pending, paths[0])
		if err := d.leave(paths[1]); err != nil {
			return err
		}
		return d.enter(n, i, paths[1])
	case "mkdir":
		d.pending[paths[0]] = n
	case "replace": // durable by itself, and no distfile
	case "unlink":
		return d.leave(paths[0])
	case "rmdir":
		delete(d.pending, paths[0])
	case "fsync-dir":
		for p := range d.pending {
			if filepath.Dir(p) == paths[0] {
				delete(d.pending, p)
			}
		}
	case "syncfs-begin":
		d.begun = n
	case "syncfs":
		d.synced()
	case "ledger-commit":
		for p, line := range d.pending {
			return fmt.Errorf("%s, made in line %d, is not durable", p, line)
		}
		for p, i := range d.inode {
			i.recorded = i.recorded || !d.inParts(p)
		}
	default:
		return fmt.Errorf("unknown operation")
	}
	return nil
}

// at returns the inode at path.
func (d *replay) at(path string) *inode {
	if d.inode[path] == nil {
		d.inode[path] = &inode{recorded: true}
	}
	return d.inode[path]
}

func (d *replay) enter(n int, i *inode, path string) error {
	d.inode[path] = i
	if d.inParts(path) {
		return nil
	}
	if i.dirty > 0 {
		return fmt.Errorf("its bytes, written in line %d, are not durable", i.dirty)
	}
	d.pending[path] = n
	return nil
}

// leave takes one of the links of an inode away.
func (d *replay) leave(path string) error {
	i := d.inode[path]
	delete(d.inode, path)
	delete(d.pending, path)
	if i == nil || !i.recorded || d.inParts(path) {
		return nil
	}
	others := 0
	for p, o := range d.inode {
		if o != i || d.inParts(p) {
			continue
		}
		if d.pending[p] == 0 {
			return nil
		}
		others++
	}
	if others > 0 {
		return fmt.Errorf("its other links are not durable")
	}
	return nil
}

func (d *replay) inParts(path string) bool { return filepath.Dir(path) == d.parts }

// synced makes durable what came before syncfs began.
func (d *replay) synced() {
	for _, i := range d.inode {
		if i.dirty < d.begun {
			i.dirty = 0
		}
	}
	for p, line := range d.pending {
		if line < d.begun {
			delete(d.pending, p)
		}
	}
}
