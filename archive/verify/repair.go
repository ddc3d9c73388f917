package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// examine reads every file that holds the content of u. It changes nothing and
// may be called concurrently.
func (r *verifier) examine(ctx context.Context, u *unit) *examined {
	x := &examined{unit: u}
	if r.v.Remote != nil {
		return r.examineRemote(ctx, x)
	}
	var paths []string
	for _, d := range u.held {
		paths = append(paths, r.v.PathsOf(d)...)
	}
	for _, rec := range u.recycled {
		paths = append(paths, r.v.Recycle.Path(rec))
	}
	slices.Sort(paths) // as has wants them
	if x.copies, x.err = vault.Replicas(slices.Compact(paths)); x.err != nil {
		return x
	}
	for _, c := range x.copies {
		if c.Wrong, x.err = c.Compare(ctx, u.sum, u.size, r.pace); x.err != nil {
			return x
		}
		if c.Wrong != "" && layout.Growing(r.v.Options.Now(), c.Info.ModTime()) && !u.timed(c.Info) {
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

// pace tells of bytes that are read, and keeps to the rate.
func (r *verifier) pace(ctx context.Context, n int) error {
	r.v.Events.Read(n)
	if r.limit == nil {
		return nil
	}
	return r.limit.WaitN(ctx, n)
}

// record records what became of one unit.
func (r *verifier) record(ctx context.Context, x *examined) error {
	switch {
	case x.err != nil && ctx.Err() != nil:
		return nil // said by ctx
	case x.err != nil:
		r.sum.Unread = append(r.sum.Unread, Damage{Names: x.names(), SHA256: x.sum.Hex(), Size: x.size, Reason: report.OneLine(x.err.Error())})
		return nil
	}
	why := x.remote
	if r.v.Remote == nil {
		why = x.damage(r.v)
	}
	for _, n := range x.names() {
		r.v.Events.Checked(string(n), x.size, why)
	}
	switch {
	case why != "" && r.v.Remote != nil:
		return r.repairRemote(ctx, x)
	case why != "":
		return r.repair(x, why)
	}
	r.sum.Verified.Add(x.size)
	for _, d := range x.held {
		fresh := *d
		fresh.Verified = r.v.Now
		if c := x.has(r.v.PathsOf(d)); c != nil {
			// Restored from a backup, say: the bytes are those.
			fresh.ModTime = c.Info.ModTime().UTC()
		}
		r.stamps.PutDistfile(&fresh)
	}
	for _, rec := range x.recycled {
		fresh := *rec
		fresh.Verified = r.v.Now
		if c := x.has([]string{r.v.Recycle.Path(rec)}); c != nil {
			fresh.ModTime = c.Info.ModTime().UTC()
		}
		r.stamps.PutRecycled(&fresh)
	}
	return r.stamp(x.size)
}

// damage says what is wrong with a unit, or "". A link that is missing beside
// others is not its business: the next run makes it.
func (x *examined) damage(v *vault.Vault) string {
	var why []string
	for _, c := range x.copies {
		if c.Wrong != "" {
			why = append(why, fmt.Sprintf("%s: %s", c.Paths[0], c.Wrong))
		}
	}
	if len(why) == 0 {
		for _, d := range x.held {
			if x.has(v.PathsOf(d)) == nil {
				why = append(why, fmt.Sprintf("%s: its file is gone", d.Name))
			}
		}
		for _, rec := range x.recycled {
			if x.has([]string{v.Recycle.Path(rec)}) == nil {
				why = append(why, fmt.Sprintf("%s: its file is gone from recycle", rec.Name))
			}
		}
	}
	return report.OneLine(strings.Join(why, "; "))
}

// repair takes wrong files out of the archive, links right ones in their place
// and drops the records that have none.
func (r *verifier) repair(x *examined, why string) error {
	v := r.v
	d := Damage{Names: x.names(), SHA256: x.sum.Hex(), Size: x.size, Reason: why}
	if err := r.quarantine(x, &d); err != nil {
		return err
	}
	if d.Stuck {
		// The records stay with the files, for the next verification to say
		// it again.
		r.sum.Damaged = append(r.sum.Damaged, d)
		return nil
	}
	good := x.good()
	var adds []*vault.Addition
	var b ledger.Batch
	for _, h := range x.held {
		switch {
		case good != nil:
			entry := *h
			entry.Verified = v.Now
			adds = append(adds, &vault.Addition{Entry: entry, Have: store.Source{Path: good.Paths[0], Was: good.Info, Read: true}})
		default:
			v.Lose(&b, h, why)
		}
	}
	for _, rec := range x.recycled {
		if x.has([]string{v.Recycle.Path(rec)}) == nil {
			v.Recycle.Lose(&b, rec, "damaged in recycle: "+why)
		}
	}
	if err := v.Commit(&b); err != nil {
		return err
	}
	if len(adds) > 0 {
		if err := v.Publish(adds, nil); err != nil {
			return err
		}
	}
	d.Healed = good != nil
	r.sum.Damaged = append(r.sum.Damaged, d)
	return nil
}

// quarantine moves the wrong files of x to quarantine.
func (r *verifier) quarantine(x *examined, d *Damage) error {
	for _, c := range x.copies {
		if c.Wrong == "" {
			continue
		}
		kept, err := r.v.Store.Quarantine.SetAside("damaged."+x.sum.Hex(), c.Info, c.Paths)
		if errors.Is(err, store.ErrStuck) {
			d.Stuck = true
			d.Reason += "; " + report.OneLine(err.Error())
		} else if err != nil {
			return err
		}
		if kept != "" {
			d.Kept = append(d.Kept, kept)
			r.explain(kept, d, c)
		}
		for _, p := range c.Paths {
			r.v.LookAgain(p)
		}
	}
	return r.v.Store.SyncRemoved()
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
func (r *verifier) explain(kept string, d *Damage, c *vault.Replica) {
	text, err := json.MarshalIndent(setAside{r.v.Now, d.Names, d.SHA256, d.Size, c.Paths, c.Wrong}, "", "\t")
	if err == nil {
		err = regular.Write(kept+".json", append(text, '\n'), 0o644)
	}
	if err != nil {
		r.v.Warn("%v", err)
	}
}
