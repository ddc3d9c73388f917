package archive

import (
	"context"

	"distkeep/archive/history"
	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// A HistorySummary says what History found.
type HistorySummary struct {
	Repositories []catalog.RepoStats `json:"repositories"`
	Complete     bool                `json:"complete"`
	Problems     []string            `json:"problems,omitempty"`
	// Lines is the length of the history, New and Back how many lines came
	// and went.
	Lines int `json:"lines"`
	New   int `json:"new"`
	Back  int `json:"back"`
}

// History scans repositories and brings the history up to date, as HISTORY_ONLY
// does for dpb: what the archive or its distinfo has and no package wants any
// more is noted with the time of this run. Nothing is fetched, published or let
// go of. A scan with problems changes nothing.
func (a *Archive) History(ctx context.Context, repos []catalog.Repository) (*HistorySummary, error) {
	m := a.newMirror(MirrorOptions{Repositories: repos})
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	s := &HistorySummary{Repositories: m.sum.Repositories, Complete: m.sum.Complete, Problems: m.sum.Problems}
	before, err := history.LoadHistory(a.store.Path("history"))
	if err != nil {
		return nil, mark(ErrConfig, err)
	}
	s.Lines = len(before)
	if !s.Complete {
		return s, nil
	}
	after, err := m.writeHistory(true)
	if err != nil {
		return nil, brokenIf(err)
	}
	s.Lines = len(after)
	was := make(map[ledger.Key]bool, len(before))
	for _, r := range before {
		was[ledger.Key{Name: r.Name, SHA256: r.SHA256}] = true
	}
	for _, r := range after {
		if !was[ledger.Key{Name: r.Name, SHA256: r.SHA256}] {
			s.New++
		}
	}
	s.Back = len(was) + s.New - len(after)
	return s, nil
}
