package snapshot

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"distkeep/archive/bucket"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Lists are the snapshots of an archive whose contents are in a bucket. Each is a document
// there that lists the names and contents of one moment. The contents stay in their
// place: what a snapshot has is not removed, though it may be purged. Those methods that
// change something need the archive open, and loaded.
type Lists struct {
	b   *bucket.Bucket
	now func() time.Time
}

// In returns the snapshots in b.
func In(b *bucket.Bucket, now func() time.Time) *Lists { return &Lists{b, now} }

// A listed snapshot is what the document begins with.
type listed struct {
	Snapshot
	// Update is what tells one state of the archive from the one before.
	Update string `json:"update,omitempty"`
}

// Create makes a snapshot of what v publishes. Its error wraps bucket.ErrExists when there
// is one of that name. update is what Update returns of it.
func (l *Lists) Create(ctx context.Context, v *vault.Vault, label, update string) (s Snapshot, err error) {
	s.Time, s.Label, s.ByCipher = l.now().UTC().Truncate(time.Second), label, true
	if s.Name, err = Name(s.Time, label); err != nil {
		return s, err
	}
	seen := make(map[digest.Digest]bool)
	for _, d := range v.Index.Distfiles {
		if d.Named {
			s.Files++
		}
		if !seen[d.SHA256()] {
			seen[d.SHA256()] = true
			s.Bytes += d.Size
		}
	}
	err = l.b.KeepSnapshot(ctx, s.Name, listed{s, update}, func(yield func(bucket.Kept) bool) {
		for _, d := range v.Index.Distfiles {
			if !yield(bucket.Kept{Name: string(d.Name), SHA256: d.SHA256().Hex(), Size: d.Size, Named: d.Named}) {
				return
			}
		}
	})
	if err != nil {
		return s, fmt.Errorf("make snapshot %s: %w", s.Name, err)
	}
	return s, nil
}

// List returns the snapshots, the oldest first.
func (l *Lists) List(ctx context.Context) ([]Snapshot, error) {
	all, err := l.list(ctx)
	list := make([]Snapshot, len(all))
	for i, s := range all {
		list[i] = s.Snapshot
	}
	return list, err
}

// Update returns what Create was told for the newest snapshot, or "".
func (l *Lists) Update(ctx context.Context) (string, error) {
	all, err := l.list(ctx)
	if i := slices.IndexFunc(all, func(s listed) bool { return s.Latest }); i >= 0 {
		return all[i].Update, err
	}
	return "", err
}

func (l *Lists) list(ctx context.Context) (list []listed, err error) {
	names, err := l.b.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t, label, ok := parseName(name)
		if !ok {
			continue
		}
		var s listed
		if err := l.b.Snapshot(ctx, name, &s, nil); err != nil {
			return nil, err
		}
		s.Name, s.Time, s.Label, s.Latest, s.Future = name, t, label, false, t.After(l.now())
		list = append(list, s)
	}
	for i := range slices.Backward(list) {
		if !list[i].Future {
			list[i].Latest = true
			break
		}
	}
	return list, nil
}

// named returns those of all that names name, or an error that wraps errNotFound.
func (l *Lists) named(ctx context.Context, names []string) (some []Snapshot, all []Snapshot, err error) {
	if all, err = l.List(ctx); err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		if slices.Contains(names, s.Name) || s.Latest && slices.Contains(names, latestName) {
			some = append(some, s)
		}
	}
	for _, name := range names {
		if name != latestName && !slices.ContainsFunc(some, func(s Snapshot) bool { return s.Name == name }) || len(some) == 0 {
			return nil, nil, fmt.Errorf("%s: %s: %w", l.b, name, errNotFound)
		}
	}
	return some, all, nil
}

// each calls f with the contents of a snapshot, under each of their names.
func (l *Lists) each(ctx context.Context, s Snapshot, f func(k *bucket.Kept, sum digest.Digest)) error {
	return l.b.Snapshot(ctx, s.Name, new(listed), func(k *bucket.Kept) error {
		sum, err := digest.Parse(digest.SHA256, k.SHA256)
		if err == nil {
			f(k, sum)
		}
		return err
	})
}

