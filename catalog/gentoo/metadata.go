package gentoo

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"distkeep/catalog/gentoo/ebuild"
)

// A metadata knows what ebuilds want that the cache of their tree does not
// describe: from a cache of our own, by running the ebuild, or from a program.
type metadata struct {
	ctx      context.Context
	repo     *Repository
	dir      string   // of our own cache, or empty
	cache    *os.Root // nil where nothing has been kept yet
	eclasses *ebuild.Evaluator
	roots    []*os.Root // where eclasses are, the first wins

	generate sync.Once
	made     *os.Root // the cache that a program made
	why      error    // why there is none

	mu   sync.Mutex
	used map[string]bool
}

// metadata opens what the scan needs. A cache that cannot be opened is none.
func (r *Repository) metadata(ctx context.Context) *metadata {
	m := &metadata{ctx: ctx, repo: r, dir: r.opts.Cache, used: make(map[string]bool)}
	paths := []string{r.path}
	for i := len(r.opts.Masters) - 1; i >= 0; i-- {
		paths = append(paths, r.opts.Masters[i])
	}
	for _, p := range paths {
		if root, err := os.OpenRoot(p); err == nil {
			m.roots = append(m.roots, root)
		}
	}
	m.eclasses = ebuild.New(m.eclass)
	if r.opts.Cache != "" {
		m.dir = filepath.Join(r.opts.Cache, r.name)
		m.cache, _ = os.OpenRoot(m.dir)
	}
	return m
}

// finish forgets the entries of our own cache that no ebuild has used, if all were
// read.
func (m *metadata) finish(all bool) {
	for _, r := range append(m.roots, m.made) {
		if r != nil {
			r.Close()
		}
	}
	if m.cache == nil {
		return
	}
	defer m.cache.Close()
	if !all || m.repo.opts.ReadOnly || m.ctx.Err() != nil {
		return
	}
	_ = fs.WalkDir(m.cache.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !m.used[path] {
			_ = m.cache.Remove(path)
		}
		return nil
	})
}

// eclass reads an eclass of the tree, or of a master.
func (m *metadata) eclass(name string) ([]byte, error) {
	for _, r := range m.roots {
		b, err := readRegular(r, "eclass/"+name+".eclass")
		if !errors.Is(err, fs.ErrNotExist) {
			return b, plain(err)
		}
	}
	return nil, ebuild.ErrNoEclass
}

// readRegular reads a file that is neither a pipe nor too large.
func readRegular(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case st.Size() > maxFile:
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// stale says why an entry does not describe an ebuild, or "".
func (m *metadata) stale(e *entry, sum []byte) string {
	if !isHex(e.md5, sum) {
		return "the metadata cache entry is stale"
	}
	fields := strings.Fields(string(e.eclasses))
	for i := 0; i+1 < len(fields); i += 2 {
		name := fields[i]
		// Some formats have the path between the name and the sum.
		if strings.HasPrefix(fields[i+1], "/") && i+2 < len(fields) {
			i++
		}
		if sum, ok := m.eclasses.Sum(name); ok && !isHex([]byte(fields[i+1]), sum[:]) {
			return fmt.Sprintf("the metadata cache entry is stale, because %.60s.eclass has changed", name)
		}
	}
	return ""
}

// entry finds out what an ebuild wants.
func (m *metadata) entry(cat, pf string, text []byte) (entry, error) {
	path := cat + "/" + pf
	if e, _, ok := m.fresh(m.kept(), path, text); ok && string(e.own) == ebuild.Version && m.unseen(e.known) {
		m.use(path)
		return e, nil
	}
	pn, version, _ := splitVersion(pf)
	md, err := m.eclasses.Run(m.ctx, &ebuild.Package{Category: cat, Name: pn, Version: version, Text: text})
	if err == nil {
		b := formatEntry(md, text)
		m.keep(path, b)
		return parseEntry(b), nil
	}
	if m.ctx.Err() != nil || m.repo.opts.Generate == nil {
		return entry{}, err
	}
	m.generate.Do(m.ask)
	if e, b, ok := m.fresh(m.made, path, text); ok {
		m.keep(path, fmt.Appendf(b, "\n_distkeep_=%s\n", ebuild.Version))
		return e, nil
	}
	if m.why != nil {
		err = fmt.Errorf("%w; %w", err, m.why)
	}
	return entry{}, err
}

// ask has a program make a cache.
func (m *metadata) ask() {
	dir, err := m.repo.opts.Generate(m.ctx, m.repo.path)
	if err == nil {
		m.made, err = os.OpenRoot(dir)
	}
	m.why = err
}

// fresh reads an entry that describes the ebuild as it is.
func (m *metadata) fresh(cache *os.Root, path string, text []byte) (e entry, b []byte, ok bool) {
	if cache == nil {
		return entry{}, nil, false
	}
	b, err := readRegular(cache, path)
	if err != nil {
		return entry{}, nil, false
	}
	e = parseEntry(b)
	sum := md5.Sum(text)
	return e, bytes.TrimRight(b, "\n"), m.stale(&e, sum[:]) == ""
}

// unseen reports whether none of the eclasses is at hand now: what they do was
// known without them.
func (m *metadata) unseen(names []byte) bool {
	for name := range bytes.FieldsSeq(names) {
		if _, ok := m.eclasses.Sum(string(name)); ok {
			return false
		}
	}
	return true
}

func (m *metadata) use(path string) {
	m.mu.Lock()
	m.used[path] = true
	m.mu.Unlock()
}

// formatEntry writes an entry as md5-dict caches have it.
func formatEntry(md *ebuild.Metadata, text []byte) []byte {
	var b bytes.Buffer
	line := func(key, value string) {
		if value = strings.Join(strings.Fields(value), " "); value != "" {
			fmt.Fprintf(&b, "%s=%s\n", key, value)
		}
	}
	line("EAPI", md.EAPI)
	line("PROPERTIES", md.Properties)
	line("RESTRICT", md.Restrict)
	line("SRC_URI", md.SrcURI)
	line("_distkeep_", ebuild.Version)
	if len(md.Eclasses) > 0 {
		var es []string
		for _, e := range md.Eclasses {
			es = append(es, e.Name, hex.EncodeToString(e.MD5[:]))
		}
		fmt.Fprintf(&b, "_eclasses_=%s\n", strings.Join(es, "\t"))
	}
	line("_known_", strings.Join(md.Known, " "))
	fmt.Fprintf(&b, "_md5_=%x\n", md5.Sum(text))
	return b.Bytes()
}

// keep writes an entry into our own cache. One that cannot be written is worked
// out again in the next scan.
func (m *metadata) keep(path string, b []byte) {
	if m.dir == "" || m.repo.opts.ReadOnly {
		return
	}
	cache := m.kept()
	if cache == nil {
		if cache = m.create(); cache == nil {
			return
		}
	}
	m.use(path)
	tmp := path + ".new"
	err := cache.WriteFile(tmp, b, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		_ = cache.MkdirAll(filepath.Dir(path), 0o755)
		err = cache.WriteFile(tmp, b, 0o644)
	}
	if err == nil {
		err = cache.Rename(tmp, path)
	}
	if err != nil {
		_ = cache.Remove(tmp)
	}
}

// kept is our own cache, or nil.
func (m *metadata) kept() *os.Root {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cache
}

// create makes our own cache. Where that cannot be, nothing is kept.
func (m *metadata) create() *os.Root {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cache == nil && os.MkdirAll(m.dir, 0o755) == nil {
		m.cache, _ = os.OpenRoot(m.dir)
	}
	return m.cache
}
