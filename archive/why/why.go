// Package why answers one question about a name: why the archive has it, or has
// not. It joins what the last run exported, the whitelist, the drop box, the
// history, and, where trees are given, a scan of them, and looks at the links on
// disk. It needs neither the lock nor the ledger, so that it works during a run,
// and says how old its answer is.
//
// Begin reading at Ask.
package why

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/whitelist"
)

// Options say what Ask may look at beside what the last run exported.
type Options struct {
	Distfiles, State string
	// Repositories, when there are any, are scanned for all owners.
	Repositories []catalog.Repository
	Whitelist    *whitelist.List
	// Local is the directory distfiles-local, or empty.
	Local string
	// Shards is how many the archive has, or zero.
	Shards int
}

// An Answer is everything that is known about one name. Its JSON form is
// stable.
type Answer struct {
	Name catalog.Name `json:"name"`
	// AsOf is the last run: what has happened since is not known here.
	AsOf time.Time `json:"as_of,omitzero"`
	// Why says in one line why the archive has the name, or has not.
	Why string `json:"why"`
	// Contents are what the archive holds under the name, the published one
	// first.
	Contents []Held `json:"contents,omitempty"`
	// Wanted are the packages that want it, from a scan.
	Wanted []Wanted `json:"wanted,omitempty"`
	// Failures are those of the last run.
	Failures []report.Failure `json:"failures,omitempty"`
	// Past is what was done with it in the last year, the oldest first.
	Past []report.Event `json:"past,omitempty"`
	// Whitelist is the entry that keeps the name.
	Whitelist *whitelist.Entry `json:"whitelist,omitempty"`
	// Local is its file in the drop box.
	Local string `json:"local,omitempty"`
	// Known is false when nothing at all is known of the name.
	Known bool `json:"known"`
}

// A Held is one content of a name.
type Held struct {
	report.Distfile
	// Why says in one line what keeps it, or when it goes.
	Why string `json:"why"`
	// Links are all places where its file should be.
	Links []Link `json:"links"`
	// Unwanted is when a scan first found that no package wants it.
	Unwanted time.Time `json:"unwanted,omitzero"`
	// Deletion is set when it is scheduled or in recycle.
	Deletion *report.Deletion `json:"deletion,omitempty"`
}

// A Link is a place where a file should be, and whether it is: "ok", "missing",
// or what is wrong with it.
type Link struct {
	Path  string `json:"path"`
	State string `json:"state"`
}

// A Wanted is what packages want under a name.
type Wanted struct {
	Owners  []string            `json:"owners"`
	Size    int64               `json:"size"`
	Digests []string            `json:"digests"`
	Sources []string            `json:"sources"`
	Refused catalog.Restriction `json:"restrict,omitempty"`
	// Shadowed says that an earlier package wants another content under this
	// name, and has it.
	Shadowed bool `json:"shadowed,omitempty"`
	// Shard is the one that it belongs to, of an archive that is in shards.
	Shard string `json:"shard,omitempty"`

	distfile *catalog.Distfile
}

// Ask tells what is known about names, or about the contents with a SHA-256 in
// hex. It reads what the last run exported and needs no lock; what it says of
// links is what the disk has now. An answer that is not Known is no error.
func Ask(ctx context.Context, o Options, names []string) ([]*Answer, error) {
	w := &asked{Options: o, reports: store.ReportDir(o.State)}
	if err := w.load(ctx); err != nil {
		return nil, err
	}
	var answers []*Answer
	for _, n := range names {
		held, err := report.FindDistfiles(w.reports, n)
		if err != nil && !errors.Is(err, report.ErrNoRun) {
			return nil, err
		}
		past, err := report.FindPast(w.reports, n)
		if err != nil {
			return nil, err
		}
		full := n
		if _, err := digest.Parse(digest.SHA256, n); err != nil {
			// It is a name.
		} else if len(held) > 0 {
			full = held[0].Name
		} else if len(past) > 0 {
			full = past[0].Name
		}
		name, err := catalog.ParsePath(full)
		if err != nil {
			return nil, err
		}
		failures, err := report.FindFailures(w.reports, full)
		if err != nil && !errors.Is(err, report.ErrNoRun) {
			return nil, err
		}
		answers = append(answers, w.answer(name, held, past, failures))
	}
	return answers, nil
}

// pastOf joins what was done with a name with what the records of its contents tell.
func pastOf(past []report.Event, held []report.Distfile) []report.Event {
	for _, d := range held {
		e := report.Event{Name: d.Name, SHA256: d.SHA256, Size: d.Size, What: string(ledger.Added), Time: d.Added, Origin: d.Origin}
		if d.Origin == ledger.OriginRecycle {
			e.What = string(ledger.Restored)
		}
		if !slices.ContainsFunc(past, func(p report.Event) bool {
			return p.What == e.What && p.SHA256 == e.SHA256 && p.Time.Unix() == e.Time.Unix()
		}) {
			past = append(past, e)
		}
	}
	slices.SortStableFunc(past, func(a, b report.Event) int { return a.Time.Compare(b.Time) })
	return past
}

