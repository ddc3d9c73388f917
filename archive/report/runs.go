package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// runsFile has a line for each run, the oldest first.
const runsFile = "runs.jsonl"

// PerRun reports whether each run replaces, or may leave, the file name of the report
// directory.
func PerRun(name string) bool {
	return name == runsFile || name == StatusFile || name == progressFile
}

// A Run is the end of one run, for whoever looks at many. A Summary tells more.
type Run struct {
	Command  string        `json:"command"`
	Start    time.Time     `json:"start"`
	Took     time.Duration `json:"took_ns"`
	Complete bool          `json:"complete"`
	Received int64         `json:"received"`
	Added    layout.Count  `json:"added"`
	Archive  layout.Count  `json:"archive"`
	Pending  layout.Count  `json:"pending"`
	Recycle  layout.Count  `json:"recycle"`
	// Failures are by class, New those that the run before had not.
	Failures    map[string]int `json:"failures,omitempty"`
	New         int            `json:"new"`
	Guard       string         `json:"guard,omitempty"`
	Interrupted bool           `json:"interrupted,omitempty"`
	Broken      string         `json:"broken,omitempty"`
}

// RunOf returns the Run of a summary.
func RunOf(s *Summary) Run {
	r := Run{
		Command: s.Command, Start: s.Start, Took: s.Took, Complete: s.Complete, Received: s.Received, Added: s.Added(),
		Archive: s.Archive, Pending: s.Pending, Recycle: s.Recycle, New: s.NewFailures(),
		Guard: s.Guard, Interrupted: s.Interrupted, Broken: s.Broken,
	}
	if len(s.Failures) > 0 {
		r.Failures = make(map[string]int, len(s.Failures))
	}
	for class, n := range s.Failures {
		r.Failures[string(class)] = n.New + n.Known
	}
	return r
}

// The log of runs has those of keepRuns, and no more than maxRuns.
const (
	keepRuns = 90 * 24 * time.Hour
	maxRuns  = 5000
)

// AddRun adds a run to the log in dir, and leaves out what is too old. A line that
// cannot be read is left out as well: plots miss a point.
func AddRun(dir string, r Run, replace regular.Replacer) error {
	runs, err := LoadRuns(dir)
	if err != nil {
		return err
	}
	runs = slices.DeleteFunc(runs, func(o Run) bool { return r.Start.Sub(o.Start) > keepRuns })
	runs = append(runs, r)
	return writeLines(dir, runsFile, Each(runs[max(0, len(runs)-maxRuns):]), replace)
}

// LoadRuns returns the runs in the log, the oldest first: none when there is no log.
func LoadRuns(dir string) (runs []Run, err error) {
	text, err := regular.Read(filepath.Join(dir, runsFile), maxStatus)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var r Run
		if json.Unmarshal(line, &r) == nil && !r.Start.IsZero() {
			runs = append(runs, r)
		}
	}
	return runs, nil
}
