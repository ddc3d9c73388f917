// Package whitelist reads and writes the lists of distfiles to keep although
// no package wants them.
//
// The format is that of profiles/package.mask with exact names of distfiles
// in place of package atoms: a block is a comment that says who, when and why,
// and the names below it, one a line; a blank line ends the block.
//
//	# Author Name <mail@example.org> (2026-01-02)
//	# Old releases are still built by the installation media.
//	foo-1.0.tar.gz
//	foo-1.1.tar.gz
//
// It is read tolerantly, so that the lists of emirrordist's --whitelist-from
// (names, and lines that begin with "#") are valid, and written strictly:
// [Add] refuses what does not say who, when and why, and [List.Check] reports
// it.
package whitelist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// An Entry is one name of a list.
type Entry struct {
	Name catalog.Name `json:"name"`
	// Author, Date and Reason are those of the comment of the block; they
	// are empty where it does not have them. Author is "Name <mail>", Date
	// midnight UTC of the day, Reason one or more lines without their "#".
	Author string    `json:"author,omitempty"`
	Date   time.Time `json:"date,omitzero"`
	Reason string    `json:"reason,omitempty"`
	// File and Line are where the name was read.
	File string `json:"file"`
	Line int    `json:"line"`
}

// A List is what one run keeps. It is not changed once it is loaded.
type List struct {
	entries []Entry
	first   map[catalog.Name]int
}

// Load reads files and directories. In a directory it reads, in the order of
// their names and in sub-directories as well, the regular files whose names
// neither begin with "." nor end in "~".
//
// A list that is not read whole would have files deleted that somebody wants
// kept. So a missing path, a name that cannot be one of a distfile, a symbolic
// link to nothing or to a directory, and what is neither file nor directory are
// errors: a run reads its lists twice, and a pipe has its bytes only once.
func Load(paths ...string) (*List, error) {
	l := &List{first: make(map[catalog.Name]int)}
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("whitelist: %w", err)
		}
		if !st.IsDir() {
			if err := l.load(p); err != nil {
				return nil, err
			}
			continue
		}
		if err := l.loadDir(p); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *List) loadDir(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("whitelist: %w", err)
		}
		if p == dir {
			return nil
		}
		if strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), "~") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		mode := d.Type()
		if mode&fs.ModeSymlink != 0 {
			st, err := os.Stat(p)
			if err != nil {
				return fmt.Errorf("whitelist: %w", err)
			}
			if mode = st.Mode().Type(); mode.IsDir() {
				return fmt.Errorf("whitelist: %s is a symbolic link to a directory: give that directory as well instead", p)
			}
		}
		if mode.IsDir() {
			return nil
		}
		return l.load(p)
	})
}

func (l *List) load(file string) error {
	f, err := regular.Open(file)
	if err != nil {
		return fmt.Errorf("whitelist: %w", err)
	}
	defer f.Close()
	es, err := Parse(file, f)
	if err != nil {
		return err
	}
	for _, e := range es {
		if _, dup := l.first[e.Name]; !dup {
			l.first[e.Name] = len(l.entries)
		}
		l.entries = append(l.entries, e)
	}
	return nil
}

// Has returns the first entry for name.
func (l *List) Has(name catalog.Name) (Entry, bool) {
	i, ok := l.first[name]
	if !ok {
		return Entry{}, false
	}
	return l.entries[i], true
}

// Entries returns all entries in the order of the files; a name may occur more
// than once. The slice must not be changed.
func (l *List) Entries() []Entry { return l.entries }

// An Issue is something that a person should put right in a list. It does not
// stop the list from being used.
type Issue struct {
	File string       `json:"file"`
	Line int          `json:"line"`
	Name catalog.Name `json:"name"`
	Msg  string       `json:"message"`
}

// String returns "file:line: name: message".
func (i Issue) String() string { return fmt.Sprintf("%s:%d: %s: %s", i.File, i.Line, i.Name, i.Msg) }

// maxAhead is how far local time may be ahead of UTC: a date is in the future
// only when it has not come anywhere yet.
const maxAhead = 14 * time.Hour

// Check returns the issues of the list in its order: names without a comment,
// or whose comment lacks the author, the date or the reason, dates after now,
// names that occur twice, names that seem to have a comment behind them, and names
// that look like patterns.
func (l *List) Check(now time.Time) []Issue {
	var is []Issue
	for i, e := range l.entries {
		add := func(format string, args ...any) {
			is = append(is, Issue{e.File, e.Line, e.Name, fmt.Sprintf(format, args...)})
		}
		switch lacks := e.lacks(); {
		case len(lacks) == 3:
			add("no comment: want %q and a reason above it", "# Author Name <mail> (YYYY-MM-DD)")
		case len(lacks) > 0:
			add("comment has no %s: want %q and a reason", strings.Join(lacks, " and no "), "# Author Name <mail> (YYYY-MM-DD)")
		}
		if e.Date.After(now.Add(maxAhead)) {
			add("date %s is in the future", e.Date.Format(time.DateOnly))
		}
		if f := l.entries[l.first[e.Name]]; l.first[e.Name] != i {
			add("is at %s:%d already", f.File, f.Line)
		}
		if strings.Contains(string(e.Name), " #") {
			add("the whole line is taken for the name: put the comment on a line of its own")
		}
		if e.LooksLikePattern() {
			add("it is taken for the name of one file: a whitelist has no patterns")
		}
	}
	return is
}

// Stale returns, in the order of the list, the entries that hold nothing: names of which
// the archive has no file, and names that a package wants again. held says whether the
// archive has a file, unwanted whether no package wants it.
func (l *List) Stale(held, unwanted func(catalog.Name) bool) []Issue {
	var is []Issue
	for _, e := range l.entries {
		switch {
		case !held(e.Name):
			is = append(is, Issue{e.File, e.Line, e.Name, "the archive has no such file"})
		case !unwanted(e.Name):
			is = append(is, Issue{e.File, e.Line, e.Name, "a package wants it, and keeps it by itself"})
		}
	}
	return is
}

// LooksLikePattern reports whether the name of e may be meant for several files: it is
// taken for the name of one.
func (e Entry) LooksLikePattern() bool { return strings.ContainsAny(string(e.Name), "*?[") }

// lacks names what the comment of e does not say.
func (e Entry) lacks() []string {
	var lacks []string
	if e.Author == "" {
		lacks = append(lacks, "author")
	}
	if e.Date.IsZero() {
		lacks = append(lacks, "date")
	}
	if e.Reason == "" {
		lacks = append(lacks, "reason")
	}
	return lacks
}

// maxFile bounds one list: 16 MiB are 200,000 names of common length with a
// comment each.
const maxFile = 16 << 20

// Parse reads one list; file is for Entry.File and for errors.
func Parse(file string, r io.Reader) ([]Entry, error) {
	data, err := readAll(file, r)
	if err != nil {
		return nil, err
	}
	d, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	return d.entries(), nil
}

func readAll(file string, r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		// Errors of files name the file themselves.
		var pe *fs.PathError
		if errors.As(err, &pe) {
			return "", fmt.Errorf("whitelist: %w", err)
		}
		return "", fmt.Errorf("whitelist: read %s: %w", file, err)
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("whitelist: %s is longer than %d bytes", file, maxFile)
	}
	return string(data), nil
}
