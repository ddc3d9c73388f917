package failures

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/catalog"
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

// Record brings the ledger's failures up to date. Unless whole, the run did not get
// to everything, and failures of other contents stay as they were.
func (fs *Failures) Record(whole bool) (err error) {
	fs.stillMissed()
	fs.unknown()
	if fs.sum.Outage, err = fs.outage(); err != nil {
		return err
	}
	fs.sum.Failures = make(map[failure.Class]report.FailureCount)
	r := &recording{Failures: fs, wants: fs.wants(), current: make(map[ledger.FailureKey]bool)}
	for _, key := range sortedFailureKeys(fs.tried) {
		r.transfer(key, fs.tried[key])
	}
	for _, key := range sortedFailureKeys(fs.failing) {
		r.found(fs.failing[key])
	}
	r.rest(whole)
	return fs.v.Commit(&r.batch)
}

// A recording is the bringing up to date of the failures.
type recording struct {
	*Failures
	wants   map[ledger.FailureKey]*plan.Want
	current map[ledger.FailureKey]bool
	batch   ledger.Batch
}

// note counts and tells of a failure of this run.
func (r *recording) note(f *ledger.Failure, known bool) {
	r.current[f.Key()] = true
	c := r.sum.Failures[failure.Class(f.Class)]
	if known {
		c.Known++
	} else {
		c.New++
		if r.sum.Outage == nil && len(r.sum.News) < report.MaxNews {
			r.sum.News = append(r.sum.News, report.NewsOf(string(f.Name), f.Owner, f.Class, f.Reason))
		}
	}
	r.sum.Failures[failure.Class(f.Class)] = c
	r.v.Events.Failed(f, known)
}

// transfer records the failure of a transfer. While nobody can be asked at all, what is
// known of a file stays as it is.
func (r *recording) transfer(key ledger.FailureKey, fe *fetch.Error) {
	old := r.v.Index.Failures[key]
	if r.sum.Outage != nil && old != nil {
		r.note(old, true)
		return
	}
	f := r.failed(key, fe, r.wants[key])
	if old != nil && fe.Class == failure.NoURI && sameButTimes(old, f) {
		f = old // nobody was asked and nothing is new: nothing to write
	} else {
		r.batch.PutFailure(f)
	}
	r.note(f, old != nil)
}

// sameButTimes reports whether two failures differ only in when, and how often.
func sameButTimes(x, y *ledger.Failure) bool {
	a := *x
	a.First, a.Last, a.Next, a.Count = y.First, y.Last, y.Next, y.Count
	return reflect.DeepEqual(&a, y)
}

// found records what is no failure of a transfer.
func (r *recording) found(p *plan.Failing) {
	old := r.v.Index.Failures[p.Key]
	missed := strings.HasPrefix(p.Key.Want, ledger.Lost)
	known := old != nil && !(missed && old.First.Equal(r.v.Now))
	if missed && !known {
		r.sum.Gone++
	}
	f := &ledger.Failure{
		Name: p.Key.Name, Want: p.Key.Want, Class: string(p.Class), Reason: report.OneLine(p.Reason),
		Owner: p.Owner, First: r.v.Now, Last: r.v.Now, Count: 1,
	}
	if old != nil && old.Class == f.Class && old.Reason == f.Reason && old.Owner == f.Owner {
		f = old // nothing was tried and nothing is new: nothing to write
	} else {
		if old != nil {
			f.First = old.First
		}
		r.people(f, r.wants[p.Key])
		r.batch.PutFailure(f)
	}
	r.note(f, known)
}

// rest keeps the known failures that this run did not come to, and ends the others.
func (r *recording) rest(whole bool) {
	for _, key := range sortedFailureKeys(r.v.Index.Failures) {
		f := r.v.Index.Failures[key]
		switch {
		case r.current[key]:
		case r.waited[key] || !whole || !r.facts.KnowsAll(), f.Name != "" && r.facts.Catalog.Protected(f.Name, f.Owner):
			r.note(f, true)
		default:
			r.batch.DropFailure(key)
		}
	}
}

// failed is the record of a transfer that failed now. w is nil when no package
// wants the file any more.
func (fs *Failures) failed(key ledger.FailureKey, fe *fetch.Error, w *plan.Want) *ledger.Failure {
	f := &ledger.Failure{
		Name: key.Name, Want: key.Want, Class: string(fe.Class), Reason: fe.Reason(), Hint: fe.Hint(),
		First: fs.v.Now, Last: fs.v.Now, Count: 1, Answers: answers(fe),
	}
	if w != nil {
		f.Owner, f.Asked = w.Owner(), fs.facts.Asked(w.Name, w.Sources)
	}
	fs.people(f, w)
	old := fs.v.Index.Failures[key]
	if old != nil {
		f.First, f.Count = old.First, old.Count+1
	}
	f.Next = nextTry(fe.Class, f.Asked, old, fs.v.Now)
	return f
}

// SoFar are the failures as a run that ended now would leave them, were it not to look
// at what it has not come to.
func (fs *Failures) SoFar() []*ledger.Failure {
	all := maps.Clone(fs.v.Index.Failures)
	wants := fs.wants()
	for key, fe := range fs.tried {
		all[key] = fs.failed(key, fe, wants[key])
	}
	return slices.Collect(maps.Values(all))
}

// wants finds the wants behind failures.
func (fs *Failures) wants() map[ledger.FailureKey]*plan.Want {
	wants := make(map[ledger.FailureKey]*plan.Want, len(fs.tried))
	names := make(map[catalog.Name]bool, len(fs.tried)+len(fs.failing))
	for key := range fs.tried {
		names[key.Name] = true
	}
	for key := range fs.failing {
		names[key.Name] = true
	}
	if len(names) == 0 {
		return wants
	}
	for _, d := range slices.Concat(fs.facts.Catalog.Distfiles, fs.facts.Catalog.Shadowed, fs.facts.Catalog.Restricted) {
		if !names[d.Name] {
			continue
		}
		w := plan.NewWant(d, true)
		if key := w.Key(); fs.tried[key] != nil || fs.failing[key] != nil {
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
