package vault

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An Addition is one record to be made, and what has to be true on disk before.
type Addition struct {
	Entry ledger.Distfile
	// Part is the verified .part, and Have a file of the archive to link. When
	// neither is set, one that holds the content is looked for.
	Part string
	Have store.Source
	// Want is the failure that ends with it, or zero when no package wants it.
	Want ledger.FailureKey
	// Drop is the record of the drop-box file that it came from.
	Drop *ledger.Dropped
	// Read says that it was read where it is, and may be known: then the record
	// that there is stays, with what was learnt.
	Read bool
	// New says that it adds to the archive: Events.Added is told. Publish takes
	// it back for what turns out to be known.
	New bool

	// Done says that it is published and recorded, Err why it could not be:
	// set by Publish.
	Done bool
	Err  error

	item *store.Item // made when its bytes are made durable
}

// wanted reports whether a package wants it.
func (a *Addition) wanted() bool { return a.Want != ledger.FailureKey{} }

// itemOf returns what the store is given: a link to have, or the part.
func (a *Addition) itemOf(have store.Source) *store.Item {
	if a.item == nil || have.Path != "" {
		a.item = &store.Item{Content: a.Entry.Content, Part: a.Part, Have: have}
	}
	return a.item
}

// BatchFiles is how many additions Publish should get at once: what a crash costs,
// and how long a file waits to be published.
const BatchFiles = 2048

// Publish publishes and records additions, in that order. When two contents get
// one name, the later one keeps it. An addition that cannot be published has Err set,
// and is warned of when no package wants it; the others are published all the same.
// The parts of next, which a later call is to publish, may be made durable with them.
func (v *Vault) Publish(adds, next []*Addition) error {
	named := make(map[catalog.Name]digest.Digest, len(adds))
	for i, a := range adds {
		if !a.Entry.Named {
			continue
		}
		if _, twice := named[a.Entry.Name]; twice {
			err := v.hold(adds[i:], named)
			if err == nil {
				err = v.Publish(adds[:i], nil)
			}
			if err != nil {
				return err
			}
			return v.Publish(adds[i:], next)
		}
		named[a.Entry.Name] = a.Entry.SHA256()
	}
	p := &publication{Vault: v, adds: adds}
	p.chooseItems()
	return p.publish(next)
}

// A publication is one call of Publish, with additions of which no two want one
// name.
type publication struct {
	*Vault
	adds  []*Addition
	items []*store.Item // those of adds
}

// publish publishes and records the additions.
func (p *publication) publish(next []*Addition) error {
	coming := make([]*store.Item, len(next))
	for i, a := range next {
		coming[i] = a.itemOf(store.Source{})
	}
	nameless := p.nameless()
	err := p.depot.Publish(slices.Concat(p.items, nameless), coming)
	p.WarnReplaced()
	if err != nil {
		return Damage(err)
	}
	for _, it := range nameless {
		for _, rel := range it.CipherPaths() {
			p.Disk.Look(rel)
		}
	}
	if err := p.record(); err != nil {
		return err
	}
	if err := p.Store.Parts.Release(p.items); err != nil {
		p.Warn("%v", err)
	}
	return nil
}

// record records what was published.
func (p *publication) record() error {
	var b ledger.Batch
	var former []*ledger.Distfile
	var back []ledger.Key
	for i, a := range p.adds {
		if a.Err = p.items[i].Err; a.Err != nil {
			p.advise(a)
			continue
		}
		a.Entry.ModTime = p.items[i].ModTime.UTC()
		former = append(former, p.put(&b, a)...)
		// Whatever brought it back: under this name it is not in recycle any more.
		if p.Index.Recycled[a.Entry.Key()] != nil {
			back = append(back, a.Entry.Key())
		}
	}
	p.Recycle.beginPurge(&b, back)
	if err := p.Commit(&b); err != nil {
		return err
	}
	for i, a := range p.adds {
		if a.Err == nil {
			p.recorded(a, p.items[i])
		}
	}
	claims := p.Claims()
	for _, d := range former {
		p.DropFormerPaths(d, claims)
	}
	return p.Recycle.endPurge(back)
}

// advise says what to do about a, which cannot be published, to whoever reads its
// Err; nobody does where no package wants it.
func (p *publication) advise(a *Addition) {
	if errors.Is(a.Err, store.ErrDamaged) {
		// Its names are one to verify.
		name := a.Entry.Name
		if ds := p.Index.WithSum(a.Entry.SHA256()); p.Index.Distfiles.Get(a.Entry.Key()) == nil && len(ds) > 0 {
			name = ds[0].Name
		}
		a.Err = fmt.Errorf("%w: run distkeep verify %s", a.Err, name)
	}
	if !a.wanted() {
		p.Warn("%s: %v", a.Entry.Name, a.Err)
	}
}

// put puts into b what the ledger has to know about a. It returns the record that
// loses the name to it.
func (p *publication) put(b *ledger.Batch, a *Addition) (former []*ledger.Distfile) {
	d := &a.Entry
	p.Changed = true
	b.PutDistfile(d)
	if old := p.Index.Named(d.Name); d.Named && old != nil && old.Key() != d.Key() {
		without := *old
		without.Named = false
		b.PutDistfile(&without)
		b.PutSuccess(ledger.NewSuccess(&old.Content, old.Origin, ledger.Replaced, p.Now))
		former = append(former, old)
	}
	if p.Index.Deletions[d.Key()] != nil && a.wanted() {
		b.DropDeletion(d.Key())
	}
	if len(p.Index.Failures) > 0 {
		p.dropFailures(b, a)
	}
	if a.Drop != nil {
		b.PutDropped(a.Drop)
	}
	if a.New {
		what := ledger.Added
		if d.Origin == ledger.OriginRecycle {
			what = ledger.Restored
		}
		b.PutSuccess(ledger.NewSuccess(&d.Content, d.Origin, what, p.Now))
	}
	return former
}

