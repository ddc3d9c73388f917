// Package past has the runs that look after the history: Update brings it up to
// date with a scan, and Clean deletes what has been in it for long enough.
package past

import (
	"context"

	"distkeep/archive/history"
	"distkeep/archive/ledger"
	"distkeep/archive/lists"
	"distkeep/archive/report"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// A Summary says what Update found.
type Summary struct {
	Repositories []catalog.RepoStats `json:"repositories"`
	Complete     bool                `json:"complete"`
	Problems     []string            `json:"problems,omitempty"`
	Unknown      []string            `json:"unknown,omitempty"`
	// Lines is the length of the history, New and Back how many lines came
	// and went.
	Lines int `json:"lines"`
	New   int `json:"new"`
	Back  int `json:"back"`
}

// Update scans repositories and brings the history up to date, as HISTORY_ONLY
// does for dpb: what the archive or its distinfo has and no package wants any
// more is noted with the time of this run. Nothing is fetched, published or deleted.
// A scan with problems changes nothing.
func Update(ctx context.Context, v *vault.Vault, repos []catalog.Repository) (*Summary, error) {
	facts, err := survey.Make(ctx, v, survey.Options{Repositories: repos})
	if err != nil {
		return nil, err
	}
	s := newSummary(facts.Catalog)
	if !s.Complete {
		return s, s.stays(v)
	}
	l := lists.New(v, &facts.Facts)
	old, records, err := l.Next(true)
	if err == nil {
		err = l.WriteHistory(old, records)
	}
	if err != nil {
		return nil, err
	}
	s.count(old, records)
	return s, nil
}

func newSummary(cat *catalog.Catalog) *Summary {
	of := new(report.Summary)
	of.Scanned(cat)
	return &Summary{Repositories: of.Repositories, Complete: of.Complete, Problems: of.Problems, Unknown: of.Unknown}
}

// stays counts the lines of a history that stays as it is.
func (s *Summary) stays(v *vault.Vault) error {
	old, err := history.LoadHistory(v.Store.Path("history"))
	if err != nil {
		return err
	}
	s.Lines = len(old)
	return nil
}

// count tells how the history changed by the scan.
func (s *Summary) count(old, records []history.Record) {
	was := make(map[ledger.Key]bool, len(old))
	for _, r := range old {
		was[recordKey(r)] = true
	}
	s.New = 0
	for _, r := range records {
		if !was[recordKey(r)] {
			s.New++
		}
	}
	s.Lines = len(records)
	s.Back = len(was) + s.New - len(records)
}

func recordKey(r history.Record) ledger.Key { return ledger.Key{Name: r.Name, SHA256: r.SHA256} }
