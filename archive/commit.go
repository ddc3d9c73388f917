package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// An addition is one record to be made, and what has to be true on disk before.
type addition struct {
	entry ledger.Distfile
	part  string          // the verified file, or
	have  store.Source    // a file of the archive to link: when neither is set, one that holds the content
	want  *want           // nil when no package wants it
	drop  *ledger.Dropped // it came from the drop box
	read  bool            // it was on disk, and may be known
	total *Count          // where it is counted, if at all
	count *int            // or there
	item  *store.Item     // made when its bytes are made durable
	err   error           // why it could not be published
}

// itemOf returns what the store is given: a link to have, or the part.
func (a *addition) itemOf(have store.Source) *store.Item {
	if a.item == nil || have.Path != "" {
		a.item = &store.Item{Content: a.entry.Content, Part: a.part, Have: have}
	}
	return a.item
}

// A batch bounds what one synchronisation makes durable and one transaction
// records: what a crash costs, and how long a file waits to be published.
const (
	batchFiles = 2048
	batchBytes = 256 << 20
	batchAge   = time.Second
	// enough is a batch of what came while another was committed: its bytes
	// are durable by then, and it is not kept waiting.
	enough = 256
)

// add publishes and records additions, in that order. Of two contents that get
// one name the later keeps it, as if they had come in two batches. The parts of
// next may be made durable with them.
func (m *mirror) add(adds, next []*addition) error {
	named := make(map[catalog.Name]digest.Digest, len(adds))
	for i, a := range adds {
		if !a.entry.Named {
			continue
		}
		if _, twice := named[a.entry.Name]; twice {
			err := m.hold(adds[i:], named)
			if err == nil {
				err = m.add(adds[:i], nil)
			}
			if err != nil {
				return err
			}
			return m.add(adds[i:], next)
		}
		named[a.entry.Name] = a.entry.SHA256()
	}
	items := m.itemsOf(adds)
	coming := make([]*store.Item, len(next))
	for i, a := range next {
		coming[i] = a.itemOf(store.Source{})
	}
	nameless := m.nameless(adds)
	err := m.store.Commit(slices.Concat(items, nameless), coming)
	m.warnReplaced()
	if err != nil {
		return mark(ErrBroken, err)
	}
	for _, it := range nameless {
		for _, rel := range it.CipherPaths() {
			m.view.disk.Look(rel)
		}
	}
	var b ledger.Batch
	var former []*ledger.Distfile
	for i, a := range adds {
		if a.err = items[i].Err; a.err != nil {
			m.unpublishable(a)
			continue
		}
		a.entry.ModTime = items[i].ModTime.UTC()
		former = append(former, m.record(&b, a)...)
	}
	var back []ledger.Key
	for _, a := range adds {
		// Whatever brought it back: under this name it is not in recycle any more.
		if a.err == nil && m.view.index.Recycled[a.entry.Key()] != nil {
			back = append(back, a.entry.Key())
		}
	}
	m.beginPurge(&b, back)
	if err := m.commit(&b); err != nil {
		return err
	}
	for i, a := range adds {
		if a.err == nil {
			m.recorded(a, items[i])
		}
	}
	claims := m.claims()
	for _, d := range former {
		m.dropFormerPaths(d, claims)
	}
	if err := m.store.Release(items); err != nil {
		m.warn("%v", err)
	}
	return m.endPurge(back)
}

// hold publishes by their digests the files that adds are linked from, where the
// name goes to another content before: that takes their places.
func (m *mirror) hold(adds []*addition, before map[catalog.Name]digest.Digest) error {
	var held []*addition
	var items []*store.Item
	seen := make(map[ledger.Key]bool)
	for _, a := range adds {
		c := a.entry.Content
		c.Named = false
		sum, named := before[a.entry.Name]
		if a.have.Path == "" || !named || sum == a.entry.SHA256() || seen[a.entry.Key()] ||
			a.have.Path == m.store.Path(c.CipherPaths()[0]) {
			continue
		}
		seen[a.entry.Key()] = true
		held = append(held, a)
		items = append(items, &store.Item{Content: c, Have: a.have})
	}
	if len(items) == 0 {
		return nil
	}
	if err := m.store.Commit(items, nil); err != nil {
		return mark(ErrBroken, err)
	}
	for i, it := range items {
		if it.Err == nil {
			held[i].have.Path = m.store.Path(it.CipherPaths()[0])
		}
	}
	return nil
}

