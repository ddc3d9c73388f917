package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"distkeep/catalog/digest"
)

// beliefs are what the model knows beside the world.
type beliefs struct {
	tainted map[uint64]string // how inodes were changed by hand
	sums    map[uint64]string // of inodes, when they could be read
	legit   map[string]bool   // "NAME CONTENT" that a name was given
	// since is when a run may have scheduled "NAME CONTENT" first, noted when
	// history may have, and gone when it went to recycle.
	since, noted, gone map[string]time.Time
	savedSince         map[string]time.Time
	purging            map[string]bool      // what a run that was killed may have begun to purge
	retry              map[string]time.Time // when "NAME CONTENT" is tried again at the latest
	mourned            map[string]bool      // whitelisted names whose content was destroyed by hand
	unlisted           bool                 // the ledger does not know of what is published
	blind              bool                 // nor of recycle
	stale              bool                 // the ledger is an older one
	hands              bool                 // something was done by hand since the last run
	spoilt             bool                 // ever
	relaid             bool                 // no run has made the links of the layouts yet
}

func newBeliefs() beliefs {
	return beliefs{
		tainted: make(map[uint64]string), sums: make(map[uint64]string), legit: map[string]bool{"base Z": true},
		since: make(map[string]time.Time), noted: make(map[string]time.Time), gone: make(map[string]time.Time),
		retry: make(map[string]time.Time), mourned: make(map[string]bool), purging: make(map[string]bool),
	}
}

func (b *beliefs) forgetLedger() {
	b.unlisted, b.blind, b.hands, b.spoilt = true, true, true, true
	clear(b.mourned)
}

func (b *beliefs) restoreLedger() {
	b.forgetLedger()
	b.stale = true
	for k, t := range b.savedSince {
		if s, ok := b.since[k]; !ok || t.Before(s) {
			b.since[k] = t
		}
	}
}

// An onDisk is a regular file.
type onDisk struct {
	ino      uint64
	sum      string // SHA-256 in hex
	readable bool
	tainted  string
}

// sound reports whether it is what it was verified to be, as far as a run can
// tell.
func (f onDisk) sound() bool { return f.readable && f.tainted == "" }

// A state is what is on disk: the published tree, and recycle by DIGEST/NAME.
type state struct{ published, recycle map[string]onDisk }

func (m *model) scan() state {
	return state{m.scanDir(m.published("")), m.scanDir(m.path("archive", "state", "recycle"))}
}

func (m *model) scanDir(dir string) map[string]onDisk {
	files := make(map[string]onDisk)
	m.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f := onDisk{ino: fi.Sys().(*syscall.Stat_t).Ino, readable: true}
		if f.tainted = m.tainted[f.ino]; fi.Mode().Perm()&0o400 == 0 {
			f.readable, f.sum = false, m.sums[f.ino]
		} else {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f.sum = digest.SHA256.Sum(data).Hex()
			m.sums[f.ino] = f.sum
		}
		files[rel] = f
		return nil
	}))
	return files
}

// pair spells a name with a content.
func pair(n, c string) string { return n + " " + c }

// pairs calls f for every name with every content.
func pairs(f func(n, c, pair string)) {
	for _, n := range append(modelNames, "base") {
		for _, c := range append(modelContents, "Z") {
			f(n, c, pair(n, c))
		}
	}
}

func recycleKey(n, c string) string { return sumOf(c) + "/" + string(distName(n)) }

// held reports whether a content is published under a name, as it was verified.
func (s state) held(n, c string) bool {
	f, ok := s.published[cipherPath(n, c)]
	return ok && f.sum == sumOf(c)
}

func (s state) recycled(n, c string) bool {
	f, ok := s.recycle[recycleKey(n, c)]
	return ok && f.sum == sumOf(c)
}

// had reports whether a run can have a content without a transfer.
func (m *model) had(s state, n, c string) bool {
	if m.drops[n] == c && !m.sly[n] {
		return true
	}
	if m.stale {
		return false
	}
	for _, o := range append(modelNames, "base") {
		if f := s.published[cipherPath(o, c)]; s.held(o, c) && f.sound() {
			return true
		}
		if f := s.recycle[recycleKey(o, c)]; !m.blind && s.recycled(o, c) && f.sound() {
			return true
		}
	}
	return false
}
