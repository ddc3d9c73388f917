package failures

import (
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/fetch"
)

// What is recorded of a failure: a tree may name thousands of URLs and of owners for
// each of thousands of names.
const (
	maxAnswers     = 16
	maxAnswerBytes = 8 << 10
	maxAnswerText  = 200
	maxOwners      = 32
)

// answers are the last words of the first places that were asked.
func answers(fe *fetch.Error) (as []ledger.Answer) {
	at := make(map[string]int)
	left := maxAnswerBytes
	for _, a := range fe.Attempts {
		if a.URL == "" || a.Err == nil {
			continue
		}
		answer := ledger.Answer{URL: a.URL, Host: a.Host, Class: string(a.Class), Text: report.Brief(a.Err.Error(), maxAnswerText)}
		if i, ok := at[a.URL]; ok {
			as[i] = answer
			continue
		}
		if left -= len(a.URL) + len(answer.Text); left < 0 || len(as) == maxAnswers {
			continue // there may be a later word of those before
		}
		at[a.URL] = len(as)
		as = append(as, answer)
	}
	return as
}

// people fills in whose f is. w, the want behind it, may be nil.
func (fs *Failures) people(f *ledger.Failure, w *plan.Want) {
	if f.Owner != "" {
		f.Maintainers = fs.facts.Catalog.Maintainers(f.Owner)
	}
	if w == nil {
		return
	}
	f.Size = max(w.Size, 0)
	if n := len(w.Owners); n > 1 {
		for _, o := range w.Owners[:min(n, maxOwners)] {
			f.Owners = append(f.Owners, o.String())
		}
	}
}