// dropFailures drops those that end with a.
func (p *publication) dropFailures(b *ledger.Batch, a *Addition) {
	ended := []ledger.FailureKey{a.Entry.Failure(ledger.Lost), a.Entry.Failure(ledger.Unread)}
	if a.wanted() {
		ended = append(ended, a.Want)
	}
	for _, k := range ended {
		if p.Index.Failures[k] != nil {
			b.DropFailure(k)
		}
	}
}

// recorded makes what is known of the disk follow the ledger.
func (p *publication) recorded(a *Addition, it *store.Item) {
	d := &a.Entry
	if paths, err := p.Shelf.Layouts.Paths(&it.Content); err == nil {
		for _, rel := range paths {
			p.Disk.Set(rel, layout.File{Size: d.Size, ModTime: d.ModTime})
		}
	}
	if a.Done = true; a.New {
		p.Events.Added(OwnerPackage(d.Owner), string(d.Name), d.Size, d.Origin)
	}
}

// hold publishes by their digests the files that adds are linked from, where the
// name goes to another content before: that takes their places.
func (v *Vault) hold(adds []*Addition, before map[catalog.Name]digest.Digest) error {
	var held []*Addition
	var items []*store.Item
	seen := make(map[ledger.Key]bool)
	for _, a := range adds {
		c := a.Entry.Content
		c.Named = false
		sum, named := before[a.Entry.Name]
		if a.Have.Path == "" || !named || sum == a.Entry.SHA256() || seen[a.Entry.Key()] ||
			a.Have.Path == v.Store.Path(c.CipherPaths()[0]) {
			continue
		}
		seen[a.Entry.Key()] = true
		held = append(held, a)
		items = append(items, &store.Item{Content: c, Have: a.Have})
	}
	if len(items) == 0 {
		return nil
	}
	if err := v.depot.Publish(items, nil); err != nil {
		return Damage(err)
	}
	for i, it := range items {
		if it.Err == nil {
			held[i].Have.Path = v.Store.Path(it.CipherPaths()[0])
		}
	}
	return nil
}

// chooseItems chooses the file that each addition is linked from.
func (p *publication) chooseItems() {
	p.items = make([]*store.Item, len(p.adds))
	first := make(map[digest.Digest]string) // the part that others of its content are linked to
	for i, a := range p.adds {
		if a.Read {
			p.recall(a)
		}
		if a.Have.Path == "" {
			a.Have = p.holding(a.Entry.SHA256())
		}
		if part, twice := first[a.Entry.SHA256()]; a.Have.Path == "" && twice {
			a.Have, _ = store.Look(part)
		}
		if a.Have.Path == "" && a.Part != "" {
			first[a.Entry.SHA256()] = a.Part
		}
		p.items[i] = a.itemOf(a.Have)
		if old := p.Index.Named(a.Entry.Name); a.Entry.Named && old != nil && old.Key() != a.Entry.Key() {
			p.items[i].Former = p.Store.Path(old.CipherPaths()[0])
		}
	}
}

// recall joins a with what the ledger knows of the content that was read.
func (p *publication) recall(a *Addition) {
	old := p.Index.Distfiles.Get(a.Entry.Key())
	if old == nil {
		return
	}
	a.New = false
	if a.Drop != nil {
		return
	}
	if fi, err := os.Lstat(a.Have.Path); a.Have.Path != "" && (err != nil || !os.SameFile(fi, a.Have.Was)) {
		// Another copy of it was read before, and has got its paths.
		if src := p.holding(a.Entry.SHA256()); src.Path != "" {
			a.Have = src
		}
	}
	d := *old
	d.Digests, d.Verified = old.Digests.Union(a.Entry.Digests), a.Entry.Verified
	if a.wanted() {
		d.Named, d.Owner, d.Kind = a.Entry.Named, a.Entry.Owner, a.Entry.Kind
	}
	a.Entry = d
}

// nameless are the contents that lose their names to the additions, where they are
// not below by_cipher: they have to be there before the names go.
func (p *publication) nameless() (items []*store.Item) {
	for _, a := range p.adds {
		old := p.Index.Named(a.Entry.Name)
		if !a.Entry.Named || old == nil || old.Key() == a.Entry.Key() {
			continue
		}
		c := old.Content
		c.Named = false
		if slices.ContainsFunc(c.CipherPaths(), func(rel string) bool { return !p.Shelf.Intact(&c, rel) }) {
			if src := p.Source(old); src.Path != "" {
				items = append(items, &store.Item{Content: c, Have: src})
			}
		}
	}
	return items
}

// WarnReplaced tells of the files that others were published in place of.
func (v *Vault) WarnReplaced() {
	for _, kept := range v.Store.Quarantine.Replaced() {
		v.Warn("%s: somebody put this file where the archive has one of its own", kept)
	}
}
