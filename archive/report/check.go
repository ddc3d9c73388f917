package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// A Level is how bad things are, in the numbers of Nagios' plugins.
type Level int

// The levels.
const (
	OK Level = iota
	Warning
	Critical
	Unclear // it cannot be told
)

func (l Level) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[l] }

// Limits say from when on a condition is an alarm.
type Limits struct {
	// MaxAge is how old the last complete run may be, and MaxNew how many new
	// failures the last may have; negative is any number.
	MaxAge time.Duration
	MaxNew int
}

const (
	// maxTreeAge is how old a tree may be that says each half hour when it was made.
	maxTreeAge = 24 * time.Hour
	// lowRoom times what must stay free is little.
	lowRoom = 3
)

// A Condition is what a Check looks at.
type Condition struct {
	*Summary // nil before the first run has ended
	// Running is who holds the lock, Killed who held it when it was killed.
	Running, Killed string
	// Since are the failures that were found after the run.
	Since int
}

// An alarm is one thing that is wrong.
type alarm struct {
	level Level
	text  string
}

// Check judges an archive in one line: the worst first, then the figures as Nagios'
// plugins give them.
func (c *Condition) Check(now time.Time, l Limits) (Level, string) {
	if c.Summary == nil {
		text := "no run has finished yet"
		if who := cmp.Or(c.Running, c.Killed); who != "" {
			text += "; the first: " + who
		}
		return Unclear, "DISTKEEP UNKNOWN - " + OneLine(text)
	}
	var texts []string
	level := OK
	alarms := c.alarms(now, l)
	for _, worst := range []Level{Critical, Warning} {
		for _, a := range alarms {
			if a.level == worst {
				level = max(level, worst)
				texts = append(texts, a.text)
			}
		}
	}
	age := now.Sub(c.LastComplete).Truncate(time.Second)
	if len(texts) == 0 {
		texts = []string{fmt.Sprintf("last complete run %v ago, %d files", age, c.Archive.Files)}
	}
	text := strings.NewReplacer("|", "/").Replace(OneLine(strings.Join(texts, "; ")))
	return level, fmt.Sprintf("DISTKEEP %v - %s | age=%ds;;%d new=%d failures=%d files=%d bytes=%dB free=%dB;;%d",
		level, text, int64(age.Seconds()), int64(l.MaxAge.Seconds()), c.NewFailures(), c.AllFailures(), c.Archive.Files, c.Archive.Bytes, c.Rooms.Free, c.Rooms.MinFree)
}

// alarms are all that are raised.
func (c *Condition) alarms(now time.Time, l Limits) (as []alarm) {
	raise := func(when bool, level Level, format string, args ...any) {
		if when {
			as = append(as, alarm{level, fmt.Sprintf(format, args...)})
		}
	}
	raise(c.Broken != "", Critical, "the archive is broken: %s", Brief(c.Broken, maxNews))
	raise(c.Gone > 0, Critical, "%d contents are lost that nothing can fetch again", c.Gone)
	raise(c.Damaged > 0, Critical, "%d files of the archive are damaged or cannot be read", c.Damaged)
	raise(c.Rooms.Free < c.Rooms.MinFree, Critical, "the disk is full: %d MiB are free", c.Rooms.Free>>20)
	raise(c.Rooms.Free >= c.Rooms.MinFree && c.Rooms.Free < lowRoom*c.Rooms.MinFree, Warning, "the disk is nearly full: %d MiB are free", c.Rooms.Free>>20)
	if age := now.Sub(c.LastComplete); age > l.MaxAge {
		// A run that goes on is slow; one that does not has stopped.
		level, text := Critical, fmt.Sprintf("the last complete run was %v ago", age.Truncate(time.Second))
		if c.LastComplete.IsZero() {
			text = "no run has been complete yet"
		}
		if c.Running != "" {
			level, text = Warning, text+", one is going on"
		}
		raise(true, level, "%s", text)
	}
	raise(c.Killed != "", Warning, "the last run was broken off: %s", c.Killed)
	raise(!c.Complete && len(c.Problems) > 0, Warning, "the scan was not complete: %s", Brief(strings.Join(c.Problems[:min(len(c.Problems), 1)], ""), maxNews))
	raise(c.Guard != "", Warning, "nothing was deleted: %s", Brief(c.Guard, maxNews))
	raise(c.Outage != nil, Warning, "no host answers")
	for _, r := range c.Repositories {
		raise(!r.Timestamp.IsZero() && now.Sub(r.Timestamp) > maxTreeAge, Warning, "the tree %s is of %s", r.Name, r.Timestamp.UTC().Format(time.RFC3339))
	}
	n := c.NewFailures() + c.Since
	raise(l.MaxNew >= 0 && n > l.MaxNew, Warning, "%d new failures", n)
	return as
}
