package archive

import (
	"errors"
	"maps"
	"slices"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// ageDays are the upper bounds of the histogram of Ages.
var ageDays = []int{1, 7, 30, 90, 365}

// Ages tell how long ago the bytes of the archive were last read and found
// right.
type Ages struct {
	// Oldest is when the one was read that was read longest ago: every byte
	// has been read since. It is zero for an empty archive, and when there
	// are Unknown ones.
	Oldest time.Time `json:"oldest,omitzero"`
	// Within counts contents by age; each is in the first that fits. Older
	// are those beyond the last.
	Within []Age       `json:"within,omitempty"`
	Older  vault.Count `json:"older"`
	// Unknown are those of Older that were read at a time that has yet to come:
	// the clock was wrong once.
	Unknown vault.Count `json:"unknown,omitzero"`
}

// An Age counts what was read at most Days days ago.
type Age struct {
	Days int `json:"days"`
	vault.Count
}

func agesOf(x *ledger.Index, now time.Time) (a Ages) {
	counts := make([]vault.Count, len(ageDays)+1)
	bounds := make([]time.Time, len(ageDays))
	for i, days := range ageDays {
		bounds[i] = now.AddDate(0, 0, -days)
	}
	if len(x.Distfiles) == 0 {
		return a
	}
	a.Oldest = now
	for _, d := range x.Distfiles {
		at := readAt(d, now)
		if at.Before(a.Oldest) {
			a.Oldest = at
		}
		if d.Verified.After(now) {
			a.Unknown.Add(d.Size)
		}
		i := 0
		for i < len(bounds) && at.Before(bounds[i]) {
			i++
		}
		counts[i].Add(d.Size)
	}
	for i, days := range ageDays {
		a.Within = append(a.Within, Age{days, counts[i]})
	}
	a.Older = counts[len(ageDays)]
	return a
}

// refresh exports what readers read after a change that was no run. The summary
// of the last run stays, with the totals of now.
func (m *mirror) refresh() error {
	s := new(Summary)
	err := report.LoadStatus(m.v.Store.ReportDir(), s)
	switch {
	case errors.Is(err, report.ErrNoRun):
		s = &Summary{Command: m.sum.Command, Start: m.v.Now}
	case err != nil:
		m.v.Warn("%v", err)
		s = &Summary{Command: m.sum.Command, Start: m.v.Now}
	}
	m.o.DeletionDelay, m.o.RecycleDelay = s.DeletionDelay, s.RecycleDelay
	m.sum = s
	s.totals(m.v.Index)
	s.Ages = agesOf(m.v.Index, m.v.Now)
	if m.stale() {
		if err := m.exportDistfiles(); err != nil {
			return err
		}
	}
	return m.export()
}

// exportDistfiles writes the contents of the archive for why.
func (m *mirror) exportDistfiles() error {
	x := m.v.Index
	held := slices.SortedFunc(maps.Values(x.Distfiles), func(a, b *ledger.Distfile) int { return keyLess(a.Key(), b.Key()) })
	recycled := slices.SortedFunc(maps.Values(x.Recycled), func(a, b *ledger.Recycled) int {
		return keyLess(a.Key(), b.Key())
	})
	return report.WriteDistfiles(m.v.Store.ReportDir(), func(yield func(*report.Distfile) bool) {
		for _, d := range held {
			r := exported(d)
			if s := x.Deletions[d.Key()]; s != nil && s.Undone {
				r.Undone = s.Since
			}
			if !yield(r) {
				return
			}
		}
		for _, d := range recycled {
			r := exported(&d.Distfile)
			r.Recycled = true
			if !yield(r) {
				return
			}
		}
	})
}

func exported(d *ledger.Distfile) *report.Distfile {
	r := &report.Distfile{
		Name: string(d.Name), SHA256: d.SHA256().Hex(), Size: d.Size, Named: d.Named,
		Owner: d.Owner, Kind: string(d.Kind), Origin: d.Origin, Added: d.Added, Verified: d.Verified,
	}
	for _, s := range d.Digests {
		if s.Alg == digest.SHA256 {
			continue
		}
		if r.Digests == nil {
			r.Digests = make(map[string]string, len(d.Digests))
		}
		r.Digests[s.Alg.String()] = s.Hex()
	}
	return r
}

// stale reports whether the exported contents are not those of the ledger.
func (m *mirror) stale() bool {
	return m.v.Restated || m.v.Index.Notes.Changed || !report.HasDistfiles(m.v.Store.ReportDir())
}