// A lastRun is what Ask needs of the summary that the last run exported.
type lastRun struct {
	Start         time.Time     `json:"start"`
	DeletionDelay time.Duration `json:"deletion_delay_ns"`
}

// asked is what answers are made of.
type asked struct {
	Options
	reports   string
	status    lastRun
	layouts   layout.Conf
	deletions []report.Deletion
	history   []history.Record
	catalog   *catalog.Catalog
}

func (w *asked) load(ctx context.Context) (err error) {
	if w.layouts, err = layout.Load(w.Distfiles); err != nil {
		return err
	}
	if err := report.LoadStatus(w.reports, &w.status); err != nil && !errors.Is(err, report.ErrNoRun) {
		return err
	}
	if w.deletions, err = report.LoadDeletions(w.reports); err != nil && !errors.Is(err, report.ErrNoRun) {
		return err
	}
	if w.history, err = history.LoadHistory(filepath.Join(w.Distfiles, "history")); err != nil {
		return err
	}
	if len(w.Repositories) > 0 {
		if w.catalog, err = catalog.Collect(ctx, w.Repositories); err != nil {
			return err
		}
	}
	return nil
}

func (w *asked) answer(name catalog.Name, held []report.Distfile, past []report.Event, failures []report.Failure) *Answer {
	a := &Answer{Name: name, AsOf: w.status.Start, Past: pastOf(past, held), Failures: failures}
	if w.Whitelist != nil {
		if e, ok := w.Whitelist.Has(name); ok {
			a.Whitelist = &e
		}
	}
	if w.Local != "" {
		path := filepath.Join(w.Local, filepath.FromSlash(string(name)))
		if _, err := os.Lstat(path); err == nil {
			a.Local = path
		}
	}
	a.Wanted = w.wanted(name)
	slices.SortStableFunc(held, func(x, y report.Distfile) int {
		return cmp.Or(compareBool(y.Named, x.Named), compareBool(x.Recycled, y.Recycled))
	})
	for _, d := range held {
		a.Contents = append(a.Contents, w.held(a, d))
	}
	for i := range a.Wanted {
		x := &a.Wanted[i]
		x.Shadowed = x.Shadowed && !slices.ContainsFunc(a.Contents, func(h Held) bool {
			d := ledger.Distfile{Content: contentOf(&h.Distfile)}
			return h.Named && !h.Recycled && d.Satisfies(x.distfile) // it has the name, with another package
		})
	}
	a.Why, a.Known = w.verdict(a)
	return a
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// wanted is what the scan says about a name.
func (w *asked) wanted(name catalog.Name) (ws []Wanted) {
	if w.catalog == nil {
		return nil
	}
	add := func(ds []*catalog.Distfile, shadowed bool) {
		for _, d := range ds {
			if d.Name != name {
				continue
			}
			x := Wanted{Size: d.Size, Refused: d.Restrict, Shadowed: shadowed && !d.Unnamed, distfile: d, Shard: catalog.PartOf(d.Digests, d.Name, w.Shards).String()}
			for _, o := range d.Owners {
				x.Owners = append(x.Owners, o.String())
			}
			for _, s := range d.Digests {
				x.Digests = append(x.Digests, s.String())
			}
			for _, s := range d.Sources {
				x.Sources = append(x.Sources, catalog.Redact(s.URI))
			}
			ws = append(ws, x)
		}
	}
	add(w.catalog.Distfiles, false)
	add(w.catalog.Shadowed, true)
	add(w.catalog.Restricted, false)
	return ws
}

// held describes one content.
func (w *asked) held(a *Answer, d report.Distfile) Held {
	h := Held{Distfile: d}
	for _, r := range w.history {
		if r.Name == a.Name && r.SHA256.Hex() == d.SHA256 {
			h.Unwanted = r.Time
		}
	}
	states := []string{report.Scheduled, report.Protected}
	if d.Recycled {
		states = []string{report.Recycled}
	}
	for i, x := range w.deletions {
		if x.Name == d.Name && x.SHA256 == d.SHA256 && slices.Contains(states, x.State) {
			h.Deletion = &w.deletions[i]
		}
	}
	c := contentOf(&d)
	for _, p := range w.paths(&c, d.Recycled) {
		h.Links = append(h.Links, Link{p, linkState(p, d.Size)})
	}
	h.Why = w.keeps(a, &h)
	return h
}

// contentOf is the content of an exported record. Digests that a newer program
// wrote are left out.
func contentOf(d *report.Distfile) layout.Content {
	c := layout.Content{Name: catalog.Name(d.Name), Size: d.Size, Named: d.Named, Kind: catalog.Kind(d.Kind)}
	var sums []digest.Digest
	add := func(a digest.Algorithm, hex string) {
		if s, err := digest.Parse(a, hex); err == nil {
			sums = append(sums, s)
		}
	}
	add(digest.SHA256, d.SHA256)
	for name, hex := range d.Digests {
		if a, ok := digest.ParseAlgorithm(name); ok {
			add(a, hex)
		}
	}
	c.Digests, _ = digest.NewSet(sums...)
	return c
}

// paths are all places of a content's file.
func (w *asked) paths(c *layout.Content, recycled bool) (paths []string) {
	if c.SHA256().IsZero() {
		return nil
	}
	if recycled {
		for _, dir := range store.RecycleDirs(w.Distfiles, w.State) {
			if _, err := os.Lstat(dir); err == nil {
				return []string{filepath.Join(dir, c.SHA256().Hex(), c.Name.Base())}
			}
		}
		return nil
	}
	if c.Named {
		for _, l := range w.layouts {
			if p, ok := l.Path(c.Name, c.Digests); ok {
				paths = append(paths, filepath.Join(w.Distfiles, p))
			}
		}
	}
	for _, p := range c.CipherPaths() {
		paths = append(paths, filepath.Join(w.Distfiles, p))
	}
	return paths
}

func linkState(path string, size int64) string {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case err != nil:
		return report.OneLine(err.Error())
	case !fi.Mode().IsRegular():
		return "not a regular file"
	case fi.Size() != size:
		return fmt.Sprintf("has %d bytes", fi.Size())
	}
	return "ok"
}

