package views

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// A viewing is the publication of one view.
type viewing struct {
	vs     *Views
	v      *catalog.View
	repo   string
	known  map[string]ledger.View
	claims map[string]*ledger.Distfile // paths of the links of this run's views
	state  string
	why    string
	absence
	// early are new paths; late replace what the old index may name, and so
	// wait for the new one.
	early, late   []store.Link
	files, lately []store.Copy
	// ways are links to what is in the pool.
	ways []store.Link
}

func (p *viewing) rel(name catalog.Name) string { return path.Join(p.v.Dir, string(name)) }

// home is where the distfile of that name is: in the pool, if there is one.
func (p *viewing) home(name catalog.Name) string {
	if p.v.Pool == "" {
		return p.rel(name)
	}
	return path.Join(p.v.Pool, string(name))
}

// key is the view's key among the published ones.
func (p *viewing) key() string { return p.rel(p.v.Names().Name) }

func (p *viewing) holdBack(format string, args ...any) {
	p.state, p.why = report.ViewHeldBack, fmt.Sprintf(format, args...)
}

// publish does what has to be done, in this order: the distfiles and what is
// beside them appear and are durable; then the index replaces the old one; then
// what the old index had and the new one has not goes.
func (p *viewing) publish(ctx context.Context) error {
	if why := p.blocked(); why != "" {
		p.holdBack("%s", why)
		return nil
	}
	held, ok := p.resolve()
	if !ok {
		return p.remember()
	}
	current, err := p.current()
	if err != nil {
		return err
	}
	if err := p.compare(ctx, held, current); err != nil || p.state == report.ViewHeldBack {
		return err
	}
	if current && len(p.early)+len(p.late)+len(p.files)+len(p.lately)+len(p.ways) == 0 {
		p.state = report.ViewCurrent
		return p.record()
	}
	return p.expose(current)
}

// blocked returns why the view must not be published, whatever the archive has,
// or "".
func (p *viewing) blocked() string {
	for _, dir := range []string{p.v.Dir, p.v.Pool} {
		if dir != "" && slices.ContainsFunc(p.vs.v.Store.Layouts(), func(l layout.Layout) bool { return l.InBuckets(dir) }) {
			return fmt.Sprintf("a layout of the archive uses the directory %s as well", dir)
		}
	}
	return p.v.Blocked
}

// resolve finds the contents of all links.
func (p *viewing) resolve() ([]*ledger.Distfile, bool) {
	held := make([]*ledger.Distfile, len(p.v.Links))
	var missing []catalog.Name
	for i, l := range p.v.Links {
		for _, d := range p.vs.v.Index.ByName(l.Name) {
			if d.Satisfies(l.Distfile) {
				if p.vs.v.Shelf.Sound(&d.Content) != "" {
					held[i] = d
					break
				}
			}
		}
		switch rel := p.home(l.Name); {
		case held[i] == nil:
			missing = append(missing, l.Name)
		case p.claims[rel] != nil && p.claims[rel].SHA256() != held[i].SHA256():
			p.holdBack("%s is to be two contents, %s and %s", rel, p.claims[rel].SHA256().Hex(), held[i].SHA256().Hex())
			return nil, false
		default:
			p.claims[rel] = held[i]
		}
	}
	return held, p.miss(missing)
}

// current reports whether the published index is the one that is to be.
func (p *viewing) current() (bool, error) {
	old := p.known[p.key()].Index
	if len(old) != len(p.v.Index) {
		return false, nil
	}
	for _, f := range p.v.Index {
		is, err := p.published(old[p.rel(f.Name)], &f)
		if err != nil || !is {
			return false, err
		}
	}
	return true, nil
}

// published reports whether f is what is published as old.
func (p *viewing) published(old ledger.IndexFile, f *catalog.IndexFile) (bool, error) {
	at, ok, err := p.vs.v.Store.Views.Stat(p.rel(f.Name))
	return ok && old.SHA256 == f.SHA256 && at.Size == old.Size && at.ModTime.Equal(old.ModTime), err
}

