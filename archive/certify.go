package archive

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"distkeep/archive/certificate"
	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/lists"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// A Certify says what a run depends on beside the archive and its repositories.
type Certify struct {
	// Settings tell the options and everything else that decides from others, but for
	// the content of Files, which options name. Began is before the first of all these was read.
	Settings string
	Files    []string
	Began    time.Time
	// Full has the run look at everything, whatever the last one has left.
	Full bool
}

// A witness finds out whether anything has changed since the last run, and leaves to
// the next what it needs for that.
type witness struct {
	v *vault.Vault
	o *MirrorOptions
	// inputs and archive are what is looked at before the run, see
	// certificate.Certificate.
	inputs, archive []certificate.Place
	// sums has the hash that was made before the run, or is nil.
	sums *certificate.Certificate
}

// newWitness returns nil for a run that depends on what nobody can tell.
func newWitness(v *vault.Vault, o *MirrorOptions) *witness {
	if o.Certify == nil || o.Desk != nil || v.Remote != nil {
		return nil
	}
	w := &witness{v: v, o: o}
	for _, r := range o.Repositories {
		local, ok := r.(catalog.Local)
		if !ok {
			return nil
		}
		places, ok := local.Reads()
		if !ok {
			return nil
		}
		for _, p := range places {
			w.inputs = append(w.inputs, certificate.Place{Place: p})
		}
	}
	files := append([]string{store.WhitelistFile(v.State), store.ImportedFile(v.State), v.Store.RequestsDir()}, o.Certify.Files...)
	if o.Local != "" {
		files = append(files, o.Local)
	}
	for _, f := range files {
		w.inputs = append(w.inputs, certificate.Place{Place: catalog.Place{Path: f}})
	}
	w.archive = []certificate.Place{
		{Place: catalog.Place{Path: v.Store.Published(), Skip: lists.PerRun}, Shut: layout.IsCipher, Busy: true},
		{Place: catalog.Place{Path: v.Store.RecycleDir()}},
	}
	return w
}

// unchanged returns the summary of this run if nothing has changed since the last one
// and nothing is due, so that there is nothing to do. Otherwise it gets ready to certify
// this run, if the last one had nothing to do either: to make the hash costs more than
// a busy archive gets back.
func (w *witness) unchanged(ctx context.Context) (*report.Summary, error) {
	if w == nil {
		return nil, nil
	}
	c := w.v.Certificate()
	switch {
	case c == nil && !w.o.Certify.Full:
	case c == nil || w.o.Certify.Full || w.v.Unsynced || c.Holds(w.v.Now, w.o.Certify.Settings, ledger.Seal(w.v.Store.LedgerDir())) != nil:
		w.sums = w.look(ctx)
	case w.same(ctx, c):
		return w.repeat(c)
	}
	return nil, context.Cause(ctx)
}

// look makes the hash of everything, or returns nil where that cannot be.
func (w *witness) look(ctx context.Context) *certificate.Certificate {
	c := &certificate.Certificate{Key: certificate.NewKey()}
	h := w.hasher(c)
	var err error
	for _, x := range w.before(c) {
		if *x.sum, err = h.Sum(ctx, x.places...); err != nil {
			return nil
		}
	}
	return c
}

// same reports whether everything is as it was when c was made.
func (w *witness) same(ctx context.Context, c *certificate.Certificate) bool {
	h := &certificate.Hasher{Key: c.Key}
	for _, x := range append([]looked{{w.state(), &c.State}, {w.files(c), &c.Aside}}, w.before(c)...) {
		if sum, err := h.Sum(ctx, x.places...); err != nil || sum != *x.sum {
			return false
		}
	}
	return true
}

// A looked is what a sum of a certificate is of.
type looked struct {
	places []certificate.Place
	sum    *certificate.Sum
}

// before is what is looked at before a run, in that order.
func (w *witness) before(c *certificate.Certificate) []looked {
	return []looked{{w.signs(), &c.Signs}, {w.inputs, &c.Inputs}, {w.archive, &c.Archive}}
}

// signs are the directories in which something comes or goes when somebody updates a
// repository or touches a content, without most of what is below them: of each place of
// the inputs, and of by_cipher.
func (w *witness) signs() (places []certificate.Place) {
	for _, p := range append(w.inputs[:len(w.inputs):len(w.inputs)], certificate.Place{Place: catalog.Place{Path: w.v.Store.Path(layout.CipherDir)}}) {
		p.Shut = func(string) bool { return true }
		places = append(places, p)
	}
	return places
}

// state is what runs write for themselves and for readers, but for what each replaces.
func (w *witness) state() []certificate.Place {
	return []certificate.Place{
		{Place: catalog.Place{Path: w.v.Store.LedgerDir()}},
		{Place: catalog.Place{Path: w.v.Store.ReportDir(), Skip: report.PerRun}, Busy: true},
	}
}

// maxAside bounds the files that a certificate lists.
const maxAside = 10000

