// Package doctor compares an archive with its ledger and its layouts, in both
// directions, and makes them agree.
//
// The rules that callers may rely on:
//
//   - Without leave to repair nothing is changed.
//   - The only link to any bytes is never removed: what nobody knows is read and
//     recorded, and what is not what its path promises goes to quarantine.
//   - No file is read unless size and time do not tell what it is.
//   - What a report calls repaired was looked for again, and was not found.
//   - A ledger that cannot be used is made anew from the files of the archive. The
//     exports of the last run and history give the owners and the times: they are
//     hints, and are used only for contents that were read.
//
// Begin reading at Doctor. An examination finds what is wrong and what would put it
// right: records in record.go, files without one in unknown.go, recycle in
// recycle.go, lists in lists.go. What has to be read is recorded in adopt.go.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// Options say what Doctor may do.
type Options struct {
	// Repair puts right what is found; otherwise nothing is changed.
	Repair bool
	// Local is the directory distfiles-local, or empty.
	Local string
	// From, if not empty, names a copy of the ledger, from which one without records
	// is filled when the archive is opened with leave to repair.
	From string
	// Beside, if not nil, looks at what such an archive has in its bucket beside its
	// contents.
	Beside func(ctx context.Context, v *vault.Vault) ([]Beside, error)
}

// A Beside is something that is wrong there. Mend puts it right.
type Beside struct {
	Kind, Path, Problem, Remedy string
	Mend                        func(ctx context.Context) error
}

// check returns an error when the drop box is not there: every record of a file in
// it would be one of a file that has gone.
func (o *Options) check() error {
	if o.Local == "" {
		return nil
	}
	switch fi, err := os.Stat(o.Local); {
	case err != nil:
		return fmt.Errorf("distfiles-local: %w", err)
	case !fi.IsDir():
		return fmt.Errorf("distfiles-local: %s is not a directory", o.Local)
	}
	return nil
}

