package archive

import (
	"context"

	"distkeep/archive/history"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// A HistorySummary says what History found.
type HistorySummary struct {
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

// History scans repositories and brings the history up to date, as HISTORY_ONLY
// does for dpb: what the archive or its distinfo has and no package wants any
// more is noted with the time of this run. Nothing is fetched, published or let
// go of. A scan with problems changes nothing.
func History(ctx context.Context, v *vault.Vault, repos []catalog.Repository) (*HistorySummary, error) {
	m := newMirror(v, MirrorOptions{Repositories: repos})
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	s := m.historySummary()
	if !s.Complete {
		return s, m.countHistory(s)
	}
	old, records, err := m.nextHistory(true)
	if err == nil {
		err = m.writeHistory(old, records)
	}
	if err != nil {
		return nil, err
	}
	s.count(old, records)
	return s, nil
}

func (m *mirror) historySummary() *HistorySummary {
	return &HistorySummary{Repositories: m.sum.Repositories, Complete: m.sum.Complete, Problems: m.sum.Problems, Unknown: m.sum.Unknown}
}

// countHistory counts the lines of a history that stays as it is.
func (m *mirror) countHistory(s *HistorySummary) error {
	old, err := history.LoadHistory(m.v.Store.Path("history"))
	if err != nil {
		return err
	}
	s.Lines = len(old)
	return nil
}

// count tells how the history changed by the scan.
func (s *HistorySummary) count(old, records []history.Record) {
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
