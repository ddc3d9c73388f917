package views

import (
	"fmt"
	"maps"
	"time"

	"distkeep/catalog"
)

// An absence is what a view names and the archive does not have.
type absence struct {
	// since says when a run first missed each of the files.
	since map[catalog.Name]time.Time
	// without are those that the view is published without.
	without []catalog.Name
}

// missed returns when the file of that name was first missed: now, if no run
// before has, or if that is still to come.
func (p *viewing) missed(name catalog.Name) time.Time {
	since, ok := p.known[p.key()].Missing[name]
	if now := p.vs.v.Now.UTC().Truncate(time.Second); !ok || since.After(now) {
		return now
	}
	return since
}

// tolerates reports whether the view may be published without the file of that
// name.
func (p *viewing) tolerates(name catalog.Name) bool {
	return p.vs.o.PublishMissing && p.vs.v.Now.Sub(p.missed(name)) >= p.vs.o.MissingGrace
}

// miss notes the missing files and reports whether the view may be published
// without them. Otherwise it is held back.
func (p *viewing) miss(missing []catalog.Name) bool {
	if len(missing) == 0 {
		return true
	}
	p.since = make(map[catalog.Name]time.Time, len(missing))
	var late catalog.Name // one that may still come
	for _, n := range missing {
		p.since[n] = p.missed(n)
		if late == "" && !p.tolerates(n) {
			late = n
		}
	}
	if late != "" {
		p.holdBack("%d of %d files are missing, such as %s: see distkeep failures", len(missing), len(p.v.Links), late)
		return false
	}
	p.without = missing
	p.why = fmt.Sprintf("without %d of its %d files, such as %s: see distkeep failures", len(missing), len(p.v.Links), missing[0])
	return true
}

// remember notes what is missing of a view that is held back.
func (p *viewing) remember() error {
	v := p.known[p.key()]
	if len(p.since) == 0 || maps.EqualFunc(v.Missing, p.since, time.Time.Equal) {
		return nil
	}
	v.Repo, v.Missing = p.repo, p.since
	p.known[p.key()] = v
	return p.vs.record(p.known)
}
