package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// pathsOf are the absolute paths at which a record's file should be.
func (m *mirror) pathsOf(d *ledger.Distfile) []string {
	c := &d.Content
	rels, err := m.store.Layouts().Paths(c)
	if err != nil {
		rels = c.CipherPaths() // its name has no path
	}
	paths := make([]string, len(rels))
	for i, rel := range rels {
		paths[i] = m.store.Path(rel)
	}
	return paths
}

func (m *mirror) recyclePath(r *ledger.Recycled) string {
	c := &r.Content
	return m.store.RecyclePath(c)
}

// examine reads every file that holds the content of u. It changes nothing and
// may be called concurrently.
func (r *verifier) examine(ctx context.Context, u *unit) *examined {
	x := &examined{unit: u}
	var paths []string
	for _, d := range u.held {
		paths = append(paths, r.m.pathsOf(d)...)
	}
	for _, rec := range u.recycled {
		paths = append(paths, r.m.recyclePath(rec))
	}
	slices.Sort(paths) // as has wants them
	if x.copies, x.err = replicas(slices.Compact(paths)); x.err != nil {
		return x
	}
	for _, c := range x.copies {
		if c.wrong, x.err = r.read(ctx, c, u); x.err != nil {
			return x
		}
		if c.wrong != "" && r.m.writing(c.fi) && !u.timed(c.fi) {
			x.err = fmt.Errorf("%s: %w", c.paths[0], errWriting)
			return x
		}
	}
	return x
}

// timed reports whether fi has the time of a verified file of u.
func (u *unit) timed(fi fs.FileInfo) bool {
	return slices.ContainsFunc(u.held, func(d *ledger.Distfile) bool { return d.ModTime.Equal(fi.ModTime()) }) ||
		slices.ContainsFunc(u.recycled, func(r *ledger.Recycled) bool { return r.ModTime.Equal(fi.ModTime()) })
}

// replicas groups paths by the file that they are links to. What is not a
// regular file is nobody's copy.
func replicas(paths []string) (cs []*replica, err error) {
	for _, p := range paths {
		fi, err := os.Lstat(p)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !fi.Mode().IsRegular() {
			continue
		}
		i := slices.IndexFunc(cs, func(c *replica) bool { return os.SameFile(c.fi, fi) })
		if i < 0 {
			i = len(cs)
			cs = append(cs, &replica{fi: fi})
		}
		cs[i].paths = append(cs[i].paths, p)
	}
	return cs, nil
}

// read compares one file with the content that it should hold, and says what is
// wrong with it. An unreadable sector is damage; anything else that keeps us
// from reading is an error.
func (r *verifier) read(ctx context.Context, c *replica, u *unit) (wrong string, err error) {
	if c.fi.Size() != u.size {
		return fmt.Sprintf("it has %d bytes, want %d", c.fi.Size(), u.size), nil
	}
	sum, fi, err := store.Scrub(ctx, c.paths[0], func(ctx context.Context, n int) error {
		r.m.Archive.o.Events.read(n)
		if r.limit == nil {
			return nil
		}
		return r.limit.WaitN(ctx, n)
	})
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, store.ErrDamaged):
		return err.Error(), nil
	case err != nil:
		return "", err
	case !os.SameFile(fi, c.fi):
		return "", fmt.Errorf("%s: replaced while it was read", c.paths[0])
	case sum != u.sum:
		return "its SHA256 is " + sum.Hex(), nil
	}
	return "", nil
}

// settle records what became of one unit.
func (r *verifier) settle(ctx context.Context, x *examined) error {
	switch {
	case x.err != nil && ctx.Err() != nil:
		return nil // said by ctx
	case x.err != nil:
		r.sum.Unread = append(r.sum.Unread, Damage{Names: x.names(), SHA256: x.sum.Hex(), Size: x.size, Reason: oneLine(x.err.Error())})
		return nil
	}
	why := x.damage(r.m)
	for _, n := range x.names() {
		r.m.Archive.o.Events.checked(string(n), x.size, why)
	}
	if why != "" {
		return r.repair(x, why)
	}
	r.sum.Verified.add(x.size)
	for _, d := range x.held {
		fresh := *d
		fresh.Verified = r.m.now
		if c := x.has(r.m.pathsOf(d)); c != nil {
			// Restored from a backup, say: the bytes are those.
			fresh.ModTime = c.fi.ModTime().UTC()
		}
		r.stamps.PutDistfile(&fresh)
	}
	for _, rec := range x.recycled {
		fresh := *rec
		fresh.Verified = r.m.now
		if c := x.has([]string{r.m.recyclePath(rec)}); c != nil {
			fresh.ModTime = c.fi.ModTime().UTC()
		}
		r.stamps.PutRecycled(&fresh)
	}
	return r.stamp(x.size)
}

