package archive

import (
	"fmt"
	"time"

	"distkeep/archive/ledger"
)

// firstDay is before this program was written: no clock that is right is
// earlier. Machines without a working clock of their own start there.
var firstDay = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// maxGap is the longest time between two runs that is believed: longer
	// than any holiday, and shorter than the step of a clock that is wrong
	// by years.
	maxGap = 180 * 24 * time.Hour
	// holdFor is how long a person has to look at the clock when it seems to
	// have been put ahead: an hourly job says so 168 times.
	holdFor = 7 * 24 * time.Hour
)

// clockGuard returns why the clock cannot be trusted, or "". What is scheduled
// with a time in the past would go too early when the clock is set right, and
// everything that is scheduled would go at once when it is put years ahead.
func (m *mirror) clockGuard() string {
	if m.v.Now.Before(firstDay) {
		return fmt.Sprintf("the clock is wrong, it says %s: set it", stamp(m.v.Now))
	}
	if last := m.v.Index.Notes.Clock; m.v.Now.Before(last) {
		return fmt.Sprintf("the clock was put back: it says %s, and the last run was at %s; if it is right now, the next run goes on", stamp(m.v.Now), stamp(last))
	}
	if until, ok := m.holdUntil(); ok {
		return fmt.Sprintf("the clock was put ahead, or there was no run for a long time: it says %s; if it is right, deletions go on at %s", stamp(m.v.Now), stamp(until))
	}
	return ""
}

// holdUntil returns the time until which nothing is let go of, if any.
func (m *mirror) holdUntil() (until time.Time, ok bool) {
	if last := m.v.Index.Notes.Clock; !last.IsZero() && m.v.Now.Sub(last) > maxGap {
		return m.v.Now.Add(holdFor), true
	}
	until = m.v.Index.Notes.Hold
	// A hold that is further off than a hold lasts was made by a clock that
	// has been put right since.
	return until, m.v.Now.Before(until) && until.Sub(m.v.Now) <= holdFor
}

// noteClock puts into b what the clock guard of the next run goes by.
func (m *mirror) noteClock(b *ledger.Batch) {
	if m.v.Now.Before(firstDay) {
		return
	}
	until, ok := m.holdUntil()
	m.v.Note(b, func(n *ledger.Notes) {
		if n.Clock, n.Hold = m.v.Now, until; !ok {
			n.Hold = time.Time{}
		}
	})
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }
