package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Policy says which snapshots to keep: of each period that has any the
// newest, for as many periods as the number says, counted from the newest
// snapshot; -1 is all of them. As in restic, a period without a snapshot does
// not count, and when a number is not used up, the oldest snapshot is kept as
// well. Hours, days, ISO weeks, months and years are those of UTC.
//
// Snapshots with a label, and those of the future, are kept and not counted.
type Policy struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
}

// errPolicy means that a policy would keep nothing, or makes no sense.
var errPolicy = errors.New("bad retention policy")

// A Decision is what becomes of a snapshot.
type Decision struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"`
	Keep bool      `json:"keep"`
	// Reasons are why it is kept: "last", "hourly", "oldest daily", "label",
	// "future".
	Reasons []string `json:"reasons,omitempty"`
}

// A rule keeps the newest snapshot of each period.
type rule struct {
	name string
	left int
	// period returns a number that is the same for all times of a period.
	// nr tells snapshots apart.
	period func(t time.Time, nr int) int
	last   int
}

func (p Policy) rules() []rule {
	return []rule{
		{"last", p.Last, func(_ time.Time, nr int) int { return nr }, -1},
		{"hourly", p.Hourly, func(t time.Time, _ int) int { return (t.Year()*1000+t.YearDay())*24 + t.Hour() }, -1},
		{"daily", p.Daily, func(t time.Time, _ int) int { return t.Year()*1000 + t.YearDay() }, -1},
		{"weekly", p.Weekly, func(t time.Time, _ int) int { y, w := t.ISOWeek(); return y*100 + w }, -1},
		{"monthly", p.Monthly, func(t time.Time, _ int) int { return t.Year()*100 + int(t.Month()) }, -1},
		{"yearly", p.Yearly, func(t time.Time, _ int) int { return t.Year() }, -1},
	}
}

// Apply decides about list, which is in any order. The decisions are in the
// order of time, the oldest first. Its error wraps errPolicy when every number
// is zero or one is below -1.
func (p Policy) Apply(list []Snapshot) ([]Decision, error) {
	if p == (Policy{}) {
		return nil, fmt.Errorf("%w: it keeps nothing: say how many to keep, as in --keep-daily 7; to remove all, name them to snapshot remove", errPolicy)
	}
	rules := p.rules()
	for _, r := range rules {
		if r.left < -1 {
			return nil, fmt.Errorf("%w: %d %s: want a number, or -1 for all", errPolicy, r.left, r.name)
		}
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Snapshot) int { return a.Time.Compare(b.Time) })
	oldest := slices.IndexFunc(list, func(s Snapshot) bool { return s.Label == "" && !s.Future })
	ds := make([]Decision, len(list))
	for i, s := range slices.Backward(list) {
		ds[i] = Decision{Name: s.Name, Time: s.Time}
		switch {
		case s.Label != "":
			ds[i].Reasons = []string{"label"}
		case s.Future:
			ds[i].Reasons = []string{"future"}
		default:
			ds[i].Reasons = decide(rules, s.Time.UTC(), i, i == oldest)
		}
		ds[i].Keep = len(ds[i].Reasons) > 0
	}
	return ds, nil
}

// decide returns the rules that keep the next older snapshot.
func decide(rules []rule, t time.Time, nr int, oldest bool) (reasons []string) {
	for i := range rules {
		r := &rules[i]
		period := r.period(t, nr)
		if r.left == 0 || period == r.last && !oldest {
			continue
		}
		reason := r.name
		if period == r.last {
			reason = "oldest " + reason
		}
		reasons = append(reasons, reason)
		r.last = period
		if r.left > 0 {
			r.left--
		}
	}
	return reasons
}

// Decide returns what Prune would do.
func (d *Dir) Decide(p Policy) ([]Decision, error) {
	list, err := d.List()
	if err != nil {
		return nil, err
	}
	return p.Apply(list)
}

// Prune removes the snapshots that p does not keep, as Remove does, and
// returns what it decided and what is removed.
func (d *Dir) Prune(ctx context.Context, p Policy) (ds []Decision, removed []Removed, err error) {
	if _, err := p.Apply(nil); err != nil {
		return nil, nil, err
	}
	unlock, err := d.lock("distkeep snapshot prune")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if ds, err = d.Decide(p); err != nil {
		return nil, nil, err
	}
	var names []string
	for _, x := range ds {
		if !x.Keep {
			names = append(names, x.Name)
		}
	}
	removed, err = d.remove(ctx, names)
	return ds, removed, err
}