// foreign reports whether an index file is there that was not published.
func (p *viewing) foreign(rel string) (bool, error) {
	old := p.known[p.key()].Index[rel]
	at, ok, err := p.vs.v.Store.Views.Stat(rel)
	return ok && (at.Size != old.Size || !at.ModTime.Equal(old.ModTime)), err
}

// compare finds out which links and small files are to be made, and has the
// contents checked that are not linked yet.
func (p *viewing) compare(ctx context.Context, held []*ledger.Distfile, current bool) error {
	all := p.known[p.key()].Check != p.v.CheckID
	var unchecked []int
	for i, l := range p.v.Links {
		d, rel := held[i], p.home(l.Name)
		if d == nil {
			continue // it is published without
		}
		at, ok, err := p.vs.v.Store.Views.Stat(rel)
		if err != nil {
			return err
		}
		if err := p.way(l); err != nil {
			return err
		}
		intact := ok && at.Size == d.Size && at.ModTime.Equal(d.ModTime)
		if !intact {
			link := store.Link{Rel: rel, Have: p.vs.v.Source(d)}
			if there, err := p.there(ok, rel); err != nil {
				return err
			} else if there {
				p.late = append(p.late, link)
			} else {
				p.early = append(p.early, link)
			}
		}
		if l.Check != nil && (all || !intact) {
			unchecked = append(unchecked, i)
		}
		if l.Beside != nil {
			foreign := !ok || at.Links == 1
			if err := p.beside(rel+p.v.Suffix, l.Beside, ok && !intact, foreign, current); err != nil {
				return err
			}
		}
	}
	return p.check(ctx, held, unchecked)
}

// there reports whether something is at rel, where a regular file is if ok.
func (p *viewing) there(ok bool, rel string) (bool, error) {
	if ok {
		return true, nil
	}
	to, err := p.vs.v.Store.Views.Resolve(rel)
	return to != rel, err
}

// way compares the links to one distfile in the pool, and to what is beside it,
// with what is published.
func (p *viewing) way(l catalog.ViewLink) error {
	if p.v.Pool == "" {
		return nil
	}
	for _, suffix := range []string{"", p.v.Suffix} {
		if suffix != "" && l.Beside == nil {
			continue
		}
		rel, home := p.rel(l.Name)+suffix, p.home(l.Name)+suffix
		to, err := p.vs.v.Store.Views.Resolve(rel)
		if err != nil {
			return err
		}
		if to != home {
			p.ways = append(p.ways, store.Link{Rel: rel, To: home})
		}
	}
	return nil
}

// placed reports whether something is where the distfile of that name is to be.
func (p *viewing) placed(name catalog.Name) (bool, error) {
	_, ok, err := p.vs.v.Store.Views.Stat(p.home(name))
	if err != nil || !ok || p.v.Pool == "" {
		return ok, err
	}
	to, err := p.vs.v.Store.Views.Resolve(p.rel(name))
	return to == p.home(name), err
}

// beside compares a small file with what is published. While the index stays as
// it is, so does what stands beside the distfiles. What stands beside a foreign
// file is foreign.
func (p *viewing) beside(rel string, f *catalog.SmallFile, late, foreign, current bool) error {
	c := store.Copy{Rel: rel, Data: f.Data, From: f.Path, Foreign: foreign}
	at, there, err := p.vs.v.Store.Views.Stat(c.Rel)
	switch {
	case err != nil:
		return err
	case there && at.Size > 0 && current:
		return nil
	case there:
		same, err := p.sameSmall(c)
		if err != nil || same {
			return err
		}
		late = true
	}
	if late {
		p.lately = append(p.lately, c)
	} else {
		p.files = append(p.files, c)
	}
	return nil
}

// maxBeside bounds a file beside a distfile: a signature.
const maxBeside = 1 << 20

func (p *viewing) sameSmall(c store.Copy) (bool, error) {
	if c.Data == nil {
		var err error
		if c.Data, err = regular.Read(c.From, maxBeside); err != nil {
			return false, err
		}
	}
	old, err := regular.Read(p.vs.v.Store.Path(c.Rel), maxBeside)
	if errors.Is(err, regular.ErrTooLarge) {
		return false, nil
	}
	return err == nil && bytes.Equal(old, c.Data), err
}

