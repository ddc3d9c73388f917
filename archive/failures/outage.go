package failures

import (
	"encoding/json"
	"slices"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/fetch/failure"
)

// When no host answers, it is our network and not theirs. Two things make that less
// than certain: in a quiet hour nobody is asked but hosts that have been dead for
// years, and three packages may come at once whose hosts never lived.
const (
	// fewHosts is the number of hosts, not known to be dead, of which one at least
	// should answer.
	fewHosts = 3
	// maxOutage is for how long the hosts that were found dead when it began are
	// taken for victims.
	maxOutage = 24 * time.Hour
)

// outage tells whether nobody could be asked in this run. Nil is no.
func (fs *Failures) outage() (*report.Outage, error) {
	if !allSilent(fs.sum.Hosts) {
		return nil, nil
	}
	last, err := fs.lastOutage()
	return outage(fs.sum.Hosts, deadHosts(fs.v.Index), last, fs.v.Now), err
}

// allSilent reports whether hosts were asked, and none has answered.
func allSilent(hosts []report.Host) bool {
	asked := slices.ContainsFunc(hosts, wasAsked)
	return asked && !slices.ContainsFunc(hosts, func(h report.Host) bool { return h.Answered })
}

func wasAsked(h report.Host) bool { return h.Requests+h.Failures+h.Spared > 0 }

// outage judges the silence of hosts, of which dead are known to be. last is the outage
// of the last run, or nil.
func outage(hosts []report.Host, dead map[string]bool, last *report.Outage, now time.Time) *report.Outage {
	o := &report.Outage{Since: now}
	living := 0
	for _, h := range hosts {
		if wasAsked(h) {
			o.Hosts++
			if !dead[h.Host] {
				living++
			}
		}
	}
	switch {
	case last != nil && now.Sub(last.Since) < maxOutage:
		o.Since = last.Since
	case living < fewHosts:
		return nil
	}
	return o
}

// lastOutage is that of the last run.
func (fs *Failures) lastOutage() (*report.Outage, error) {
	runs, err := fs.v.Ledger().Runs(1)
	if err != nil || len(runs) == 0 {
		return nil, vault.Damage(err)
	}
	var s struct {
		Outage *report.Outage `json:"outage"`
	}
	if json.Unmarshal(runs[0].Summary, &s) != nil {
		return nil, nil // others say so
	}
	return s.Outage, nil
}

// deadHosts are the hosts that did not answer when a file was last asked of them.
func deadHosts(x *ledger.Index) map[string]bool {
	dead := make(map[string]bool)
	for _, f := range x.Failures {
		for _, a := range f.Answers {
			if failure.Class(a.Class).Unreached() {
				dead[a.Host] = true
			}
		}
	}
	return dead
}
