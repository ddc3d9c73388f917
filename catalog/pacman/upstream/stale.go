package upstream

import (
	"fmt"
	"strconv"
	"time"
)

// maxSkew is how much the clock of an upstream may be ahead of ours. Times
// beyond it are not remembered: everything would be older than they are.
const maxSkew = time.Hour

// maxBelief is how long an upstream whose lastupdate does not move is believed
// to have nothing new: whatever writes that file may have died.
const maxBelief = 24 * time.Hour

// A staleError means that an upstream has gone back: it is a mirror that is
// behind, or one of several behind one name.
type staleError struct {
	what    string
	is, was time.Time
	state   string // the directory that remembers
}

func (e *staleError) Error() string {
	return fmt.Sprintf("stale mirror: %s is of %s, and that of the last run was of %s (if that is right, remove %s)",
		e.what, e.is.UTC().Format(time.RFC3339), e.was.UTC().Format(time.RFC3339), e.state)
}

// older reports whether f is older than what the last run had in its place, by
// the upstream's own time.
func (u *Repository) older(f, old *fileState) bool {
	dated := old.SHA256 != "" && !old.Undated && !f.Undated && u.state.Base == u.base()
	return dated && f.SHA256 != old.SHA256 && f.ModTime.Before(old.ModTime) && !u.future(old.ModTime)
}

func (u *Repository) future(t time.Time) bool { return t.After(u.o.Now().Add(maxSkew)) }

// believed reports whether lastupdate alone tells that what was asked for then
// is still what there is.
func (u *Repository) believed(asked time.Time) bool {
	past := u.o.Now().Sub(asked)
	return past >= 0 && past < maxBelief
}

// earlier reports whether the time of one lastupdate is before that of another.
func earlier(a, b string) bool { return a != "" && b != "" && unixTime(a).Before(unixTime(b)) }

// unixTime is the time that a lastupdate tells, which is of digits.
func unixTime(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > 1<<40 {
		n = 1 << 40 // far in the future
	}
	return time.Unix(n, 0)
}