// A Finding is something that is wrong with an archive. Its JSON form is
// stable.
type Finding struct {
	// Kind is one of the Find constants.
	Kind string `json:"kind"`
	// Path is the file that is concerned, Name and SHA256 the content, as
	// far as there is one.
	Path   string `json:"path,omitempty"`
	Name   string `json:"name,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Problem says what is wrong, Remedy what is done about it. A finding
	// without a remedy is for a person to put right.
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
	// Repaired says that it was done, and that the archive, looked at again,
	// does not have the problem any more. Error is why it could not be.
	Repaired bool   `json:"repaired"`
	Error    string `json:"error,omitempty"`

	// fix, adopt and link are how it is put right: one of them.
	fix   func(context.Context) error
	late  bool // fix comes after everything was adopted and linked
	adopt []*adoptee
	link  *vault.Addition
}

// The kinds of findings.
const (
	FindLedger      = "ledger"       // damaged, or without records
	FindLost        = "lost"         // a record without bytes
	FindUnread      = "unread"       // what is at a path of a record cannot be told
	FindChanged     = "changed"      // a file that is not the one that was verified
	FindForeign     = "foreign"      // somebody else can write to the file of a record
	FindMissingLink = "missing-link" // a path of a record is not there
	FindWrongLink   = "wrong-link"   // a path of a record is another file
	FindNoPath      = "no-path"      // a layout has no path for a record
	FindTwice       = "name-twice"   // two records have one name
	FindUnknown     = "unknown-file" // bytes without a record
	FindSuperfluous = "superfluous"  // a further link to a file that has a record
	FindFormer      = "former-layout"
	FindShut        = "shut"        // readers are kept out by its mode
	FindIrregular   = "not-regular" // neither file nor directory
	FindEmpty       = "empty-directory"
	FindPending     = "interrupted" // a deletion that a crash interrupted
	FindRecycle     = "recycle"     // a record without its file in recycle, or the other way round
	FindLeftOver    = "left-over"   // a part that no transfer goes on with
	FindRecord      = "record"      // a record about nothing
	FindList        = "list"        // distinfo, history or an export cannot be read or is not true
)

func (f *Finding) key() string {
	return f.Kind + "\x00" + f.Path + "\x00" + f.Name + "\x00" + f.SHA256
}

// A Report says what Doctor found.
type Report struct {
	Command string        `json:"command"`
	Start   time.Time     `json:"start"`
	Took    time.Duration `json:"took_ns"`
	Repair  bool          `json:"repair"`
	// Archive and Recycle are what the ledger knows of at the end.
	Archive  layout.Count `json:"archive"`
	Recycle  layout.Count `json:"recycle"`
	Findings []*Finding   `json:"findings"`
	// Strays are what lies where no layout would have it.
	Strays []Stray `json:"strays,omitempty"`
}

// Left is the number of findings that were not repaired.
func (r *Report) Left() int {
	n := 0
	for _, f := range r.Findings {
		if !f.Repaired {
			n++
		}
	}
	return n
}

// Doctor compares the archive with its ledger and its layouts, in both
// directions, and, with Repair, makes them agree. It reads no file's bytes unless
// it has to tell what they are in order to repair, or which of several files at the
// paths of a record is right.
//
// It never removes the only link to any bytes: what nobody knows is read and
// recorded, and what is not what its path promises goes to quarantine. A ledger
// that cannot be used is moved aside, and a new one is made of what the archive
// has: the published files, by_cipher and recycle, with the times and owners of
// the last export where it is still there. Nothing has to be fetched again.
//
// The error is that of vault.Open, or one that vault.Broken knows;
// findings are no error.
func Doctor(ctx context.Context, o vault.Options, d Options) (r *Report, err error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	doc := &doctor{o: d, sums: make(map[judged]digest.Digest), report: &Report{Command: "doctor", Repair: d.Repair, Findings: []*Finding{}}}
	v, err := vault.OpenBy(o, doc.openLedger)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	doc.report.Start = v.Now
	if v.Ledger() != nil {
		if err := v.Load(ctx); err != nil {
			return nil, err
		}
		doc.v = v
		doc.sayCopy()
		if err = doc.run(ctx); err == nil && v.Remote == nil {
			doc.report.Strays, err = strays(ctx, v)
		}
		var s report.Summary
		export.Totals(&s, v.Index, v.Now)
		doc.report.Archive, doc.report.Recycle = s.Archive, s.Recycle
	}
	doc.report.Took = v.Options.Now().Sub(v.Began)
	return doc.report, err
}

// A doctor examines an archive and repairs it, over and over until there is
// nothing left that it can do.
type doctor struct {
	v      *vault.Vault
	o      Options
	report *Report
	// sums are of the files that had to be read.
	sums map[judged]digest.Digest
	// last is the last examination.
	last *examination
	// records makes records of what was read.
	records *recorder
}

// openLedger opens the ledger, or, if it cannot be used, moves it aside and
// makes a new one; without leave to repair the archive stays without.
func (d *doctor) openLedger(v *vault.Vault) error {
	err := tryLedger(v)
	dir := v.Store.LedgerDir()
	if fi, serr := os.Lstat(dir); serr == nil && !fi.IsDir() {
		err = damagedLedger{fmt.Errorf("%s is not a directory", dir)}
	}
	if err == nil || !errors.Is(err, ledger.ErrDamaged) {
		return err
	}
	f := &Finding{
		Kind: FindLedger, Path: dir, Problem: report.OneLine(err.Error()),
		Remedy: "move it aside and make a new one of what the archive has",
	}
	d.report.Findings = append(d.report.Findings, f)
	if !d.o.Repair {
		return nil
	}
	aside := dir + ".damaged-" + v.Now.Format("20060102T150405Z")
	if _, err := os.Lstat(aside); err == nil {
		return vault.Damage(fmt.Errorf("%s is there already: wait a second", aside))
	}
	if err := os.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return vault.Damage(err)
	}
	f.Remedy = "moved to " + aside + "; a new one is made of what the archive has"
	if err := tryLedger(v); err != nil {
		return err
	}
	f.Repaired = true
	return nil
}

// tryLedger opens the ledger and reads all of it. An error that wraps
// ledger.ErrDamaged leaves it closed.
func tryLedger(v *vault.Vault) error {
	if err := v.OpenLedger(); err != nil {
		return err
	}
	if err := v.Ledger().Check(); err != nil {
		return errors.Join(err, v.CloseLedger())
	}
	return nil
}

// A damagedLedger cannot be used, whatever the error itself says.
type damagedLedger struct{ error }

func (d damagedLedger) Unwrap() []error { return []error{d.error, ledger.ErrDamaged} }

// maxPasses bounds the repairs: what one makes possible the next one does, and
// three are the most that one defect needs.
const maxPasses = 6

func (d *doctor) run(ctx context.Context) error {
	var last []string
	for pass := range maxPasses {
		var err error
		if d.v.Remote != nil {
			d.last, err = d.examineRemote(ctx)
		} else {
			d.last, err = examine(ctx, d.v, d.o.Local, d.sums)
		}
		if err != nil {
			return err
		}
		d.merge(pass)
		keys := make([]string, len(d.last.findings))
		for i, f := range d.last.findings {
			keys[i] = f.key()
		}
		if !d.o.Repair || len(keys) == 0 || slices.Equal(keys, last) {
			break
		}
		last = keys
		if err := d.repair(ctx); err != nil {
			return err
		}
	}
	if !d.o.Repair {
		return nil
	}
	return export.Refresh(d.v, "doctor")
}

// merge brings the report up to date with an examination: what is not found any
// more is repaired.
func (d *doctor) merge(pass int) {
	now := make(map[string]*Finding, len(d.last.findings))
	for _, f := range d.last.findings {
		// Two layouts may ask for one path: the finding is one.
		if now[f.key()] == nil {
			now[f.key()] = f
		}
	}
	for _, f := range d.report.Findings {
		again := now[f.key()]
		if again != nil {
			f.Repaired = false
			f.fix, f.late, f.adopt, f.link = again.fix, again.late, again.adopt, again.link
			delete(now, f.key())
		} else if pass > 0 {
			f.Repaired, f.Error = true, ""
		}
	}
	for i, f := range d.last.findings {
		if now[f.key()] == f {
			d.report.Findings = append(d.report.Findings, f)
			continue
		}
		j := slices.IndexFunc(d.report.Findings, func(o *Finding) bool { return o.key() == f.key() })
		d.last.findings[i] = d.report.Findings[j] // errors are noted there
	}
}

// repair puts right what the last examination found. What is wrong with a
// single finding is noted there; the error means that the archive cannot be
// written to.
func (d *doctor) repair(ctx context.Context) error {
	if err := d.fixAll(ctx, false); err != nil {
		return err
	}
	if d.records == nil {
		d.records = &recorder{v: d.v}
	}
	if err := d.records.adoptAll(ctx, d.last.findings); err != nil {
		return err
	}
	for _, f := range d.last.findings {
		if f.link != nil {
			d.last.links = append(d.last.links, f.link)
		}
	}
	links := d.last.links
	d.last.links = nil
	for chunk := range slices.Chunk(links, vault.BatchFiles) {
		if err := d.v.Publish(chunk, nil); err != nil {
			return err
		}
	}
	return d.fixAll(ctx, true)
}

func (d *doctor) fixAll(ctx context.Context, late bool) error {
	for _, f := range d.last.findings {
		if f.fix == nil || f.late != late {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := f.fix(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			if vault.Broken(err) {
				return err
			}
			f.Error = report.OneLine(err.Error())
		}
	}
	return d.v.Store.SyncRemoved()
}
