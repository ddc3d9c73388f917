package deposit

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/bucket"
	"distkeep/archive/layout"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Publish makes readers whom the storage itself serves find in b what v publishes: its
// small files, and its contents under the paths of its layouts as how says. What is there
// already, as far as is known, costs no request.
//
// Contents come first, then the small files, of which layout.conf may name a new layout,
// and what has no path any more goes last. A process that is killed leaves all that it was
// going to change noted as in doubt, and to the next call to change.
func Publish(ctx context.Context, v *vault.Vault, b *bucket.Bucket, how bucket.Publishing) error {
	p, err := newPublication(v, b)
	if err == nil {
		err = p.compare(how)
	}
	if err != nil {
		return err
	}
	return p.carryOut(ctx)
}

// A publication changes what readers find.
type publication struct {
	v  *vault.Vault
	b  *bucket.Bucket
	mu sync.Mutex // of is, while it is carried out
	is exposures
	// known says that nothing of ours is there that is not in is.
	known bool
	// contents, files and gone have to be changed, in this order.
	contents, files, gone []change
}

// newPublication makes one that knows what is there. Where that is not known, all is
// published again.
func newPublication(v *vault.Vault, b *bucket.Bucket) (*publication, error) {
	is, err := loadExposures(v.State)
	p := &publication{v: v, b: b, is: is, known: is != nil}
	if !p.known {
		p.is = make(exposures)
	}
	return p, err
}

// A change is what has to be at a path; how is asGone where nothing has to be.
type change struct {
	rel  string
	how  bucket.Publishing
	sum  digest.Digest
	size int64
}

// compare finds what has to be changed.
func (p *publication) compare(how bucket.Publishing) error {
	p.contents, p.files, p.gone = nil, nil, nil
	for _, x := range p.is {
		x.kept = false
	}
	if err := p.compareFiles(); err != nil {
		return err
	}
	if how != bucket.PublishNone {
		p.compareContents(how)
	}
	for rel, x := range p.is {
		if !x.kept {
			p.gone = append(p.gone, change{rel: rel, how: asGone})
		}
	}
	return nil
}

// compareFiles is about the small files of the published tree.
func (p *publication) compareFiles() error {
	root := p.v.Store.Published()
	return filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		f, err := regular.OpenItself(file)
		if err != nil {
			return err
		}
		defer f.Close()
		sum, size, err := sumOf(f)
		if err == nil {
			p.want(&p.files, change{filepath.ToSlash(rel), asFile, sum, size})
		}
		return err
	})
}

// compareContents is about the contents at the paths of all layouts that have paths.
func (p *publication) compareContents(how bucket.Publishing) {
	layouts := p.v.Shelf.Layouts
	for _, d := range p.v.Index.Distfiles {
		if !d.Named || layouts.Check(d.Name) != nil {
			continue
		}
		for _, l := range layouts {
			if rel := d.Path(l); rel != "" && !p.barred(l, d.Name) {
				p.want(&p.contents, change{rel, how, d.SHA256(), d.Size})
			}
		}
	}
}

// barred reports whether l has no path for a name, since a directory of that is the name
// of a distfile: storage that keeps objects in files cannot have both.
func (p *publication) barred(l layout.Layout, name catalog.Name) bool {
	if l != layout.Flat() {
		return false
	}
	for dir := path.Dir(string(name)); dir != "."; dir = path.Dir(dir) {
		if p.v.Index.Named(catalog.Name(dir)) != nil {
			return true
		}
	}
	return false
}

// want adds c to changes, unless it is so already or going to be.
func (p *publication) want(changes *[]change, c change) {
	x := p.is[c.rel]
	switch {
	case x == nil:
		p.is[c.rel] = &exposure{how: inDoubt, kept: true}
	case x.kept: // another name of the content has the same path
		return
	default:
		x.kept = true
		if x.how == c.how && x.sum == c.sum {
			return
		}
	}
	*changes = append(*changes, c)
}

// carryOut makes the changes.
func (p *publication) carryOut(ctx context.Context) error {
	if len(p.contents)+len(p.files)+len(p.gone) == 0 {
		return nil
	}
	for _, c := range slices.Concat(p.contents, p.files, p.gone) {
		p.is[c.rel].how = inDoubt
	}
	if err := p.is.save(p.v); err != nil {
		return err
	}
	for _, changes := range [][]change{p.contents, p.files, p.gone} {
		for chunk := range slices.Chunk(changes, saveEvery) {
			if err := errors.Join(p.all(ctx, chunk), p.is.save(p.v)); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveEvery is how many changes are made again at most when a process is killed.
const saveEvery = 4096

// all makes some changes, several at once. What the server refuses of a single content is
// told, and is in doubt until the next run.
func (p *publication) all(ctx context.Context, changes []change) error {
	g, going := errgroup.WithContext(ctx)
	g.SetLimit(p.b.Jobs())
	for _, c := range changes {
		if going.Err() != nil {
			break
		}
		g.Go(func() error {
			etag, err := p.make(going, c)
			p.mu.Lock()
			defer p.mu.Unlock()
			switch {
			case err == nil && c.how == asGone:
				delete(p.is, c.rel)
			case err == nil:
				p.is[c.rel] = &exposure{how: c.how, sum: c.sum, etag: etag, kept: true}
			case bucket.Refused(err):
				p.v.Warn("%s is not published: %v", c.rel, err)
			default:
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// make makes one change, and returns the ETag of what is there then.
func (p *publication) make(ctx context.Context, c change) (etag string, err error) {
	switch c.how {
	case asGone:
		return "", p.b.Withdraw(ctx, c.rel)
	case asFile:
		f, err := regular.OpenItself(p.v.Store.Path(c.rel))
		if err != nil {
			return "", err
		}
		defer f.Close()
		return p.b.ExposeFile(ctx, c.rel, f, c.size, c.sum)
	}
	return p.b.Expose(ctx, c.rel, c.sum, c.size, c.how)
}