// damage says what is wrong with a unit, or "". A link that is missing beside
// others is not its business: the next run makes it.
func (x *examined) damage(m *mirror) string {
	var why []string
	for _, c := range x.copies {
		if c.wrong != "" {
			why = append(why, fmt.Sprintf("%s: %s", c.paths[0], c.wrong))
		}
	}
	if len(why) == 0 {
		for _, d := range x.held {
			if x.has(m.pathsOf(d)) == nil {
				why = append(why, fmt.Sprintf("%s: its file is gone", d.Name))
			}
		}
		for _, rec := range x.recycled {
			if x.has([]string{m.recyclePath(rec)}) == nil {
				why = append(why, fmt.Sprintf("%s: its file is gone from recycle", rec.Name))
			}
		}
	}
	return oneLine(strings.Join(why, "; "))
}

// repair takes wrong files out of the archive, links right ones in their place
// and drops the records that have none.
func (r *verifier) repair(x *examined, why string) error {
	m := r.m
	d := Damage{Names: x.names(), SHA256: x.sum.Hex(), Size: x.size, Reason: why}
	for _, c := range x.copies {
		if c.wrong == "" {
			continue
		}
		kept, err := m.store.SetAside("damaged."+x.sum.Hex(), c.fi, c.paths)
		if errors.Is(err, store.ErrStuck) {
			d.Stuck = true
			d.Reason += "; " + oneLine(err.Error())
		} else if err != nil {
			return brokenIf(err)
		}
		if kept != "" {
			d.Kept = append(d.Kept, kept)
			m.explain(kept, &d, c)
		}
		for _, p := range c.paths {
			m.lookAgain(p)
		}
	}
	if err := m.store.SyncRemoved(); err != nil {
		return brokenIf(err)
	}
	if d.Stuck {
		// The records stay with the files, for the next verification to say
		// it again.
		r.sum.Damaged = append(r.sum.Damaged, d)
		return nil
	}
	good := x.good()
	var adds []*addition
	var b ledger.Batch
	for _, h := range x.held {
		switch {
		case good != nil:
			entry := *h
			entry.Verified = m.now
			adds = append(adds, &addition{entry: entry, have: store.Source{Path: good.paths[0], Was: good.fi, Read: true}})
		default:
			m.lose(&b, h, why)
		}
	}
	for _, rec := range x.recycled {
		if x.has([]string{m.recyclePath(rec)}) == nil {
			m.changed = true
			b.DropRecycled(rec.Key())
			m.forget(&b, &rec.Distfile, "damaged in recycle: "+why)
		}
	}
	if err := m.commit(&b); err != nil {
		return err
	}
	if len(adds) > 0 {
		if err := m.add(adds, nil); err != nil {
			return err
		}
	}
	d.Healed = good != nil
	r.sum.Damaged = append(r.sum.Damaged, d)
	return nil
}

// lose drops the record of a content whose bytes are gone, so that the next run
// fetches it, and notes why for failures.
func (m *mirror) lose(b *ledger.Batch, d *ledger.Distfile, why string) {
	m.changed = true
	b.DropDistfile(d.Key())
	b.DropDeletion(d.Key())
	m.forget(b, d, "damaged in the archive, the next run fetches it again: "+why)
}

// lookAgain tells the listing that the path, absolute, has changed.
func (m *mirror) lookAgain(path string) {
	if rel, ok := strings.CutPrefix(path, m.store.Published()+"/"); ok {
		m.view.disk.Look(rel)
	}
}

// A setAside is the note beside a file in quarantine, for a person.
type setAside struct {
	Time   time.Time      `json:"time"`
	Names  []catalog.Name `json:"names"`
	SHA256 string         `json:"want_sha256"`
	Size   int64          `json:"want_size"`
	Paths  []string       `json:"paths"`
	Why    string         `json:"why"`
}

// explain writes it. It is help for a person, and failing at it is no failure.
func (m *mirror) explain(kept string, d *Damage, c *replica) {
	text, err := json.MarshalIndent(setAside{m.now, d.Names, d.SHA256, d.Size, c.paths, c.wrong}, "", "\t")
	if err == nil {
		err = regular.Write(kept+".json", append(text, '\n'), 0o644)
	}
	if err != nil {
		m.warn("%v", err)
	}
}