// itemsOf chooses the file that each of adds is linked from.
func (m *mirror) itemsOf(adds []*addition) []*store.Item {
	items := make([]*store.Item, len(adds))
	first := make(map[digest.Digest]store.Source) // the part that others of its content are linked to
	for i, a := range adds {
		if a.read {
			m.recall(a)
		}
		if a.have.Path == "" {
			a.have = m.holding(&a.entry)
		}
		if a.have.Path == "" {
			a.have = first[a.entry.SHA256()]
		}
		if a.have.Path == "" && a.part != "" {
			first[a.entry.SHA256()], _ = store.Look(a.part)
		}
		items[i] = a.itemOf(a.have)
		if old := m.view.index.Named(a.entry.Name); a.entry.Named && old != nil && old.Key() != a.entry.Key() {
			items[i].Former = m.store.Path(old.CipherPaths()[0])
		}
	}
	return items
}

// nameless are the contents that lose their names to adds, where they are not
// below by_cipher: they have to be there before the names go.
func (m *mirror) nameless(adds []*addition) (items []*store.Item) {
	p := &planner{view: m.view}
	for _, a := range adds {
		old := m.view.index.Named(a.entry.Name)
		if !a.entry.Named || old == nil || old.Key() == a.entry.Key() {
			continue
		}
		c := old.Content
		c.Named = false
		if slices.ContainsFunc(c.CipherPaths(), func(rel string) bool { return !p.intact(old, rel) }) {
			if src := m.view.source(old); src.Path != "" {
				items = append(items, &store.Item{Content: c, Have: src})
			}
		}
	}
	return items
}

// warnReplaced tells of the files that others were published in place of.
func (m *mirror) warnReplaced() {
	for _, kept := range m.store.Replaced() {
		m.warn("%s: somebody put this file where the archive has one of its own", kept)
	}
}

// holding returns a file of the archive that holds the content already, as it is
// now.
func (m *mirror) holding(d *ledger.Distfile) store.Source {
	for _, o := range m.view.index.WithSum(d.SHA256()) {
		if src := m.view.source(o); src.Path != "" {
			return src
		}
	}
	return store.Source{}
}

// source returns the verified file of d to link from, as it is now: that below
// by_cipher, which stays when names change their contents, or else one that has
// the name.
func (v *view) source(d *ledger.Distfile) store.Source {
	c := &d.Content
	rels := c.CipherPaths()
	if d.Named {
		for _, l := range slices.Concat([]layout.Layout(v.store.Layouts()), v.former) {
			rels = append(rels, d.Path(l))
		}
	}
	for _, rel := range rels {
		if rel == "" {
			continue
		}
		src, err := store.Look(v.store.Path(rel))
		if err == nil && src.Was.Mode().IsRegular() && src.Was.Size() == d.Size && src.Was.ModTime().Equal(d.ModTime) {
			return src
		}
	}
	return store.Source{}
}

// unpublishable turns a name that cannot be published into a failure. That a
// file is not what its record says is one even if no package wants it.
func (m *mirror) unpublishable(a *addition) {
	w := a.want
	if errors.Is(a.err, store.ErrDamaged) {
		// Its names are one to verify.
		name := a.entry.Name
		if ds := m.view.index.WithSum(a.entry.SHA256()); m.view.index.Distfiles[a.entry.Key()] == nil && len(ds) > 0 {
			name = ds[0].Name
		}
		a.err = fmt.Errorf("%w: run distkeep verify %s", a.err, name)
		if w == nil {
			key := ledger.FailureKey{Name: a.entry.Name, Want: noWant}
			m.failing[key] = &failing{key, a.entry.Owner, failure.Local, a.err.Error()}
		}
	}
	if w == nil {
		m.warn("%s: %v", a.entry.Name, a.err)
		return
	}
	m.failing[w.failureKey()] = &failing{w.failureKey(), w.owner(), failure.Local, a.err.Error()}
}

