package layout

import (
	"slices"
	"time"
)

// A Change turns the layouts that layout.conf lists into others, so that nobody
// asks for a path that is not there. Clients keep a layout.conf for a day, and
// mirrors of an archive may have it before the files: what is new gets its links
// first, is listed last then, and comes to its place when all who follow have had
// the time to do the same.
type Change struct {
	// From is what layout.conf listed when the change began, To what it is to
	// list.
	From, To Conf
	// Due is when it may list To, or zero while the layouts that are new are not
	// listed at all.
	Due time.Time
}

// listing is From with what To adds behind it.
func (c *Change) listing() Conf { return Join(c.From, c.To) }

// Join returns conf with those of more that it lacks behind it.
func Join(conf Conf, more []Layout) Conf {
	all := slices.Clone(conf)
	for _, l := range more {
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	return all
}

// Follows reports whether a layout.conf that lists conf is one of this change. Any
// other was written by somebody who wants something else.
func (c *Change) Follows(conf Conf) bool {
	return slices.Equal(conf, c.From) || slices.Equal(conf, c.listing()) || slices.Equal(conf, c.To)
}

// Next returns what layout.conf has to list at now, and what is left of the change
// then, or nil. All files have their paths in all layouts of To; grace is how long
// others need to follow.
func (c *Change) Next(now time.Time, grace time.Duration) (Conf, *Change) {
	conf, left := c.listing(), *c
	if left.Due.IsZero() {
		left.Due = now.Add(grace)
	}
	if !now.Before(left.Due) || slices.Equal(conf, c.To) {
		return c.To, nil
	}
	return conf, &left
}
