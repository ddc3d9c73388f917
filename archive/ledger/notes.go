package ledger

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Notes are what the ledger knows about the archive as a whole. The zero value is
// that of a new archive.
type Notes struct {
	// Clock is the time of the last run. Hold is the time until which nothing
	// is deleted, because the clock was put ahead.
	Clock, Hold time.Time
	// Changed says that the archive is not what distinfo and history say.
	Changed bool
	// Untold says that it is not what the newest generation says.
	Untold bool
	// Layouts are those that files may have links for. None means that no run
	// has come to its end with this ledger.
	Layouts []layout.Layout
	// Begun are those for which runs that have not come to their end may have made
	// links before Layouts were known.
	Begun []layout.Layout
	// Leaving are those of them that layout.conf does not list any more, and until
	// when they keep their paths; zero is that a run has begun to remove them.
	Leaving map[layout.Layout]time.Time
	// Change is the change of the layouts that is under way, or nil.
	Change *layout.Change
	// Repositories are those of the last complete run.
	Repositories []catalog.RepoStats
	// Views are the published views, by the path of the index that names the
	// distfiles, relative to the published tree.
	Views map[string]View
	// Purging are contents whose records have left recycle and whose files
	// there may not have: a run that was killed between leaves it to the next.
	Purging []Key
}

// A View is a directory with an index that was published for a repository, or, if
// its key ends with a slash, the pool of such directories, which has no index.
type View struct {
	Repo string `json:"repo"`
	// Check identifies the check that every file has passed, Suffix is that of
	// what stands beside the files.
	Check  string `json:"check,omitempty"`
	Suffix string `json:"suffix,omitempty"`
	// Pool is the directory that has what the directory of the view has links to.
	Pool string `json:"pool,omitempty"`
	// Index are the files of the index by path; empty when it was withdrawn.
	Index map[string]IndexFile `json:"index"`
	// Missing says when a run first missed each file that the newest index
	// names and the archive does not have.
	Missing map[catalog.Name]time.Time `json:"missing,omitempty"`
}