// record puts into b what the ledger has to know about a. It returns the
// record that loses the name to it.
func (m *mirror) record(b *ledger.Batch, a *addition) (former []*ledger.Distfile) {
	d := &a.entry
	m.changed = true
	b.PutDistfile(d)
	if old := m.view.index.Named(d.Name); d.Named && old != nil && old.Key() != d.Key() {
		without := *old
		without.Named = false
		b.PutDistfile(&without)
		former = append(former, old)
	}
	if m.view.index.Deletions[d.Key()] != nil && a.want != nil {
		b.DropDeletion(d.Key())
	}
	if a.want != nil && m.view.index.Failures[a.want.failureKey()] != nil {
		b.DropFailure(a.want.failureKey())
	}
	for _, kind := range []string{gone, "read"} {
		if key := aboutRecord(kind, d); m.view.index.Failures[key] != nil {
			b.DropFailure(key)
		}
	}
	if a.drop != nil {
		b.PutDropped(a.drop)
	}
	if a.total != nil {
		b.PutSuccess(&ledger.Success{Key: d.Key(), Time: m.now, Bytes: d.Size, Origin: d.Origin})
	}
	return former
}

// recorded makes what is known of the disk follow the ledger, and counts a.
func (m *mirror) recorded(a *addition, it *store.Item) {
	d := &a.entry
	if a.want != nil {
		delete(m.failing, a.want.failureKey())
	}
	for _, kind := range []string{gone, "read"} {
		delete(m.failing, aboutRecord(kind, d))
	}
	if paths, err := m.store.Layouts().Paths(&it.Content); err == nil {
		for _, rel := range paths {
			m.view.disk.Set(rel, store.File{Size: d.Size, ModTime: d.ModTime})
		}
	}
	if a.count != nil {
		*a.count++
	}
	if a.total != nil {
		a.total.add(d.Size)
		m.Archive.o.Events.added(d, d.Origin)
	}
}

// dropFormerPaths removes the paths that d had by its content alone while it
// held the name, unless another name of the same content still has them.
func (m *mirror) dropFormerPaths(d *ledger.Distfile, claims *claims) {
	c := &d.Content
	keep := claims.keeper(d)
	for _, l := range m.store.Layouts() {
		rel := d.Path(l)
		if !l.IsContentHash() || rel == "" || keep(rel) {
			continue
		}
		if _, ok := m.view.disk.Get(rel); !ok {
			continue
		}
		if err := m.store.Unlink(rel, c.CipherPaths()[0]); err != nil {
			m.warn("%v", err)
			continue
		}
		m.view.disk.Set(rel, store.File{Size: -1})
	}
}

// claims tell which paths the records of a content need, as long as the index
// stays as it is. A content may have thousands of names: its paths are counted
// once for all of them.
type claims struct {
	m     *mirror
	count map[digest.Digest]map[string]int
}

func (m *mirror) claims() *claims {
	return &claims{m, make(map[digest.Digest]map[string]int)}
}

// keeper returns a function that reports whether a path of d is needed by
// another record.
func (c *claims) keeper(d *ledger.Distfile) func(rel string) bool {
	count := c.count[d.SHA256()]
	if count == nil {
		count = make(map[string]int)
		for _, o := range c.m.view.index.WithSum(d.SHA256()) {
			c.add(count, o)
		}
		c.count[d.SHA256()] = count
	}
	own := make(map[string]int)
	if o := c.m.view.index.Distfiles[d.Key()]; o != nil {
		c.add(own, o)
	}
	return func(rel string) bool { return count[rel] > own[rel] }
}

// add counts the paths of d.
func (c *claims) add(count map[string]int, d *ledger.Distfile) {
	paths, err := c.m.store.Layouts().Paths(&d.Content)
	if err != nil {
		paths = d.CipherPaths()
	}
	for _, p := range paths {
		count[p]++
	}
}

// A committer collects what the transfers deliver and commits it in batches,
// from one goroutine, while the transfers go on.
type committer struct {
	m    *mirror
	in   chan []*addition
	done chan struct{}
	stop context.CancelCauseFunc

	mu       sync.Mutex
	received int64
	parked   Count // settled without a result
	err      error
}

