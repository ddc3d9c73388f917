package gentoo

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// stampSize is that of the hash of the IDs.
const stampSize = 16

// A stamp is what is known of a package by its files.
type stamp struct {
	// record is what the file of stamps has of the package, if it may be of use.
	record string
	// dir is the ID of its directory before that was listed.
	dir regular.ID
	// fits tells that its files are what they were when the record was made, used
	// that the record was taken, and kept that sum is that of what was read now.
	fits, used, kept bool
	sum              [stampSize]byte
}

// seen are the IDs of the files of a package, in this order: its directory, its
// Manifest if it has one, and for each ebuild that, unless the cache is all there is,
// and its entry in the cache. What is not there has the zero ID.
type seen struct {
	ids    []byte
	newest int64 // the time of the youngest change
	// unsure tells that an ID may not be that of what was read.
	unsure bool
}

func (s *seen) reset() { *s = seen{ids: s.ids[:0]} }

func (s *seen) add(id regular.ID) {
	for _, v := range [...]uint64{id.Dev, id.Inode, uint64(id.Size), uint64(id.ModTime), uint64(id.Changed)} {
		s.ids = binary.LittleEndian.AppendUint64(s.ids, v)
	}
	s.newest = max(s.newest, id.ModTime, id.Changed)
}

func (s *seen) sum() (sum [stampSize]byte) {
	all := sha256.Sum256(s.ids)
	copy(sum[:], all[:])
	return sum
}

// idOf is the ID of an open directory, zero where there is none.
func idOf(d dir) regular.ID {
	var st unix.Stat_t
	if d.err != nil || unix.Fstat(d.fd, &st) != nil {
		return regular.ID{}
	}
	return regular.IDOfStat(&st)
}

// look adds the ID of name in d, that of a link itself. ok is false where it cannot be
// known.
func (w *worker) look(d dir, name string) (id regular.ID, ok bool) {
	var st unix.Stat_t
	err := d.err
	if err == nil {
		err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	}
	switch {
	case err == nil:
		id = regular.IDOfStat(&st)
	case !notThere(err):
		return id, false
	}
	w.seen.add(id)
	return id, true
}

// lookAtUnit finds out whether the record of the unit at hand fits. It returns how many
// ebuilds that has.
func (w *worker) lookAtUnit(cat, cache dir) (ebuilds int) {
	u := w.unit
	if u.stamp.record == "" {
		return 0
	}
	c := cursor{rest: u.stamp.record}
	r := c.record(w.cpvs)
	w.cpvs = r.cpvs
	w.seen.reset()
	dir, ok := w.look(cat, u.pn)
	if r.manifest == 1 && ok {
		_, ok = w.look(cat, u.pn+"/Manifest")
	}
	for i := 0; i < len(r.cpvs) && ok && !c.bad; i++ {
		pf := r.cpvs[i][len(u.cat)+1:]
		if !w.t.stamps.fromCache {
			_, ok = w.look(cat, u.pn+"/"+pf+".ebuild")
		}
		if ok {
			_, ok = w.look(cache, pf)
		}
	}
	if sum := w.seen.sum(); !ok || c.bad || string(sum[:]) != r.sum {
		u.stamp.record = ""
		return 0
	}
	u.stamp.fits, u.stamp.dir, u.manifest = true, dir, r.manifest == 1
	return len(r.cpvs)
}

// takeRecord takes the record of the unit at hand, which fits. It returns false when the
// package has to be read nevertheless.
func (w *worker) takeRecord() bool {
	u := w.unit
	c := cursor{rest: u.stamp.record}
	r := c.record(w.cpvs)
	w.cpvs = r.cpvs
	distfiles := w.stocks.distfiles.take(c.count())
	pointers := w.stocks.pointers.take(len(distfiles))
	for i := range distfiles {
		pointers[i] = &distfiles[i]
		w.distfile(&c, pointers[i], r.cpvs)
	}
	files := w.stocks.files.take(len(r.cpvs))
	for i, cpv := range r.cpvs {
		files[i] = cpv[min(len(u.cat)+1, len(cpv)):]
	}
	// The entries of the cache were listed anew.
	if c.bad || c.rest != "" || w.t.fromCache && !slices.Equal(files, u.files) {
		u.stamp.fits = false
		return false
	}
	u.files, u.distfiles, u.unreferenced, u.nomirror = files, pointers, r.unreferenced, r.nomirror
	u.stamp.used = true
	return true
}

// keepStamp makes the stamp of the unit at hand, which was read, if it may have one.
func (w *worker) keepStamp() {
	u, s := w.unit, w.t.stamps
	if s.keep && len(u.problems) == 0 && !w.seen.unsure && !w.followed && w.seen.newest < s.since {
		u.stamp.sum, u.stamp.kept = w.seen.sum(), true
	}
}

// source makes the source of a URI.
func (w *worker) source(uri string) catalog.Source {
	s := catalog.Source{URI: uri}
	if group, ok := mirrorGroup(uri); ok {
		if s.Bases = w.t.mirrors[group]; len(s.Bases) == 0 {
			s.Missing = w.undefined(group)
		}
	}
	return s
}
