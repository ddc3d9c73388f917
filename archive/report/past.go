package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"distkeep/catalog/regular"
)

const pastFile = "past.jsonl"

// An Event is something that was done with a content.
type Event struct {
	// Name is the first field, and the digest the second: FindPast relies on it.
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// What is "added", "restored", "replaced", "recycled", "purged" or "lost".
	What string    `json:"what"`
	Time time.Time `json:"time"`
	// Origin is where the content came from.
	Origin string `json:"origin,omitempty"`
}

// WritePast exports what was done in the last year, as far as the records of
// distfiles do not tell it. events calls its argument for each event.
func WritePast(dir string, events func(func(*Event) error) error, replace regular.Replacer) error {
	err := replace(filepath.Join(dir, pastFile), "", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return events(func(ev *Event) error { return e.Encode(ev) })
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// FindPast returns what WritePast has exported of a name, or of the content whose
// SHA-256 in hex is name, the oldest first. Before there was such an export there
// is none.
func FindPast(dir, name string) ([]Event, error) {
	es, err := findLines[Event](dir, pastFile, name)
	if errors.Is(err, ErrNoRun) {
		return nil, nil
	}
	return es, err
}

// CheckPast returns an error that names the first line that WritePast cannot have
// written.
func CheckPast(dir string) error { return checkLines(dir, pastFile) }
