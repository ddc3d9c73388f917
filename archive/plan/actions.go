package plan

import (
	"fmt"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// An Action is something that a run would do.
type Action struct {
	// Do is found, read, link, relink, restore, fetch, fail, wait, publish, hold
	// back, schedule, take back, delete, purge or forget. What is published
	// is the index of a view, under its path. What is found of what is wanted
	// comes first: Name is right, wrong, foreign, elsewhere or missing then.
	Do     string `json:"do"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Detail string `json:"detail,omitempty"`
}

// Actions are what a run does that executes p.
func (p *Plan) Actions(f *Facts) (as []Action) {
	do := func(what, name string, size int64, detail string) {
		as = append(as, Action{what, name, size, detail})
	}
	for _, r := range p.Readings {
		do("read", string(r.Name), r.Size, f.at(r))
	}
	for _, d := range p.Relink {
		do("relink", string(d.Name), d.Size, "")
	}
	for _, l := range p.Links {
		if l.Back != nil {
			do("restore", string(l.Want.Name), l.Back.Size, "")
		} else {
			do("link", string(l.Want.Name), l.From.Size, string(l.From.Name))
		}
	}
	for _, t := range p.Fetches {
		detail := ""
		if ss := t.Sources(); len(ss) > 0 {
			detail = catalog.Redact(ss[0].URI)
		}
		for i, w := range t.Wants {
			if i > 0 {
				detail = "with " + string(t.Wants[0].Name)
			}
			do("fetch", string(w.Name), w.Size, detail)
		}
	}
	for _, w := range p.Doubtful {
		do("compare", string(w.Name), w.Size, "with what is fetched under that name for another package")
	}
	for _, p := range p.Failing {
		do("fail", string(p.Key.Name), 0, string(p.Class)+": "+p.Reason)
	}
	for _, w := range p.Waiting {
		old := f.Index.Failures[w.Key()]
		do("wait", string(w.Name), w.Size, "until "+stamp(old.Next.UTC())+": "+old.Reason)
	}
	return as
}

// Actions are what is found, as far as there is any.
func (f Found) Actions() (as []Action) {
	for _, c := range []struct {
		what string
		layout.Count
	}{
		{"right", f.Right}, {"wrong", f.Wrong}, {"foreign", f.Foreign}, {"elsewhere", f.Elsewhere}, {"missing", f.Missing},
	} {
		if c.Files > 0 {
			as = append(as, Action{"found", c.what, c.Bytes, fmt.Sprintf("files: %d, by their sizes", c.Files)})
		}
	}
	return as
}

// at is where a reading finds its file, for people.
func (f *Facts) at(r *Reading) string {
	switch {
	case r.Drop != nil:
		return r.Drop.Path
	case r.Stray != nil:
		return r.Stray.Path
	}
	return f.path(r.Rel)
}

// Actions are what a run does that executes e.
func (e *Expiry) Actions(f *Facts) (as []Action) {
	for _, k := range e.Unschedule {
		as = append(as, Action{"take back", string(k.Name), f.Index.Deletions[k].Size, ""})
	}
	for _, r := range e.Restore {
		as = append(as, Action{"restore", string(r.Name), r.Size, "whitelist"})
	}
	for _, d := range e.Schedule {
		as = append(as, Action{"schedule", string(d.Name), d.Size, d.SHA256().Hex()})
	}
	for _, d := range e.Due {
		as = append(as, Action{"delete", string(d.Name), d.Size, d.SHA256().Hex()})
	}
	for _, r := range e.Purge {
		as = append(as, Action{"purge", string(r.Name), r.Size, r.SHA256().Hex()})
	}
	return as
}
