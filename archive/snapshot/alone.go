package snapshot

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"distkeep/archive/layout"
)

// Alone returns the contents that nothing but the snapshots called names has, and
// their bytes: what there would be free if these were removed together. It looks at
// every file of them.
func (d *Dir) Alone(ctx context.Context, names ...string) (alone layout.Count, err error) {
	type content struct{ found, links, size int64 }
	contents := make(map[uint64]*content)
	for _, name := range names {
		err := fs.WalkDir(d.root.FS(), name, func(at string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || at == path.Join(name, recordName) {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fi, err := e.Info()
			if err != nil {
				return err
			}
			st := fi.Sys().(*syscall.Stat_t)
			c := contents[st.Ino]
			if c == nil {
				c = &content{links: int64(st.Nlink), size: fi.Size()}
				contents[st.Ino] = c
			}
			c.found++
			return nil
		})
		if err != nil {
			return alone, fmt.Errorf("snapshot %s: %w", name, err)
		}
	}
	for _, c := range contents {
		if c.found == c.links {
			alone.Add(c.size)
		}
	}
	return alone, nil
}
