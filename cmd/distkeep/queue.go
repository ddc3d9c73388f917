package main

import (
	"errors"
	"fmt"
	"slices"

	"distkeep/archive/report"
	"distkeep/archive/requests"
	"distkeep/archive/store"
)

// queue leaves a request to the run that holds the archive, which locked names, or to
// the next. A name that the exported lists do not have is questioned now: later nobody
// is there to hear it.
func (p *place) queue(e *env, r *requests.Request, locked error) error {
	known, err := p.listed(r.Do)
	if err != nil && !errors.Is(err, report.ErrNoRun) {
		return err
	}
	for _, n := range r.Names {
		if err == nil && !slices.Contains(known, string(n)) {
			e.warner()(fmt.Sprintf("%s: not in the lists that the last run has left", n))
		}
	}
	if err := requests.Put(store.RequestsDir(p.state), r, e.now()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stderr, "distkeep: %v: it is left to that run, or to the next mirror\n", locked)
	return err
}

// listed are the names that a request of a kind can be about.
func (p *place) listed(do string) (names []string, err error) {
	dir := store.ReportDir(p.state)
	if do == requests.Undo {
		ds, err := report.LoadDeletions(dir)
		for _, d := range ds {
			names = append(names, d.Name)
		}
		return names, err
	}
	fs, err := report.LoadFailures(dir)
	for _, f := range fs {
		names = append(names, f.Name)
	}
	return names, err
}
