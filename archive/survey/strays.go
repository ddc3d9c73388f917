package survey

import (
	"context"
	"errors"
	"sync"

	"distkeep/archive/layout"
)

// listStrays returns a function that lists, when it is first called, what lies where
// no layout would have it, and what the directories of AdoptFrom hold: most runs
// have nothing to look for.
func (s *Survey) listStrays(ctx context.Context) func(size int64, base string) []*layout.Stray {
	bySize, byBase := make(map[int64][]*layout.Stray), make(map[string][]*layout.Stray)
	list := sync.OnceFunc(func() {
		found, err := s.v.Strays(ctx, s.Dirs)
		for _, dir := range s.o.AdoptFrom {
			below, derr := s.v.Store.StraysBelow(ctx, dir, s.warn)
			found, err = append(found, below...), errors.Join(err, derr)
		}
		if err != nil {
			s.warn(err)
		}
		for _, f := range found {
			bySize[f.Size] = append(bySize[f.Size], f)
			byBase[f.Base] = append(byBase[f.Base], f)
		}
	})
	return func(size int64, base string) []*layout.Stray {
		list()
		if size < 0 {
			return byBase[base]
		}
		return bySize[size]
	}
}

func (s *Survey) warn(err error) { s.v.Warn("%v", err) }
