package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

func (m *model) ledgerOp(what string) {
	ledger, saved := m.path("archive", "state", "ledger"), m.path("saved")
	switch what {
	case "lose":
		m.must(os.RemoveAll(ledger))
		m.forgetLedger()
	case "save":
		if _, err := os.Stat(ledger); err != nil {
			return // there was no run yet
		}
		m.must(os.RemoveAll(saved))
		m.must(os.CopyFS(saved, os.DirFS(ledger)))
		m.savedSince = maps.Clone(m.since)
	case "restore":
		if _, err := os.Stat(saved); err != nil {
			return
		}
		m.must(os.RemoveAll(ledger))
		m.must(os.CopyFS(ledger, os.DirFS(saved)))
		m.restoreLedger()
	}
}

// replaceByCopy copies the archive, with its hard links and times or without.
func (m *model) replaceByCopy(links, times bool) {
	m.makeReadable()
	from, to := m.path("archive"), m.path("copied")
	first := make(map[uint64]string)
	m.must(filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		fi, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o755)
		case e.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			return errors.Join(err, os.Symlink(link, target))
		}
		ino := fi.Sys().(*syscall.Stat_t).Ino
		if old := first[ino]; links && old != "" {
			return os.Link(old, target)
		}
		first[ino] = target
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(target, data, fi.Mode().Perm())
		}
		at := m.tick()
		if times {
			at = fi.ModTime()
		}
		if err := errors.Join(err, os.Chtimes(target, at, at)); err != nil {
			return err
		}
		made, err := os.Stat(target)
		if err == nil && m.tainted[ino] != "" {
			m.tainted[made.Sys().(*syscall.Stat_t).Ino] = m.tainted[ino]
		}
		return err
	}))
	m.must(os.RemoveAll(from))
	m.must(os.Rename(to, from))
}

// layoutPaths are the paths of a name with a content in the layouts.
func layoutPaths(n, c string, layouts []string) (rels []string) {
	for _, l := range layouts {
		if rel, ok := modelSpecs[l].Path(distName(n), setOf(c)); ok {
			rels = append(rels, rel)
		}
	}
	return rels
}

// cipherPath is the path of a content below by_cipher.
func cipherPath(n, c string) string {
	return layout.ByCipher(digest.SHA256.Sum(modelBytes[c]), string(distName(n)))
}

// pathsOf are the published paths of a name that are there, with all its
// contents, layouts first.
func (m *model) pathsOf(n string) (rels []string) {
	var ciphers []string
	for _, c := range modelContents {
		if !m.legit[pair(n, c)] {
			continue
		}
		for _, rel := range append(layoutPaths(n, c, m.layouts), cipherPath(n, c)) {
			if _, err := os.Lstat(m.published(rel)); err != nil || slices.Contains(rels, rel) {
				continue
			}
			if strings.HasPrefix(rel, layout.CipherDir) {
				ciphers = append(ciphers, rel)
			} else {
				rels = append(rels, rel)
			}
		}
	}
	return append(rels, ciphers...)
}

// byHand does what people do in the published tree.
func (m *model) byHand(what, n, c string, all bool) {
	m.hands, m.spoilt = true, true
	if what == "overwrite" || what == "remove" {
		defer m.mourning(m.scan())
	}
	rels := m.pathsOf(n)
	if n == "" {
		for _, n := range modelNames {
			rels = append(rels, m.pathsOf(n)...)
		}
	} else if !all && len(rels) > 1 {
		rels = rels[:1]
	}
	if what == "foreign" { // N C: somebody puts C where N is, or would be
		rel := layoutPaths(n, c, m.layouts)[0]
		m.set(m.published(rel), modelBytes[c], m.tick())
		m.taint(rel, "foreign")
		m.legit[n+" "+c] = true
		return
	}
	for _, rel := range rels {
		path := m.published(rel)
		fi, err := os.Lstat(path)
		m.must(err)
		switch what {
		case "touch": // N|all: the time of a file is another one
			at := m.tick()
			m.must(os.Chtimes(path, at, at))
		case "unreadable": // N|all: a file may not be read, and has another time
			at := m.tick()
			m.must(errors.Join(os.Chtimes(path, at, at), os.Chmod(path, 0)))
		case "remove": // N, or N all: a path, or all of a name
			m.must(os.Remove(path))
		case "overwrite": // N C: in place, through every link
			at := m.tick()
			m.must(errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, modelBytes[c], 0o644), os.Chtimes(path, at, at)))
			m.taint(rel, "overwritten")
			for _, n := range modelNames { // one inode may have several names
				m.legit[pair(n, c)] = true
			}
		case "rot": // N: a bit is not what it was
			data, err := os.ReadFile(path)
			if err != nil {
				return // it was made unreadable before
			}
			data[len(data)/2] ^= 1
			m.must(errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, data, 0o644), os.Chtimes(path, fi.ModTime(), fi.ModTime())))
			m.taint(rel, "rotten")
		}
	}
}

func (m *model) makeReadable() {
	m.must(filepath.WalkDir(m.path("archive"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err == nil && fi.Mode().Perm() == 0 {
			err = os.Chmod(path, 0o644)
		}
		return err
	}))
}

// taint notes the inode of a published path as changed by hand.
func (m *model) taint(rel, how string) {
	fi, err := os.Lstat(m.published(rel))
	m.must(err)
	m.tainted[fi.Sys().(*syscall.Stat_t).Ino] = how
}
