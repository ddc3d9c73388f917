// Package shards lets a machine that has no ledger read an archive in a bucket: what the
// last run of each of its shards has left there, as if it were one. An archive without
// shards is read in the same way.
//
// Refresh reads what is new into the state directory of the reader, and makes one of all: the
// report directory and the published one are those of an archive, so that whatever reads
// these works with a reader as well. Nothing in the bucket is changed.
package shards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/bucket"
	"distkeep/archive/deposit"
	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// A Reader reads one archive. One goroutine at a time uses it; several processes may.
type Reader struct {
	state, published string
	shards           []shard
}

// A shard is where one worker leaves what it does. The only one of an archive without shards
// has no name.
type shard struct {
	name string
	b    *bucket.Bucket
}

// New returns a reader of an archive in n shards, or of one without if n is zero, which
// keeps what it reads in state, and what is published in published.
func New(state, published string, whole *bucket.Bucket, n int) *Reader {
	r := &Reader{state: state, published: published, shards: []shard{{"", whole}}}
	if n > 0 {
		r.shards = nil
	}
	for k := 1; k <= n; k++ {
		r.shards = append(r.shards, shard{catalog.Part{Number: k, Of: n}.String(), whole.Shard(k, n)})
	}
	return r
}

// Buckets are those of all shards by their names.
func (r *Reader) Buckets() map[string]*bucket.Bucket {
	all := make(map[string]*bucket.Bucket, len(r.shards))
	for _, s := range r.shards {
		all[s.name] = s.b
	}
	return all
}

// Every is how often Refresh may be called: it asks one question a shard.
func (r *Reader) Every() time.Duration {
	return max(20*time.Second, time.Duration(len(r.shards))*5*time.Second)
}

// seen is what was read of a shard.
type seen struct {
	// Index is the ETag of the index, and Have the digests of what is here.
	Index string            `json:"index"`
	Have  map[string]string `json:"have"`
}

// Refresh reads what runs have left since the last call. While another process does so it
// waits.
func (r *Reader) Refresh(ctx context.Context) (err error) {
	lock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	all, err := r.load()
	if err != nil {
		return err
	}
	changed := make([]bool, len(r.shards))
	g, going := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, s := range r.shards {
		g.Go(func() (err error) {
			changed[i], err = r.read(going, s, all[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !slices.Contains(changed, true) {
		return nil
	}
	// What was read and is not merged yet is merged in any case by the next call.
	if err := r.merge(); err != nil {
		return err
	}
	return r.save(all)
}

// patience is how long to wait for another process that reads: the lists of a large archive
// take some seconds.
const patience = time.Minute

func (r *Reader) lock(ctx context.Context) (*store.Held, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		lock, err := store.Lock(store.ShardsDir(r.state), "a reader", time.Now())
		if !errors.Is(err, store.ErrLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// dir is what is kept of a shard.
func (r *Reader) dir(s shard) string {
	name := "whole"
	if s.name != "" {
		name = strings.ReplaceAll(s.name, "/", "-of-")
	}
	return filepath.Join(store.ShardsDir(r.state), name)
}

func (r *Reader) seenFile() string { return filepath.Join(store.ShardsDir(r.state), "seen") }

func (r *Reader) load() ([]*seen, error) {
	var all []*seen
	data, err := regular.Read(r.seenFile(), 1<<24)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if json.Unmarshal(data, &all) != nil || len(all) != len(r.shards) || slices.Contains(all, nil) {
		all = make([]*seen, len(r.shards)) // it only saves requests
	}
	for i, s := range all {
		if s == nil {
			all[i] = &seen{}
		}
		if all[i].Have == nil {
			all[i].Have = make(map[string]string)
		}
	}
	return all, nil
}

func (r *Reader) save(all []*seen) error {
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return regular.Write(r.seenFile(), data, 0o644)
}

// read reads what a shard has left, if that has changed.
func (r *Reader) read(ctx context.Context, s shard, was *seen) (changed bool, err error) {
	x, etag, err := deposit.ReadIndex(ctx, s.b, was.Index)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // no run has ended yet
	} else if err != nil || x == nil {
		return false, err
	}
	dir := r.dir(s)
	if err := x.Fetch(ctx, s.b, filepath.Join(dir, "report"), filepath.Join(dir, "public"), was.Have); errors.Is(err, deposit.ErrChanging) {
		return true, nil // it is read again by the next call
	} else if err != nil {
		return false, err
	}
	was.Index = etag
	return true, nil
}

// merge makes one of what was read.
func (r *Reader) merge() error {
	var parts []report.Part
	var trees []string
	for _, s := range r.shards {
		parts = append(parts, report.Part{Shard: s.name, Dir: filepath.Join(r.dir(s), "report")})
		trees = append(trees, filepath.Join(r.dir(s), "public"))
	}
	for _, dir := range []string{store.ReportDir(r.state), r.published} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := r.mergeLayouts(trees); err != nil {
		return err
	}
	nameless, err := report.Merge(store.ReportDir(r.state), parts, regular.Replace)
	if err != nil {
		return err
	}
	return r.mergeLists(trees, nameless)
}

// mergeLayouts takes the layouts of all: while one shard changes its own, both are served.
func (r *Reader) mergeLayouts(trees []string) error {
	var conf layout.Conf
	for _, dir := range trees {
		if _, err := os.Stat(dir); err != nil {
			continue // no run has ended there
		}
		c, err := layout.Load(dir)
		if err != nil {
			return err
		}
		for _, l := range c {
			if !slices.Contains(conf, l) {
				conf = append(conf, l)
			}
		}
	}
	if len(conf) == 0 {
		return nil
	}
	return regular.Write(filepath.Join(r.published, layout.ConfFile), conf.Format(), 0o644)
}

// mergeLists makes the lists beside the distfiles. What is nameless is in none.
func (r *Reader) mergeLists(trees []string, nameless map[string]bool) error {
	var lines []history.Line
	var records []history.Record
	for _, dir := range trees {
		ls, err := history.LoadDistinfo(filepath.Join(dir, "distinfo"))
		if err != nil {
			return err
		}
		rs, err := history.LoadHistory(filepath.Join(dir, "history"))
		if err != nil {
			return err
		}
		lines = append(lines, slices.DeleteFunc(ls, func(l history.Line) bool { return nameless[l.SHA256.Hex()] })...)
		records = append(records, rs...)
	}
	slices.SortStableFunc(records, func(a, b history.Record) int { return a.Time.Compare(b.Time) })
	for name, write := range map[string]func(io.Writer) error{
		"distinfo":   func(w io.Writer) error { return history.WriteDistinfo(w, lines) },
		"history":    func(w io.Writer) error { return history.WriteHistory(w, records) },
		"lastsync":   func(w io.Writer) error { return stamp(w, trees, "lastsync", false) },
		"lastupdate": func(w io.Writer) error { return stamp(w, trees, "lastupdate", true) },
	} {
		if err := regular.Replace(filepath.Join(r.published, name), "", write); err != nil {
			return err
		}
	}
	return nil
}

// stamp writes the last of the times that are in the files called name, or the first: what
// all of the archive is as new as.
func stamp(w io.Writer, trees []string, name string, last bool) error {
	var times []int64
	for _, dir := range trees {
		text, err := regular.Read(filepath.Join(dir, name), 64)
		if err != nil {
			continue // no run has ended there
		}
		if t, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			times = append(times, t)
		}
	}
	if len(times) == 0 {
		return nil
	}
	t := slices.Min(times)
	if last {
		t = slices.Max(times)
	}
	_, err := fmt.Fprintln(w, t)
	return err
}