// newCommitter starts a committer. When it fails, it calls stop.
func newCommitter(m *mirror, stop context.CancelCauseFunc) *committer {
	c := &committer{m: m, in: make(chan []*addition, batchFiles), done: make(chan struct{}), stop: stop}
	go c.run()
	return c
}

// settled takes the result of one transfer.
func (c *committer) settled(wants []*want, r fetch.Result) {
	c.mu.Lock()
	c.received += r.Received
	fe := (*fetch.Error)(nil)
	switch {
	case r.Err == nil || !errors.As(r.Err, &fe):
	case fe.Class == failure.Interrupted:
		for _, w := range wants {
			c.m.waited[w.failureKey()] = true
			c.parked.add(w.Size)
		}
	default:
		for _, w := range wants {
			c.m.tried[w.failureKey()] = fe
		}
		if fe.Class == failure.Disk && !errors.Is(fe, fetch.ErrRoom) {
			c.fail(mark(ErrBroken, fe))
		}
	}
	c.mu.Unlock()
	if r.Err != nil {
		return
	}
	store.Trace("write-part", r.Request.Part)
	store.Failpoint("part.verified")
	m := c.m
	var adds []*addition
	for _, w := range wants {
		origin := r.URL
		if origin == "" {
			origin = ledger.OriginAdopted
		} else if r.Lowered != "" {
			origin += " (" + r.Lowered + ")"
		}
		adds = append(adds, &addition{
			want: w, part: r.Request.Part, total: &m.sum.Fetched,
			entry: ledger.Distfile{
				Content: layout.Content{Name: w.Name, Digests: r.Digests, Size: r.Size, Named: w.named, Kind: w.Kind},
				Owner:   w.owner(), Origin: origin, Added: m.now, Verified: m.now,
			},
		})
	}
	c.in <- adds
}

// fail notes the error that ends the run. c.mu is held.
func (c *committer) fail(err error) {
	if c.err == nil {
		c.err = err
		c.stop(err)
	}
}

// A batch is what is committed together.
type batch struct {
	adds  []*addition
	bytes int64
}

func (b *batch) add(adds []*addition) {
	for _, a := range adds {
		b.bytes += a.entry.Size
	}
	b.adds = append(b.adds, adds...)
}

func (b *batch) full() bool { return len(b.adds) >= batchFiles || b.bytes >= batchBytes }

// run commits batches until in is closed. After an error it only drains: the
// parts stay for the next run.
func (c *committer) run() {
	defer close(c.done)
	var b batch
	age := time.NewTimer(batchAge)
	age.Stop()
	for {
		select {
		case adds, ok := <-c.in:
			if !ok {
				c.commit(b.adds, nil)
				return
			}
			if len(b.adds) == 0 {
				age.Reset(batchAge)
			}
			b.add(adds)
			if !b.full() {
				continue
			}
		case <-age.C:
		}
		for more := true; more; more = len(b.adds) >= enough {
			next := c.waiting()
			c.commit(b.adds, next.adds)
			b = next
		}
		if age.Stop(); len(b.adds) > 0 {
			age.Reset(batchAge)
		}
	}
}

// waiting returns what has come while a batch was committed.
func (c *committer) waiting() (b batch) {
	for !b.full() {
		select {
		case adds := <-c.in:
			if adds == nil {
				return b
			}
			b.add(adds)
		default:
			return b
		}
	}
	return b
}

// commit commits a batch unless one has failed.
func (c *committer) commit(adds, next []*addition) {
	c.mu.Lock()
	failed := c.err != nil && !errors.Is(c.err, context.Canceled)
	c.mu.Unlock()
	if failed || len(adds) == 0 {
		return
	}
	if err := c.m.add(adds, next); err != nil {
		c.mu.Lock()
		c.fail(err)
		c.mu.Unlock()
	}
}

// close commits the rest and returns the error that ended the run, if any. The
// transfers have ended.
func (c *committer) close() error {
	close(c.in)
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m.sum.Received += c.received
	return c.err
}
