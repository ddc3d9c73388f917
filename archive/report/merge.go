package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"distkeep/catalog/regular"
)

// A Part is what the runs of one shard of an archive have exported to Dir.
type Part struct{ Shard, Dir string }

// Merge exports to dir what parts have exported, as if all were one archive. A content that
// two shards have is told of once, and of two that have one name, one has it: what is
// wanted, before what is scheduled for deletion, and then what is newer. It returns the
// contents, by their SHA-256 in hex, that have their names no more.
func Merge(dir string, parts []Part, replace regular.Replacer) (nameless map[string]bool, err error) {
	m := &merging{dir: dir, parts: parts, replace: replace, nameless: make(map[string]bool), twice: make(map[string]FailureCount)}
	for _, step := range []func() error{m.deletions, m.distfiles, m.past, m.failures, m.restricted, m.status} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m.nameless, nil
}

// A merging is one Merge.
type merging struct {
	dir     string
	parts   []Part
	replace regular.Replacer
	// scheduled are the contents that are, and nameless what Merge returns.
	scheduled map[content]bool
	nameless  map[string]bool
	// twice counts by class the failures that more than one shard has, beyond the first.
	twice map[string]FailureCount
}

// A content is one of a shard.
type content struct{ name, sum, shard string }

// tagged is a record with the number of its shard.
type tagged[T any] struct {
	record *T
	of     int
}

// merged yields the records of all parts in their order, which each part's have already.
func merged[T any](parts []Part, open func(dir string) iter.Seq2[*T, error], compare func(a, b *T) int) iter.Seq2[tagged[T], error] {
	return func(yield func(tagged[T], error) bool) {
		next := make([]func() (*T, error, bool), len(parts))
		heads := make([]*T, len(parts))
		advance := func(i int) error {
			v, err, ok := next[i]()
			switch heads[i] = nil; {
			case !ok, errors.Is(err, ErrNoRun):
				return nil
			case err != nil:
				return err
			}
			heads[i] = v
			return nil
		}
		for i, p := range parts {
			var stop func()
			next[i], stop = iter.Pull2(open(p.Dir))
			defer stop()
			if err := advance(i); err != nil {
				yield(tagged[T]{}, err)
				return
			}
		}
		for {
			least := -1
			for i, h := range heads {
				if h != nil && (least < 0 || compare(h, heads[least]) < 0) {
					least = i
				}
			}
			if least < 0 || !yield(tagged[T]{heads[least], least}, nil) {
				return
			}
			if err := advance(least); err != nil {
				yield(tagged[T]{}, err)
				return
			}
		}
	}
}

// grouped calls f with those of all that are equal by same, one after the other.
func grouped[T any](all iter.Seq2[tagged[T], error], same func(a, b *T) bool, f func(group []tagged[T]) error) error {
	var group []tagged[T]
	for x, err := range all {
		if err != nil {
			return err
		}
		if len(group) > 0 && !same(group[0].record, x.record) {
			if err := f(group); err != nil {
				return err
			}
			group = group[:0]
		}
		group = append(group, x)
	}
	if len(group) == 0 {
		return nil
	}
	return f(group)
}

