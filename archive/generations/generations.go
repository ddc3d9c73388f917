// Package generations publishes what archives downstream read: a generation for each
// run that has changed what the archive holds. The format is that of package feed;
// its files are in a directory of the published tree, see layout.GenerationsDir.
//
// What the last generation held is read back from the files themselves, or from a
// digest of them that the state has (see told), so that they are true to each other
// whatever has happened to the ledger. A process that is
// killed leaves the generation before, and to the next run to make the new one.
package generations

import (
	"bytes"
	"fmt"
	"io"
	"path"

	"golang.org/x/mod/sumdb/note"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
	"distkeep/catalog/feed"
	"distkeep/catalog/regular"
)

// Publish publishes a generation, signed by signers, if the archive does not hold
// what the newest one says. A feed that cannot be read is a warning, and stays as it
// is.
func Publish(v *vault.Vault, signers ...note.Signer) error {
	_, there, err := v.Store.Views.Stat(rel(feed.LatestFile))
	if err != nil {
		return vault.Damage(err)
	}
	if there && !v.Restated && !v.Index.Notes.Untold {
		return nil
	}
	var old *former
	if there {
		old, err = load(v)
	} else {
		old = &former{State: feed.State{List: make(feed.List)}, holds: holds(v.Index)}
	}
	if err != nil {
		v.Warn("no generation is published, since those before cannot be read: %v; when the directory %s is removed, generations begin anew, and archives downstream have to be told (see distkeep pull)", err, v.Store.Path(layout.GenerationsDir))
		return nil
	}
	sum := old.SHA256
	if changes := feed.Diff(old.held, old.holds); len(changes) > 0 || !there {
		if sum, err = publish(v, &old.State, changes, signers); err != nil {
			return err
		}
	}
	if sum != old.SHA256 || old.List != nil {
		saveTold(v, sum, v.Index.Distfiles)
	}
	var b ledger.Batch
	v.Note(&b, func(n *ledger.Notes) { n.Untold = false })
	return v.Commit(&b)
}

// A former is the newest generation, and what differs between what it held and what
// the archive holds. It has no List where that was found out without one, see told.
type former struct {
	feed.State
	held, holds feed.List
}

// load reads the newest generation, as far as the next one depends on it.
func load(v *vault.Vault) (*former, error) {
	data, err := read(v, feed.LatestFile)
	if err != nil {
		return nil, err
	}
	latest, err := feed.ParseLatest(data, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", feed.LatestFile, err)
	}
	if !fullNext(latest) {
		held, holds, ok := differingTold(v, latest.SHA256, v.Index.Distfiles)
		if ok && sumIs(v, feed.File(latest.Generation), latest.SHA256) {
			return &former{feed.State{Latest: latest}, held, holds}, nil
		}
	}
	s, err := feed.Follow(latest, nil, func(file string) ([]byte, error) { return read(v, file) })
	if err != nil {
		return nil, err
	}
	return &former{*s, s.List, holds(v.Index)}, nil
}

// fullNext reports whether the generation after latest has a full list, for which
// everything before is needed.
func fullNext(latest feed.Latest) bool { return (latest.Generation+1)%feed.FullEvery == 0 }

// sumIs reports whether a file has the digest sum.
func sumIs(v *vault.Vault, file, sum string) bool {
	f, err := regular.Open(v.Store.Path(rel(file)))
	if err != nil {
		return false
	}
	defer f.Close()
	h := digest.NewHasher()
	_, err = io.Copy(h, io.LimitReader(f, feed.MaxFile))
	return err == nil && h.Sum().Get(digest.SHA256).Hex() == sum
}

func read(v *vault.Vault, file string) ([]byte, error) {
	f, err := regular.Open(v.Store.Path(rel(file)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(f, feed.MaxFile))
	return b.Bytes(), err
}

func rel(file string) string { return path.Join(layout.GenerationsDir, file) }

// holds lists what an archive holds.
func holds(x *ledger.Index) feed.List {
	l := make(feed.List, len(x.Distfiles))
	for _, d := range x.Distfiles {
		l[feed.Key(d.Key())] = entry(d)
	}
	return l
}

func entry(d *ledger.Distfile) *feed.Entry {
	return &feed.Entry{Name: d.Name, Digests: d.Digests, Size: d.Size, Owner: d.Owner, Kind: d.Kind, Named: d.Named}
}

// publish makes the files of the generation after old durable, and then names it. It
// returns the digest of its file.
func publish(v *vault.Vault, old *feed.State, changes []feed.Change, signers []note.Signer) (sum string, err error) {
	g := &feed.Generation{Header: feed.Header{Generation: old.Generation + 1, Time: v.Now, Prev: old.SHA256}, Changes: changes}
	latest := feed.Latest{Generation: g.Generation, Time: v.Now, Full: old.Full}
	var files []store.Copy
	add := func(file string, g *feed.Generation) (sum string, err error) {
		data, err := g.Encode()
		files = append(files, store.Copy{Rel: rel(file), Data: data})
		return feed.Sum(data), err
	}
	if fullNext(old.Latest) {
		latest.Full = g.Generation
		if g.Full, err = add(feed.FullFile(g.Generation), feed.Full(g.Generation, v.Now, old.Past, holds(v.Index))); err != nil {
			return "", err
		}
	}
	if latest.SHA256, err = add(feed.File(g.Generation), g); err != nil {
		return "", err
	}
	text, err := latest.Encode(signers...)
	if err != nil {
		return "", err
	}
	if err := v.Store.Views.Expose(nil, files); err != nil {
		return "", vault.Damage(err)
	}
	if err := v.Store.Views.Expose(nil, []store.Copy{{Rel: rel(feed.LatestFile), Data: text}}); err != nil {
		return "", vault.Damage(err)
	}
	if latest.Full != g.Generation {
		return latest.SHA256, nil
	}
	return latest.SHA256, vault.Damage(v.Store.Views.Withdraw(outdated(g.Generation)...))
}

// outdated are the files that nobody needs when generation full, which has a full
// list, is published. The full list before it stays for those who are reading it.
func outdated(full int64) (rels []string) {
	last := full - feed.FullEvery
	for n := max(last-feed.FullEvery, 1); n < last; n++ {
		rels = append(rels, rel(feed.File(n)))
	}
	if last > feed.FullEvery {
		rels = append(rels, rel(feed.FullFile(last-feed.FullEvery)))
	}
	return rels
}
