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
	x := m.v.Index
	var b ledger.Batch
	current := make(map[ledger.FailureKey]bool)
	m.sum.Failures = make(map[failure.Class]report.FailureCount)
	note := func(f *ledger.Failure, known bool) {
		current[f.Key()] = true
		c := m.sum.Failures[failure.Class(f.Class)]
		if known {
			c.Known++
		} else {
			c.New++
		}
		m.sum.Failures[failure.Class(f.Class)] = c
		m.v.Events.Failed(f, known)
	}
	m.stillMissed()
	m.failUnknown()
	wants := m.failedWants()
	for _, key := range sortedFailureKeys(m.tried) {
		fe := m.tried[key]
		old := x.Failures[key]
		f := &ledger.Failure{
			Name: key.Name, Want: key.Want, Class: string(fe.Class), Reason: fe.Reason(), Hint: fe.Hint(),
			First: m.v.Now, Last: m.v.Now, Count: 1, URLs: attempted(fe),
		}
		if w := wants[key]; w != nil {
			f.Owner, f.Asked = w.Owner(), m.facts.Asked(w.Name, w.Sources)
		}
		if old != nil {
			f.First, f.Count = old.First, old.Count+1
		}
		f.Next = nextTry(fe.Class, f.Asked, old, m.v.Now)
		b.PutFailure(f)
		note(f, old != nil)
	}
	for _, key := range sortedFailureKeys(m.failing) {
		p := m.failing[key]
		old := x.Failures[key]
		missed := strings.HasPrefix(key.Want, ledger.Lost)
		known := old != nil && !(missed && old.First.Equal(m.v.Now))
		if missed && !known {
			m.sum.Gone++
		}
		f := &ledger.Failure{
			Name: key.Name, Want: key.Want, Class: string(p.Class), Reason: report.OneLine(p.Reason),
			Owner: p.Owner, First: m.v.Now, Last: m.v.Now, Count: 1,
		}
		if old != nil && old.Class == f.Class && old.Reason == f.Reason && old.Owner == f.Owner {
			f = old // nothing was tried and nothing is new: nothing to write
		} else {
			if old != nil {
				f.First = old.First
			}
			b.PutFailure(f)
		}
		note(f, known)
	}
	for _, key := range sortedFailureKeys(x.Failures) {
		f := x.Failures[key]
		switch {
		case current[key]:
		case m.waited[key] || !whole || !m.knowsAll(), f.Name != "" && m.facts.Catalog.Protected(f.Name, f.Owner):
			note(f, true)
		default:
			b.DropFailure(key)
		}
	}
	return m.v.Commit(&b)
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

// failedWants finds the wants behind failures of transfers.
func (m *mirror) failedWants() map[ledger.FailureKey]*plan.Want {
	wants := make(map[ledger.FailureKey]*plan.Want, len(m.tried))
	if len(m.tried) == 0 {
		return wants
	}
	for _, d := range slices.Concat(m.facts.Catalog.Distfiles, m.facts.Catalog.Shadowed) {
		w := plan.NewWant(d, true)
		if m.tried[w.Key()] != nil {
			wants[w.Key()] = w
		}
	}
	return wants
}

// What is recorded of the URLs of a failure: a tree may name thousands for each
// of thousands of names.
const (
	maxTried      = 16
	maxTriedBytes = 4 << 10
)

// attempted are the first URLs that were tried, each once.
func attempted(fe *fetch.Error) (urls []string) {
	left := maxTriedBytes
	for _, a := range fe.Attempts {
		if a.URL == "" || slices.Contains(urls, a.URL) {
			continue
		}
		if left -= len(a.URL); left < 0 || len(urls) == maxTried {
			break
		}
		urls = append(urls, a.URL)
	}
	return urls
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