// having counts which contents how many of list have.
func (l *Lists) having(ctx context.Context, list []Snapshot) (map[digest.Digest]int, error) {
	has := make(map[digest.Digest]int)
	for _, s := range list {
		last := make(map[digest.Digest]bool)
		err := l.each(ctx, s, func(_ *bucket.Kept, sum digest.Digest) {
			if !last[sum] {
				last[sum] = true
				has[sum]++
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return has, nil
}

// Alone returns the contents that nothing but the snapshots called names has, and their
// bytes. reports is where the last run has exported what the archive has.
func (l *Lists) Alone(ctx context.Context, reports string, names ...string) (alone layout.Count, err error) {
	some, all, err := l.named(ctx, names)
	if err != nil {
		return alone, err
	}
	held, err := l.having(ctx, without(all, some))
	if err != nil {
		return alone, err
	}
	for d, err := range report.Distfiles(reports) {
		if err != nil {
			return alone, err
		}
		if sum, err := digest.Parse(digest.SHA256, d.SHA256); err == nil {
			held[sum]++
		}
	}
	for _, s := range some {
		err := l.each(ctx, s, func(k *bucket.Kept, sum digest.Digest) {
			if held[sum] == 0 {
				alone.Add(k.Size)
			}
			held[sum]++
		})
		if err != nil {
			return alone, err
		}
	}
	return alone, nil
}

// without returns those of all that are not among some.
func without(all, some []Snapshot) []Snapshot {
	return slices.DeleteFunc(slices.Clone(all), func(s Snapshot) bool { return slices.Contains(some, s) })
}

// Remove removes snapshots, the oldest first, and purges what nothing else has. When ctx
// is done, it stops after a snapshot; what it returns are those that are removed.
func (l *Lists) Remove(ctx context.Context, v *vault.Vault, names ...string) (removed []Removed, err error) {
	some, all, err := l.named(ctx, names)
	if err == nil && slices.Contains(names, latestName) { // which is another one soon
		err = fmt.Errorf("%s: %s: %w", l.b, latestName, errNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("remove snapshot: %w", err)
	}
	return l.remove(ctx, v, some, all)
}

func (l *Lists) remove(ctx context.Context, v *vault.Vault, some, all []Snapshot) (removed []Removed, err error) {
	has, err := l.having(ctx, all)
	if err != nil {
		return nil, err
	}
	for _, s := range some {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		r := Removed{Name: s.Name}
		var keys []ledger.Key
		seen := make(map[digest.Digest]bool)
		err := l.each(ctx, s, func(k *bucket.Kept, sum digest.Digest) {
			if r.Files++; seen[sum] {
				return
			}
			seen[sum] = true
			if has[sum]--; has[sum] == 0 && len(v.Index.WithSum(sum))+len(v.Index.RecycledWith(sum)) == 0 {
				keys = append(keys, ledger.Key{Name: catalog.Name(k.Name), SHA256: sum})
				r.Freed += k.Size
			}
		})
		if err == nil {
			err = v.Recycle.PurgeAfter(keys, func() error { return l.b.DropSnapshot(ctx, s.Name) })
		}
		if err != nil {
			return removed, fmt.Errorf("remove snapshot %s: %w", s.Name, err)
		}
		removed = append(removed, r)
	}
	return removed, nil
}

// Decide returns what Prune would do.
func (l *Lists) Decide(ctx context.Context, p Policy) ([]Decision, error) {
	list, err := l.List(ctx)
	if err != nil {
		return nil, err
	}
	return p.Apply(list)
}

// Prune removes the snapshots that p does not keep, as Remove does, and returns what it
// decided and what is removed.
func (l *Lists) Prune(ctx context.Context, v *vault.Vault, p Policy) (ds []Decision, removed []Removed, err error) {
	if _, err := v.Recycle.Mend(); err != nil { // of one that was killed
		return nil, nil, err
	}
	all, err := l.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	if ds, err = p.Apply(all); err != nil {
		return nil, nil, err
	}
	some := slices.DeleteFunc(slices.Clone(all), func(s Snapshot) bool {
		return !slices.ContainsFunc(ds, func(d Decision) bool { return d.Name == s.Name && !d.Keep })
	})
	if len(some) > 0 {
		removed, err = l.remove(ctx, v, some, all)
	}
	return ds, removed, err
}

// Diff calls f with the names that the snapshots a and b do not have alike, sorted, until
// it returns an error. Where b is empty, a is compared with what the last run has exported
// to reports.
func (l *Lists) Diff(ctx context.Context, reports, a, b string, f func(Change) error) error {
	was, err := l.names(ctx, a)
	if err != nil {
		return err
	}
	var is map[string]string
	if b != "" {
		is, err = l.names(ctx, b)
	} else {
		is, err = published(reports)
	}
	if err != nil {
		return err
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := Change{Op: "~", Name: name, Old: was[name], New: is[name]}
		switch {
		case c.Old == c.New:
			continue
		case c.Old == "":
			c = Change{Op: "+", Name: name}
		case c.New == "":
			c = Change{Op: "-", Name: name}
		}
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}

// names are those of a snapshot, with the SHA-256 of their contents.
func (l *Lists) names(ctx context.Context, name string) (map[string]string, error) {
	some, _, err := l.named(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, some[0].Files)
	err = l.each(ctx, some[0], func(k *bucket.Kept, _ digest.Digest) {
		if k.Named {
			names[k.Name] = k.SHA256
		}
	})
	return names, err
}

func published(reports string) (map[string]string, error) {
	names := make(map[string]string)
	for d, err := range report.Distfiles(reports) {
		if err != nil {
			return nil, err
		}
		if d.Named && !d.Recycled {
			names[d.Name] = d.SHA256
		}
	}
	return names, nil
}