// aside are the published files of contents that are below by_cipher alone, where each
// has a directory of its own: those of the others are links to what is elsewhere.
func aside(shelf *layout.Shelf, x *ledger.Index) (files [][]byte, ok bool) {
	for _, d := range x.Distfiles {
		if rel := shelf.Sound(&d.Content); rel == "" || layout.InByCipher(rel) {
			for _, rel := range d.CipherPaths() {
				files = append(files, []byte(rel))
			}
		}
	}
	return files, len(files) <= maxAside
}

// files are the places of those of c.
func (w *witness) files(c *certificate.Certificate) (places []certificate.Place) {
	for _, rel := range c.Files {
		places = append(places, certificate.Place{Place: catalog.Place{Path: w.v.Store.Path(string(rel))}})
	}
	return places
}

// repeat reports this run as one that found what the last one found. The ledger, which
// is closed, is told of it when somebody opens it.
func (w *witness) repeat(c *certificate.Certificate) (*report.Summary, error) {
	v := w.v
	s := new(report.Summary)
	if err := json.Unmarshal(c.Summary, s); err != nil {
		return nil, nil
	}
	s.Start, s.LastComplete, s.LastSuccess, s.CertifiedBy = v.Now, v.Now, v.Now, c.Made
	s.Rooms = export.Rooms(v, w.o.MinFree)
	var known []report.Failure
	if s.AllFailures() > 0 {
		var err error
		if known, err = report.LoadFailures(v.Store.ReportDir()); err != nil {
			return nil, nil
		}
	}
	s.Took = v.Options.Now().Sub(v.Began)
	report.Fill(s)
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c.Last, c.Summary = v.Now, text
	if v.Certify(c) != nil {
		return nil, nil // there is no room for it: the ledger makes some
	}
	for _, f := range known {
		v.Events.Failed(&ledger.Failure{Name: catalog.Name(f.Name), Owner: f.Owner, Class: f.Class, Reason: f.Reason}, true)
	}
	return s, errors.Join(
		lists.New(v, nil).Synced(),
		report.WriteStatus(v.Store.ReportDir(), s, v.Store.Replace),
		report.AddRun(v.Store.ReportDir(), report.RunOf(s), v.Store.Replace),
	)
}

// certify leaves a certificate of the run m, which has come to its end, if it had
// nothing to do. That there is no room for one is no failure.
func (w *witness) certify(ctx context.Context, m *mirror) error {
	if w == nil || !m.idle {
		return nil
	}
	due, anyTime := m.facts.Due(m.o.LocalExpiry)
	swept, err := m.v.Store.Parts.NextSweep()
	if err != nil || anyTime {
		return nil
	}
	c := new(certificate.Certificate)
	if w.sums != nil {
		if err := m.v.CloseLedger(); err != nil {
			return err
		}
		if w.complete(ctx, m) == nil {
			c = w.sums
		}
	}
	c.Made, c.Last, c.Due = m.v.Now, m.v.Now, m.v.Now.Add(certificate.Valid)
	for _, t := range []time.Time{due, swept, m.facts.Catalog.ReadAgain} {
		if !t.IsZero() && t.Before(c.Due) {
			c.Due = t
		}
	}
	_ = m.v.Certify(c)
	return nil
}

// complete adds to the sums what is known at the end of the run.
func (w *witness) complete(ctx context.Context, m *mirror) (err error) {
	c := w.sums
	if c.Summary, err = json.Marshal(m.sum); err != nil {
		return err
	}
	var ok bool
	if c.Files, ok = aside(&m.v.Shelf, m.v.Index); !ok {
		return errors.New("too many files")
	}
	// They were looked at in the run: what changed since is young.
	if c.Aside, err = w.hasher(c).Sum(ctx, w.files(c)...); err != nil {
		return err
	}
	c.Settings, c.Seal = w.o.Certify.Settings, ledger.Seal(m.v.Store.LedgerDir())
	// Nobody but us writes there, and we hold the lock.
	c.State, err = (&certificate.Hasher{Key: c.Key}).Sum(ctx, w.state()...)
	return err
}

// hasher returns one that looks at what decides.
func (w *witness) hasher(c *certificate.Certificate) *certificate.Hasher {
	return &certificate.Hasher{Key: c.Key, Before: w.o.Certify.Began.Add(-certificate.Slack)}
}

// hadNothingToDo reports whether the run has changed nothing so far, and would change
// nothing were it made again.
func (m *mirror) hadNothingToDo() bool {
	s := m.sum
	return !m.v.Recorded && !m.v.Changed && !m.v.Warned() && !m.expiry.rescanned &&
		s.Complete && s.Guard == "" && s.Outage == nil && s.NewFailures() == 0 && s.Parked.Files == 0 &&
		// What is missing may come to those directories at any time.
		(len(m.o.AdoptFrom) == 0 || s.AllFailures() == 0)
}