// writeMerged replaces a file with the records that all puts.
func writeMerged[T any](m *merging, file string, all func(put func(*T) error) error) error {
	err := m.replace(filepath.Join(m.dir, file), "", func(w io.Writer) error {
		var line []byte
		return all(func(r *T) (err error) {
			if line, err = AppendLine(line[:0], r); err == nil {
				_, err = w.Write(line)
			}
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (m *merging) deletions() error {
	var all []Deletion
	m.scheduled = make(map[content]bool)
	for _, p := range m.parts {
		ds, err := LoadDeletions(p.Dir)
		if err != nil && !errors.Is(err, ErrNoRun) {
			return err
		}
		for _, d := range ds {
			d.Shard = p.Shard
			if all = append(all, d); d.State == Scheduled {
				m.scheduled[content{d.Name, d.SHA256, d.Shard}] = true
			}
		}
	}
	SortDeletions(all)
	return WriteDeletions(m.dir, all, m.replace)
}

// distfiles are first those that are published, and then those in recycle.
func (m *merging) distfiles() error {
	recycled := func(d *Distfile) int {
		if d.Recycled {
			return 1
		}
		return 0
	}
	order := func(a, b *Distfile) int {
		return cmp.Or(recycled(a)-recycled(b), cmp.Compare(a.Name, b.Name), cmp.Compare(a.SHA256, b.SHA256))
	}
	same := func(a, b *Distfile) bool { return a.Name == b.Name && a.Recycled == b.Recycled }
	return writeMerged(m, distfilesFile, func(put func(*Distfile) error) error {
		return grouped(merged(m.parts, Distfiles, order), same, func(group []tagged[Distfile]) error {
			for _, d := range m.settle(group) {
				if err := put(d); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// settle decides which of the contents of one name has it, and which shard has each.
func (m *merging) settle(group []tagged[Distfile]) (ds []*Distfile) {
	for _, x := range group {
		d := x.record
		d.Shard = m.parts[x.of].Shard
		if i := len(ds) - 1; i >= 0 && ds[i].SHA256 == d.SHA256 {
			if m.before(d, ds[i]) {
				ds[i] = d
			}
			continue
		}
		ds = append(ds, d)
	}
	var first *Distfile
	for _, d := range ds {
		if d.Named && !d.Recycled && (first == nil || m.before(d, first)) {
			first = d
		}
	}
	for _, d := range ds {
		if d.Named && !d.Recycled && d != first {
			d.Named = false
			m.nameless[d.SHA256] = true
		}
	}
	return ds
}

// before reports whether a rather than b is what is meant by a name.
func (m *merging) before(a, b *Distfile) bool {
	as, bs := m.scheduled[content{a.Name, a.SHA256, a.Shard}], m.scheduled[content{b.Name, b.SHA256, b.Shard}]
	if as != bs {
		return bs
	}
	return a.Added.After(b.Added)
}

func (m *merging) past() error {
	open := func(dir string) iter.Seq2[*Event, error] { return lines[Event](dir, pastFile, nil) }
	order := func(a, b *Event) int { return a.Time.Compare(b.Time) }
	return writeMerged(m, pastFile, func(put func(*Event) error) error {
		for x, err := range merged(m.parts, open, order) {
			if err == nil {
				err = put(x.record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *merging) failures() error {
	return m.unite(failuresFile, func(dir string) iter.Seq2[*Failure, error] { return Failures(dir, Question{}) })
}

func (m *merging) restricted() error { return m.unite(restrictedFile, Restricted) }

// unite merges failures. One that several shards have, such as a package that cannot be
// read, is told of once, and is of no shard.
func (m *merging) unite(file string, open func(dir string) iter.Seq2[*Failure, error]) error {
	order := func(a, b *Failure) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Owner, b.Owner))
	}
	return writeMerged(m, file, func(put func(*Failure) error) error {
		return grouped(merged(m.parts, open, order), func(a, b *Failure) bool { return order(a, b) == 0 }, func(group []tagged[Failure]) error {
			f := group[0].record
			f.Shard = m.parts[group[0].of].Shard
			for _, x := range group[1:] {
				f.Shard = ""
				f.First, f.Last, f.Count = earlier(f.First, x.record.First), later(f.Last, x.record.Last), max(f.Count, x.record.Count)
				n := m.twice[f.Class]
				if x.record.New {
					n.New++
				} else {
					n.Known++
				}
				m.twice[f.Class] = n
				f.New = f.New && x.record.New
			}
			return put(f)
		})
	})
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// status is about the last runs of all.
func (m *merging) status() error {
	var all []*Summary
	runs := make([]ShardRun, len(m.parts))
	for i, p := range m.parts {
		s := new(Summary)
		runs[i].Shard = p.Shard
		switch err := LoadStatus(p.Dir, s); {
		case errors.Is(err, ErrNoRun):
			continue
		case err != nil:
			return err
		}
		runs[i].Run = RunOf(s)
		all = append(all, s)
	}
	switch {
	case len(all) == 0:
		return nil
	case runs[0].Shard == "": // an archive without shards
		return WriteStatus(m.dir, all[0], m.replace)
	}
	s := sum(all, m.twice)
	if len(all) < len(m.parts) {
		s.LastComplete, s.LastSuccess = time.Time{}, time.Time{}
		s.Complete = false
	}
	s.Shards = runs
	for _, r := range runs {
		s.note(r)
	}
	return WriteStatus(m.dir, s, m.replace)
}

// note says which shard has the trouble that stops one.
func (s *Summary) note(r ShardRun) {
	add := func(text *string, what string) {
		if what == "" {
			return
		}
		if *text != "" {
			*text += "; "
		}
		*text += "shard " + r.Shard + ": " + what
	}
	add(&s.Guard, r.Guard)
	add(&s.Broken, r.Broken)
	if r.Start.IsZero() {
		s.Problems = append(s.Problems, "shard "+r.Shard+": no run has finished yet")
	}
	slices.Sort(s.Problems)
}
