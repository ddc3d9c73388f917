package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// An inode tells files apart whatever their names.
type inode struct{ dev, ino uint64 }

func inodeOf(fi fs.FileInfo) inode {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return inode{uint64(st.Dev), st.Ino}
	}
	return inode{}
}

// A node is something that is no directory in the published tree.
type node struct {
	rel   string
	inode inode
	size  int64
	mtime int64 // nanoseconds since 1970
	mode  fs.FileMode
	// foreign: somebody else can write to it.
	foreign bool
	// shut: its mode keeps readers out.
	shut bool
}

func (t *tree) node(rel string, fi fs.FileInfo) *node {
	return &node{rel, inodeOf(fi), fi.Size(), fi.ModTime().UnixNano(), fi.Mode(), t.v.Store.Tree.Foreign(fi), t.v.Store.Shut(fi)}
}

func (n *node) regular() bool { return n.mode.IsRegular() }

func (n *node) base() string { return path.Base(n.rel) }

// A tree is what the published tree holds.
type tree struct {
	v     *vault.Vault
	nodes map[string]*node
	// empty are the directories of the layouts without anything in them.
	empty []string
	// filled are directories in which a link is missing.
	filled map[string]bool
}

func newTree(v *vault.Vault) *tree {
	return &tree{v: v, nodes: make(map[string]*node), filled: make(map[string]bool)}
}

// walk reads the directories that the layouts, and those of former runs, use.
// Everything below other directories is the operator's: it is only read when
// there are no records, and names with directories have to be found. What
// cannot be read is a finding.
func (t *tree) walk(ctx context.Context) (unread []*Finding, err error) {
	layouts := slices.Concat([]layout.Layout(t.v.Store.Layouts()), t.v.Shelf.Former)
	inUse := func(dir string) bool {
		return layout.InByCipher(dir) ||
			slices.ContainsFunc(layouts, func(l layout.Layout) bool { return l.InBuckets(dir) })
	}
	all := len(t.v.Index.Notes.Layouts) == 0
	var read func(rel string) error
	read = func(rel string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entries, err := os.ReadDir(t.v.Store.Path(rel))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if rel != "" && errors.Is(err, fs.ErrPermission) {
			unread = append(unread, &Finding{Kind: FindUnread, Path: rel, Problem: report.OneLine(err.Error())})
			return nil
		} else if err != nil {
			return err
		}
		if len(entries) == 0 && inUse(rel) {
			t.empty = append(t.empty, rel)
		}
		for _, e := range entries {
			sub := filepath.Join(rel, e.Name())
			if e.IsDir() {
				if fi, err := e.Info(); err == nil && inUse(sub) && t.v.Store.Shut(fi) {
					unread = append(unread, t.shut(sub, fi.Mode()))
				}
				if !strings.HasPrefix(e.Name(), ".") && (all && sub != layout.GenerationsDir || inUse(sub)) {
					err = read(sub)
				}
			} else {
				err = t.put(sub, e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return unread, read("")
}

// shut is about what keeps readers out.
func (t *tree) shut(rel string, mode fs.FileMode) *Finding {
	f := &Finding{Kind: FindShut, Path: rel, Problem: fmt.Sprintf("its mode %04o keeps readers out", mode.Perm()), Remedy: "let them in"}
	f.fix = func(context.Context) error { return t.v.Store.LetIn(t.v.Store.Path(rel)) }
	return f
}

func (t *tree) put(rel string, e fs.DirEntry) error {
	if !strings.Contains(rel, "/") && layout.Reserved(catalog.Name(rel)) {
		return nil
	}
	fi, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil // gone, or to be asked for by those that need it
	} else if err != nil {
		return err
	}
	t.nodes[rel] = t.node(rel, fi)
	return nil
}

// at returns what is at rel, or nil: also where walk does not go.
func (t *tree) at(rel string) *node {
	if n, ok := t.nodes[rel]; ok {
		return n
	}
	fi, err := os.Lstat(t.v.Store.Path(rel))
	if err != nil {
		return nil
	}
	n := t.node(rel, fi)
	if !fi.IsDir() {
		t.nodes[rel] = n
	}
	return n
}
