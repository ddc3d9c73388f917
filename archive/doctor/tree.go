package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/regular"
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
	// claims are the records that should have the path.
	claims []*ledger.Distfile
}

func (t *tree) node(rel string, fi fs.FileInfo) *node {
	return &node{rel: rel, inode: inodeOf(fi), size: fi.Size(), mtime: fi.ModTime().UnixNano(), mode: fi.Mode(),
		foreign: t.v.Store.Tree.Foreign(fi), shut: t.v.Store.Shut(fi)}
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
	w := &walker{tree: t, layouts: slices.Concat([]layout.Layout(t.v.Store.Layouts()), t.v.Shelf.Former), all: len(t.v.Index.Notes.Layouts) == 0}
	err = w.read(ctx, "")
	slices.Sort(t.empty)
	slices.SortFunc(w.unread, func(a, b *Finding) int { return strings.Compare(a.Path, b.Path) })
	return w.unread, err
}

// A walker reads the directories of a tree.
type walker struct {
	*tree
	layouts []layout.Layout
	all     bool // other directories as well
	unread  []*Finding
}

func (w *walker) inUse(dir string) bool {
	return layout.InByCipher(dir) ||
		slices.ContainsFunc(w.layouts, func(l layout.Layout) bool { return l.InBuckets(dir) })
}

// atOnce is how many entries of a directory are held: in a flat layout one has all names.
const atOnce = 4096

func (w *walker) read(ctx context.Context, rel string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	dir, err := regular.OpenDir(w.v.Store.Path(rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if rel != "" && errors.Is(err, fs.ErrPermission) {
		w.unread = append(w.unread, &Finding{Kind: FindUnread, Path: rel, Problem: report.OneLine(err.Error())})
		return nil
	} else if err != nil {
		return err
	}
	defer dir.Close()
	for empty := true; ; empty = false {
		entries, err := dir.ReadDir(atOnce)
		if err == io.EOF {
			if empty && w.inUse(rel) {
				w.empty = append(w.empty, rel)
			}
			return nil
		} else if err != nil {
			return err
		}
		for _, e := range entries {
			if err := w.entry(ctx, filepath.Join(rel, e.Name()), e); err != nil {
				return err
			}
		}
	}
}

func (w *walker) entry(ctx context.Context, rel string, e fs.DirEntry) error {
	if !e.IsDir() {
		return w.put(rel, e)
	}
	if fi, err := e.Info(); err == nil && w.inUse(rel) && w.v.Store.Shut(fi) {
		w.unread = append(w.unread, w.shut(rel, fi.Mode()))
	}
	if !strings.HasPrefix(e.Name(), ".") && (w.all && rel != layout.GenerationsDir || w.inUse(rel)) {
		return w.read(ctx, rel)
	}
	return nil
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
