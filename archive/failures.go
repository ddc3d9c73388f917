package archive

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// nextTry returns when a failure is due again that was tried now and has, or
// has not, failed before; zero means in every run. What was asked for another
// thing is no failure of this one.
func nextTry(class failure.Class, asked string, old *ledger.Failure, now time.Time) time.Time {
	var last time.Duration
	if old != nil && !old.Next.IsZero() && old.Asked == asked {
		last = old.Next.Sub(old.Last)
	}
	pause := class.Pause(last)
	if pause == 0 {
		return time.Time{}
	}
	return now.Add(pause)
}

// recordFailures brings the ledger's failures up to date. Unless whole, the run
// did not get to everything, and failures of other contents stay as they were.
func (m *mirror) recordFailures(whole bool) error {
	r := recording{m: m, current: make(map[ledger.FailureKey]bool)}
	m.sum.Failures = make(map[failure.Class]report.FailureCount)
	m.stillMissed()
	m.failUnknown()
	var err error
	if m.sum.Outage, err = m.outage(); err != nil {
		return err
	}
	r.wants = m.failedWants()
	for _, key := range sortedFailureKeys(m.tried) {
		r.tried(key, m.tried[key])
	}
	for _, key := range sortedFailureKeys(m.failing) {
		r.failing(m.failing[key])
	}
	x := m.v.Index
	for _, key := range sortedFailureKeys(x.Failures) {
		f := x.Failures[key]
		switch {
		case r.current[key]:
		case m.waited[key] || !whole || !m.knowsAll(), f.Name != "" && m.facts.Catalog.Protected(f.Name, f.Owner):
			r.note(f, true)
		default:
			r.batch.DropFailure(key)
		}
	}
	return m.v.Commit(&r.batch)
}

// A recording is the bringing up to date of the failures.
type recording struct {
	m       *mirror
	wants   map[ledger.FailureKey]*plan.Want
	current map[ledger.FailureKey]bool
	batch   ledger.Batch
}

// note counts and tells of a failure of this run.
func (r *recording) note(f *ledger.Failure, known bool) {
	s := r.m.sum
	r.current[f.Key()] = true
	c := s.Failures[failure.Class(f.Class)]
	if known {
		c.Known++
	} else {
		c.New++
		if s.Outage == nil && len(s.News) < report.MaxNews {
			s.News = append(s.News, report.NewsOf(string(f.Name), f.Owner, f.Class, f.Reason))
		}
	}
	s.Failures[failure.Class(f.Class)] = c
	r.m.v.Events.Failed(f, known)
}

// tried records the failure of a transfer. While nobody can be asked at all, what is
// known of a file stays as it is.
func (r *recording) tried(key ledger.FailureKey, fe *fetch.Error) {
	old := r.m.v.Index.Failures[key]
	if r.m.sum.Outage != nil && old != nil {
		r.note(old, true)
		return
	}
	f := r.m.failed(key, fe, r.wants[key])
	r.batch.PutFailure(f)
	r.note(f, old != nil)
}

// failing records what is no failure of a transfer.
func (r *recording) failing(p *plan.Failing) {
	m := r.m
	old := m.v.Index.Failures[p.Key]
	missed := strings.HasPrefix(p.Key.Want, ledger.Lost)
	known := old != nil && !(missed && old.First.Equal(m.v.Now))
	if missed && !known {
		m.sum.Gone++
	}
	f := &ledger.Failure{
		Name: p.Key.Name, Want: p.Key.Want, Class: string(p.Class), Reason: report.OneLine(p.Reason),
		Owner: p.Owner, First: m.v.Now, Last: m.v.Now, Count: 1,
	}
	if old != nil && old.Class == f.Class && old.Reason == f.Reason && old.Owner == f.Owner {
		f = old // nothing was tried and nothing is new: nothing to write
	} else {
		if old != nil {
			f.First = old.First
		}
		m.people(f, r.wants[p.Key])
		r.batch.PutFailure(f)
	}
	r.note(f, known)
}

// failed is the record of a transfer that failed now. w is nil when no package
// wants the file any more.
func (m *mirror) failed(key ledger.FailureKey, fe *fetch.Error, w *plan.Want) *ledger.Failure {
	f := &ledger.Failure{
		Name: key.Name, Want: key.Want, Class: string(fe.Class), Reason: fe.Reason(), Hint: fe.Hint(),
		First: m.v.Now, Last: m.v.Now, Count: 1, Answers: answers(fe),
	}
	if w != nil {
		f.Owner, f.Asked = w.Owner(), m.facts.Asked(w.Name, w.Sources)
	}
	m.people(f, w)
	old := m.v.Index.Failures[key]
	if old != nil {
		f.First, f.Count = old.First, old.Count+1
	}
	f.Next = nextTry(fe.Class, f.Asked, old, m.v.Now)
	return f
}

// failUnknown makes a failure of each package that cannot be known. It has no
// name of a file.
func (m *mirror) failUnknown() {
	for i := range m.facts.Catalog.Problems {
		p := &m.facts.Catalog.Problems[i]
		if p.Scope != catalog.OnePackage {
			continue
		}
		owner := p.Owner().String()
		key := ledger.FailureKey{Want: digest.SHA256.Sum([]byte(owner)).Hex()[:len(ledger.NoWant)]}
		if m.failing[key] == nil {
			m.failing[key] = &plan.Failing{Key: key, Owner: owner, Class: failure.Package, Reason: p.Reason()}
		}
	}
}

// failedWants finds the wants behind failures.
func (m *mirror) failedWants() map[ledger.FailureKey]*plan.Want {
	wants := make(map[ledger.FailureKey]*plan.Want, len(m.tried))
	names := make(map[catalog.Name]bool, len(m.tried)+len(m.failing))
	for key := range m.tried {
		names[key.Name] = true
	}
	for key := range m.failing {
		names[key.Name] = true
	}
	if len(names) == 0 {
		return wants
	}
	for _, d := range slices.Concat(m.facts.Catalog.Distfiles, m.facts.Catalog.Shadowed, m.facts.Catalog.Restricted) {
		if !names[d.Name] {
			continue
		}
		w := plan.NewWant(d, true)
		if key := w.Key(); m.tried[key] != nil || m.failing[key] != nil {
			wants[key] = w
		}
	}
	return wants
}

func sortedFailureKeys[V any](ms map[ledger.FailureKey]V) []ledger.FailureKey {
	keys := make([]ledger.FailureKey, 0, len(ms))
	for k := range ms {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b ledger.FailureKey) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Want, b.Want))
	})
	return keys
}