// keeps says what keeps a content, or when it goes.
func (w *asked) keeps(a *Answer, h *Held) string {
	day := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	d := ledger.Distfile{Content: contentOf(&h.Distfile)}
	for _, x := range a.Wanted {
		switch {
		case !d.Satisfies(x.distfile):
		case x.Refused != "":
			return fmt.Sprintf("%s wants it, but it must not be mirrored (%s)", x.distfile.FirstOwner(), x.Refused)
		default:
			return "wanted by " + x.distfile.FirstOwner()
		}
	}
	switch {
	case a.Whitelist != nil:
		return "on the whitelist: " + entry(a.Whitelist)
	case a.Local != "" && h.Named:
		return "in distfiles-local: " + a.Local
	case w.catalog != nil && w.catalog.Protected(a.Name, h.Owner):
		return protectedBy(w.catalog.Protector(a.Name, h.Owner))
	case w.catalog == nil && h.Deletion != nil && h.Deletion.State == report.Protected:
		return protectedBy(h.Deletion.By)
	case h.Deletion != nil && h.Recycled:
		return fmt.Sprintf("in recycle since %s, removed for good at %s at the earliest", day(h.Deletion.Since), day(h.Deletion.Due))
	case h.Recycled:
		return "in recycle"
	case h.Deletion != nil && h.Deletion.State == report.Scheduled:
		return fmt.Sprintf("no package has wanted it since %s, deleted at %s at the earliest", day(h.Deletion.Since), day(h.Deletion.Due))
	case !h.Undone.IsZero():
		return fmt.Sprintf("no package wants it; taken off the schedule at %s, scheduled again at %s at the earliest", day(h.Undone), day(h.Undone.Add(max(w.status.DeletionDelay, ledger.UndoHold))))
	case !h.Unwanted.IsZero():
		return fmt.Sprintf("no package has wanted it since %s; it is not scheduled for deletion", day(h.Unwanted))
	case w.catalog != nil && len(a.Wanted) > 0:
		return "packages want other bytes by that name"
	case w.catalog != nil:
		return "no package of the scan wants it"
	case h.Owner != "":
		return "wanted by " + h.Owner
	}
	return "nobody wanted it when it was added"
}

func protectedBy(pkg string) string {
	return "kept, because " + pkg + ", a package that cannot be known, may want it"
}

func entry(e *whitelist.Entry) string {
	s := fmt.Sprintf("%s:%d", e.File, e.Line)
	if e.Author != "" {
		s += ", " + e.Author
	}
	if !e.Date.IsZero() {
		s += ", " + e.Date.Format(time.DateOnly)
	}
	if e.Reason != "" {
		s += ": " + report.OneLine(e.Reason)
	}
	return s
}

// verdict sums an answer up. known is false when there is nothing to sum up.
func (w *asked) verdict(a *Answer) (why string, known bool) {
	for _, h := range a.Contents {
		if h.Named && !h.Recycled {
			return h.Why, true
		}
	}
	switch {
	case len(a.Failures) > 0:
		return "not in the archive: " + a.Failures[0].Text(), true
	case len(a.Contents) > 0:
		return a.Contents[0].Why, true
	case len(a.Wanted) > 0 && a.Wanted[0].Refused != "":
		return fmt.Sprintf("not in the archive: it must not be mirrored (%s)", a.Wanted[0].Refused), true
	case len(a.Wanted) > 0:
		return "not in the archive: no run has tried to get it yet", true
	case a.Whitelist != nil:
		return "not in the archive; on the whitelist: " + entry(a.Whitelist), true
	case a.Local != "":
		return "not in the archive; in distfiles-local: the next run takes it", true
	case len(a.Past) > 0:
		last := a.Past[len(a.Past)-1]
		return fmt.Sprintf("not in the archive: %s at %s", last.What, last.Time.UTC().Format(time.RFC3339)), true
	}
	return "nothing is known of it", false
}