// An IndexFile is one file of an index as it was published.
type IndexFile struct {
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`
}

// A note is how one field of Notes is kept: under m/<key>, as text.
type note struct {
	key string
	// text is "" for the zero value, which is not kept at all.
	text  func(n *Notes) (string, error)
	parse func(n *Notes, text string) error
	// copy makes the field of dst that of src.
	copy func(dst, src *Notes)
}

var notes = []note{
	{"clock", func(n *Notes) (string, error) { return timeText(n.Clock), nil },
		func(n *Notes, text string) error { return parseTime(text, &n.Clock) },
		func(dst, src *Notes) { dst.Clock = src.Clock }},
	{"hold", func(n *Notes) (string, error) { return timeText(n.Hold), nil },
		func(n *Notes, text string) error { return parseTime(text, &n.Hold) },
		func(dst, src *Notes) { dst.Hold = src.Hold }},
	{"dirty", func(n *Notes) (string, error) { return yesText(n.Changed), nil }, func(n *Notes, text string) error { n.Changed = text != ""; return nil },
		func(dst, src *Notes) { dst.Changed = src.Changed }},
	{"untold", func(n *Notes) (string, error) { return yesText(n.Untold), nil }, func(n *Notes, text string) error { n.Untold = text != ""; return nil },
		func(dst, src *Notes) { dst.Untold = src.Untold }},
	{"layouts", func(n *Notes) (string, error) { return layoutsText(n.Layouts) },
		func(n *Notes, text string) (err error) { n.Layouts, err = parseLayouts(text); return err },
		func(dst, src *Notes) { dst.Layouts = src.Layouts }},
	{"begun", func(n *Notes) (string, error) { return layoutsText(n.Begun) },
		func(n *Notes, text string) (err error) { n.Begun, err = parseLayouts(text); return err },
		func(dst, src *Notes) { dst.Begun = src.Begun }},
	{"leaving", leavingText, parseLeaving, func(dst, src *Notes) { dst.Leaving = src.Leaving }},
	{"relayout", changeText, parseChange, func(dst, src *Notes) { dst.Change = src.Change }},
	{"repositories", func(n *Notes) (string, error) { return jsonText(len(n.Repositories), n.Repositories) },
		func(n *Notes, text string) error { return json.Unmarshal([]byte(text), &n.Repositories) },
		func(dst, src *Notes) { dst.Repositories = src.Repositories }},
	{"views", func(n *Notes) (string, error) { return jsonText(len(n.Views), n.Views) }, parseViews,
		func(dst, src *Notes) { dst.Views = src.Views }},
	{"purging", purgingText, parsePurging, func(dst, src *Notes) { dst.Purging = src.Purging }},
}

// set parses a note. One that a newer program wrote is passed over.
func (n *Notes) set(key, text string) error {
	for _, f := range notes {
		if f.key != key {
			continue
		}
		if err := f.parse(n, text); err != nil {
			return fmt.Errorf("%w: %s: %w", errRecord, key, err)
		}
	}
	return nil
}

// PutNotes records what after has and before has not. after belongs to the index
// after Commit.
func (b *Batch) PutNotes(before, after *Notes) {
	for _, f := range notes {
		old, err := f.text(before)
		if err == nil {
			var text string
			if text, err = f.text(after); err == nil && text != old {
				b.putNote(f.key, text, func(x *Index) { f.copy(&x.Notes, after) })
			}
		}
		b.fail(err)
	}
}

// putNote records a note, or drops it when it has no text.
func (b *Batch) putNote(key, text string, apply func(*Index)) {
	if k := nameKey(prefixMeta, catalog.Name(key)); text == "" {
		b.drop(k, apply)
	} else {
		b.putText(k, text, apply)
	}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

func parseTime(text string, t *time.Time) (err error) {
	*t, err = time.Parse(time.RFC3339, text)
	return err
}

func yesText(yes bool) string {
	if yes {
		return "yes"
	}
	return ""
}

func jsonText(length int, v any) (string, error) {
	if length == 0 {
		return "", nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func layoutsText(ls []layout.Layout) (string, error) { return jsonText(len(ls), specs(ls)) }

func parseLayouts(text string) ([]layout.Layout, error) {
	var ss []string
	if err := json.Unmarshal([]byte(text), &ss); err != nil {
		return nil, err
	}
	return parseSpecs(ss)
}

// specs spells layouts.
func specs(ls []layout.Layout) []string {
	ss := make([]string, len(ls))
	for i, l := range ls {
		ss[i] = l.String()
	}
	return ss
}

func parseSpecs(ss []string) (ls []layout.Layout, err error) {
	for _, s := range ss {
		l, err := layout.Parse(s)
		if err != nil {
			return nil, err
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func leavingText(n *Notes) (string, error) {
	until := make(map[string]time.Time, len(n.Leaving))
	for l, t := range n.Leaving {
		until[l.String()] = t
	}
	return jsonText(len(until), until)
}

func parseLeaving(n *Notes, text string) error {
	var until map[string]time.Time
	if err := json.Unmarshal([]byte(text), &until); err != nil {
		return err
	}
	n.Leaving = make(map[layout.Layout]time.Time, len(until))
	for s, t := range until {
		l, err := layout.Parse(s)
		if err != nil {
			return err
		}
		n.Leaving[l] = t
	}
	return nil
}

// A relayout is a layout.Change as it is kept.
type relayout struct {
	From []string  `json:"from"`
	To   []string  `json:"to"`
	Due  time.Time `json:"due,omitzero"`
}

func changeText(n *Notes) (string, error) {
	if n.Change == nil {
		return "", nil
	}
	return jsonText(1, relayout{specs(n.Change.From), specs(n.Change.To), n.Change.Due})
}

func parseChange(n *Notes, text string) error {
	var r relayout
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	from, err := parseSpecs(r.From)
	if err != nil {
		return err
	}
	to, err := parseSpecs(r.To)
	if err != nil {
		return err
	}
	if len(to) == 0 || len(layout.Join(nil, to)) != len(to) {
		return fmt.Errorf("%q cannot be what layout.conf lists", r.To)
	}
	n.Change = &layout.Change{From: from, To: to, Due: r.Due}
	return nil
}

// parseViews refuses paths that lead out of the published tree: what a view had
// is removed when the view is gone.
func parseViews(n *Notes, text string) error {
	var views map[string]View
	if err := json.Unmarshal([]byte(text), &views); err != nil {
		return err
	}
	for key, v := range views {
		if err := checkViewPath(strings.TrimSuffix(key, "/")); err != nil {
			return err
		}
		if v.Pool != "" {
			if err := checkViewPath(v.Pool); err != nil {
				return err
			}
		}
		if v.Suffix != "" {
			if _, err := catalog.ParseName("x" + v.Suffix); err != nil {
				return fmt.Errorf("suffix: %w", err)
			}
		}
		for rel := range v.Index {
			if err := checkViewPath(rel); err != nil {
				return err
			}
			if path.Dir(rel) != path.Dir(key) {
				return fmt.Errorf("%s: its index is in another directory: %s", key, rel)
			}
		}
	}
	n.Views = views
	return nil
}

func checkViewPath(rel string) error {
	if _, err := catalog.ParsePath(rel); err != nil {
		return err
	}
	if first, _, below := strings.Cut(rel, "/"); !below || layout.Reserved(catalog.Name(first)) {
		return fmt.Errorf("%s: not in a directory that a view can have", rel)
	}
	return nil
}

// A purging is one of Notes.Purging as it is kept.
type purging struct {
	Name   catalog.Name `json:"name"`
	SHA256 string       `json:"sha256"`
}

func purgingText(n *Notes) (string, error) {
	ps := make([]purging, len(n.Purging))
	for i, k := range n.Purging {
		ps[i] = purging{k.Name, k.SHA256.Hex()}
	}
	return jsonText(len(ps), ps)
}

func parsePurging(n *Notes, text string) error {
	var ps []purging
	if err := json.Unmarshal([]byte(text), &ps); err != nil {
		return err
	}
	n.Purging = nil
	for _, p := range ps {
		name, err := catalog.ParsePath(string(p.Name))
		if err != nil {
			return err
		}
		sum, err := digest.Parse(digest.SHA256, p.SHA256)
		if err != nil {
			return err
		}
		n.Purging = append(n.Purging, Key{name, sum})
	}
	return nil
}
