package export

import (
	"distkeep/archive/report"
	"distkeep/archive/vault"
)

// Rooms says what the archive has beside its files, and what is free. It is told as far
// as it can be found out: a run is not less complete without it.
func Rooms(v *vault.Vault, minFree int64) report.Rooms {
	r := report.Rooms{MinFree: minFree}
	var err error
	if r.Free, r.StateFree, err = v.Store.Free(); err != nil {
		v.Warn("%v", err)
	}
	if r.Parts, err = v.Store.Tally(v.Store.PartsDir()); err != nil {
		v.Warn("%v", err)
	}
	if r.Quarantine, err = v.Store.Tally(v.Store.QuarantineDir()); err != nil {
		v.Warn("%v", err)
	}
	return r
}

// Lineage carries over from the last run when the last good ones began. ended says that
// s is of one that came to its end.
func Lineage(v *vault.Vault, s *report.Summary, ended bool) error {
	last, err := lastRun(v, s.Command)
	if err != nil {
		return err
	}
	s.LastComplete, s.LastSuccess = last.LastComplete, last.LastSuccess
	if ended && s.Complete {
		s.LastComplete = s.Start
		if s.Guard == "" && s.Outage == nil && s.Gone == 0 {
			s.LastSuccess = s.Start
		}
	}
	return nil
}
