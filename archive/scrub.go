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
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// examine reads every file that holds the content of u. It changes nothing and
// may be called concurrently.
func (r *verifier) examine(ctx context.Context, u *unit) *examined {
	x := &examined{unit: u}
	var paths []string
	for _, d := range u.held {
		paths = append(paths, r.m.v.PathsOf(d)...)
	}
	for _, rec := range u.recycled {
		paths = append(paths, r.m.v.RecyclePath(rec))
	}
	slices.Sort(paths) // as has wants them
	if x.copies, x.err = vault.Replicas(slices.Compact(paths)); x.err != nil {
		return x
	}
	for _, c := range x.copies {
		if c.Wrong, x.err = r.read(ctx, c, u); x.err != nil {
			return x
		}
		if c.Wrong != "" && layout.Growing(r.m.v.Options.Now(), c.Info.ModTime()) && !u.timed(c.Info) {
			x.err = fmt.Errorf("%s: %w", c.Paths[0], layout.ErrWriting)
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

// read compares one file with the content that it should hold, and says what is
// wrong with it. An unreadable sector is damage; anything else that keeps us
// from reading is an error.
func (r *verifier) read(ctx context.Context, c *vault.Replica, u *unit) (wrong string, err error) {
	if c.Info.Size() != u.size {
		return fmt.Sprintf("it has %d bytes, want %d", c.Info.Size(), u.size), nil
	}
	sum, fi, err := store.Scrub(ctx, c.Paths[0], func(ctx context.Context, n int) error {
		r.m.v.Events.Read(n)
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
	case !os.SameFile(fi, c.Info):
		return "", fmt.Errorf("%s: replaced while it was read", c.Paths[0])
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
		r.m.v.Events.Checked(string(n), x.size, why)
	}
	if why != "" {
		return r.repair(x, why)
	}
	r.sum.Verified.Add(x.size)
	for _, d := range x.held {
		fresh := *d
		fresh.Verified = r.m.v.Now
		if c := x.has(r.m.v.PathsOf(d)); c != nil {
			// Restored from a backup, say: the bytes are those.
			fresh.ModTime = c.Info.ModTime().UTC()
		}
		r.stamps.PutDistfile(&fresh)
	}
	for _, rec := range x.recycled {
		fresh := *rec
		fresh.Verified = r.m.v.Now
		if c := x.has([]string{r.m.v.RecyclePath(rec)}); c != nil {
			fresh.ModTime = c.Info.ModTime().UTC()
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
		if c.Wrong != "" {
			why = append(why, fmt.Sprintf("%s: %s", c.Paths[0], c.Wrong))
		}
	}
	if len(why) == 0 {
		for _, d := range x.held {
			if x.has(m.v.PathsOf(d)) == nil {
				why = append(why, fmt.Sprintf("%s: its file is gone", d.Name))
			}
		}
		for _, rec := range x.recycled {
			if x.has([]string{m.v.RecyclePath(rec)}) == nil {
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
		if c.Wrong == "" {
			continue
		}
		kept, err := m.v.Store.SetAside("damaged."+x.sum.Hex(), c.Info, c.Paths)
		if errors.Is(err, store.ErrStuck) {
			d.Stuck = true
			d.Reason += "; " + oneLine(err.Error())
		} else if err != nil {
			return err
		}
		if kept != "" {
			d.Kept = append(d.Kept, kept)
			m.explain(kept, &d, c)
		}
		for _, p := range c.Paths {
			m.v.LookAgain(p)
		}
	}
	if err := m.v.Store.SyncRemoved(); err != nil {
		return err
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
			entry.Verified = m.v.Now
			adds = append(adds, &addition{Addition: vault.Addition{Entry: entry, Have: store.Source{Path: good.Paths[0], Was: good.Info, Read: true}}})
		default:
			m.v.Lose(&b, h, why)
		}
	}
	for _, rec := range x.recycled {
		if x.has([]string{m.v.RecyclePath(rec)}) == nil {
			m.v.LoseRecycled(&b, rec, "damaged in recycle: "+why)
		}
	}
	if err := m.v.Commit(&b); err != nil {
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
func (m *mirror) explain(kept string, d *Damage, c *vault.Replica) {
	text, err := json.MarshalIndent(setAside{m.v.Now, d.Names, d.SHA256, d.Size, c.Paths, c.Wrong}, "", "\t")
	if err == nil {
		err = regular.Write(kept+".json", append(text, '\n'), 0o644)
	}
	if err != nil {
		m.v.Warn("%v", err)
	}
}