// check gives contents to the checks of their links, several at once. What does
// not pass is a failure and holds the view back.
func (p *viewing) check(ctx context.Context, held []*ledger.Distfile, which []int) error {
	bad := make([]error, len(held))
	g := new(errgroup.Group)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range which {
		have := p.vs.v.Store.Path(p.vs.v.Shelf.Sound(&held[i].Content))
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f, err := regular.OpenItself(have)
			if err != nil {
				return err
			}
			defer f.Close()
			if bad[i] = p.v.Links[i].Check(ctxReader{ctx, f}); ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	n := 0
	for _, i := range which {
		if bad[i] == nil {
			continue
		}
		if n++; n == 1 {
			p.holdBack("%s: %v", p.v.Links[i].Name, bad[i])
		}
		p.vs.o.Failed(p.v.Links[i].Distfile, bad[i])
	}
	return nil
}

// expose makes the changes.
func (p *viewing) expose(current bool) error {
	var bytes int64
	for _, f := range p.v.Index {
		bytes += f.Size
	}
	if err := p.vs.v.Store.Room(bytes, p.vs.o.MinFree); err != nil {
		return vault.Damage(err)
	}
	p.vs.v.Changed = true
	if err := p.claimPool(); err != nil {
		return err
	}
	if err := p.put(p.early, p.files); err != nil {
		return p.failed(err)
	}
	if len(p.ways) > 0 {
		// What they lead to is there before them, and they before the index.
		err := p.put(p.late, p.lately)
		if err == nil {
			err = p.put(p.ways, nil)
		}
		if err != nil {
			return p.failed(err)
		}
		p.late, p.lately = nil, nil
	}
	index := p.lately
	if !current {
		for _, f := range p.v.Index {
			foreign, err := p.foreign(p.rel(f.Name))
			if err != nil {
				return err
			}
			index = append(index, store.Copy{Rel: p.rel(f.Name), From: f.Path, ModTime: f.ModTime, Foreign: foreign})
		}
	}
	if err := p.put(p.late, index); err != nil {
		return p.failed(err)
	}
	old := p.known[p.key()].Index
	for rel := range old {
		if !slices.ContainsFunc(p.v.Index, func(f catalog.IndexFile) bool { return p.rel(f.Name) == rel }) {
			if err := p.vs.v.Store.Views.Withdraw(rel); err != nil {
				return err
			}
		}
	}
	if err := p.vs.v.Store.SyncRemoved(); err != nil {
		return err
	}
	p.state = report.ViewPublished
	return p.record()
}

func (p *viewing) put(links []store.Link, copies []store.Copy) error {
	defer p.vs.v.WarnReplaced()
	return p.vs.v.Store.Views.Expose(links, copies)
}

// claimPool notes the view's pool before anything is in it. What is there is
// pruned even when no view has it any more.
func (p *viewing) claimPool() error {
	v := p.known[p.key()]
	if p.v.Pool == "" || v.Pool == p.v.Pool {
		return nil
	}
	v.Repo, v.Pool = p.repo, p.v.Pool
	p.known[p.key()] = v
	p.known[p.v.Pool+"/"] = ledger.View{Repo: p.repo, Suffix: p.v.Suffix}
	return p.vs.record(p.known)
}

// failed holds the view back, unless the archive is broken.
func (p *viewing) failed(err error) error {
	if store.Broken(err) {
		return vault.Damage(err)
	}
	p.holdBack("%v", err)
	return nil
}

// record notes what is published.
func (p *viewing) record() error {
	v := ledger.View{Repo: p.repo, Check: p.v.CheckID, Suffix: p.v.Suffix, Pool: p.v.Pool, Missing: p.since, Index: make(map[string]ledger.IndexFile)}
	for _, f := range p.v.Index {
		at, _, err := p.vs.v.Store.Views.Stat(p.rel(f.Name))
		if err != nil {
			return err
		}
		v.Index[p.rel(f.Name)] = ledger.IndexFile{SHA256: f.SHA256, Size: at.Size, ModTime: at.ModTime.UTC()}
	}
	p.known[p.key()] = v
	return p.vs.record(p.known)
}

// A ctxReader ends with the cause of its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
