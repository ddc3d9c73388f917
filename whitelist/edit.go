package whitelist

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// Format returns entries as blocks, with a blank line between two of them.
// Neighbours of one author, date and reason share a block. It returns an error
// when an entry lacks one of these, or when anything of it would not be read
// back as it is: a name that begins with "#", say. File and Line do not matter.
func Format(entries ...Entry) ([]byte, error) {
	var b bytes.Buffer
	var last Entry
	want := make([]Entry, len(entries))
	for i, e := range entries {
		e.File, e.Line = "", 0
		e.Reason = trimReason(e.Reason)
		if lacks := e.lacks(); len(lacks) > 0 {
			return nil, fmt.Errorf("whitelist %q: no %s", e.Name, strings.Join(lacks, ", no "))
		}
		want[i] = e
		name := e.Name
		e.Name = ""
		if i == 0 || e != last {
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "# %s (%s)\n", e.Author, e.Date.Format(time.DateOnly))
			for r := range strings.SplitSeq(e.Reason, "\n") {
				b.WriteString(strings.TrimRight("# "+r, " ") + "\n")
			}
			last = e
		}
		fmt.Fprintf(&b, "%s\n", name)
	}
	if err := readsBack(b.String(), want); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// readsBack is the one test of whether a name, an author or a reason can be
// written: it must come out of the parser as it went in.
func readsBack(text string, want []Entry) error {
	d, err := parse("new entry", text)
	if err != nil {
		return fmt.Errorf("whitelist: %w", err)
	}
	got := d.entries()
	for i, w := range want {
		switch {
		case i >= len(got) || got[i].Name != w.Name:
			return fmt.Errorf("whitelist: name %q cannot be written to a list", w.Name)
		case got[i].Author != w.Author || !strings.HasSuffix(w.Author, ">") || strings.HasPrefix(w.Author, "<"):
			return fmt.Errorf("whitelist %q: author %q: want Name <mail>", w.Name, w.Author)
		case !got[i].Date.Equal(w.Date):
			return fmt.Errorf("whitelist %q: date %s is not midnight UTC of a day", w.Name, w.Date)
		case got[i].Reason != w.Reason || strings.ContainsFunc(w.Reason, isControl):
			return fmt.Errorf("whitelist %q: reason %q cannot be written to a list", w.Name, w.Reason)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }

// trimReason drops the white space that is not read back.
func trimReason(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(trimEmpty(lines), "\n")
}

// Day returns the date of an entry made at t, in the location of t.
func Day(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Add appends entries to the list in file as Format writes them. Everything
// else in it stays as it is, byte for byte. The file is replaced atomically
// and durably, keeping its permissions, and is created when there is none;
// several programs may do so at the same time.
//
// Add refuses names that the file has already or that are given twice, what
// Format refuses, and files that Load refuses. Then nothing is changed.
func Add(file string, entries ...Entry) error {
	block, err := Format(entries...)
	if err != nil || len(entries) == 0 {
		return err
	}
	return edit(file, true, func(d *document, data string) (string, error) {
		have := make(map[catalog.Name]string)
		for _, e := range d.entries() {
			have[e.Name] = fmt.Sprintf("is at %s:%d already", e.File, e.Line)
		}
		for _, e := range entries {
			if where, dup := have[e.Name]; dup {
				return "", fmt.Errorf("whitelist %q: %s", e.Name, where)
			}
			have[e.Name] = "is given twice"
		}
		if data != "" && !strings.HasSuffix(data, "\n") {
			data += "\n"
		}
		if n := len(d.lines); n > 0 && d.lines[n-1].block >= 0 {
			data += "\n"
		}
		return data + string(block), nil
	})
}

// Remove takes names out of the list in file, and the comment of a block that
// is left without names with them. Everything else in it stays as it is; a note
// between names may thus become part of the comment above them. The file is
// replaced as by Add. A name that it does not have is an error, and then
// nothing is changed.
func Remove(file string, names ...catalog.Name) error {
	return edit(file, false, func(d *document, _ string) (string, error) {
		have := make(map[catalog.Name]bool, len(d.lines))
		for _, l := range d.lines {
			have[l.name] = true
		}
		gone := make(map[catalog.Name]bool, len(names))
		for _, n := range names {
			if n == "" || !have[n] {
				return "", fmt.Errorf("whitelist: %q is not in %s", n, file)
			}
			gone[n] = true
		}
		return d.remove(gone), nil
	})
}

// edit replaces the content of file by what change makes of it, under a lock.
func edit(file string, create bool, change func(d *document, data string) (string, error)) error {
	// Renaming over a symbolic link would replace the link.
	if _, err := os.Lstat(file); err == nil {
		if file, err = regular.Follow(file); err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			return fmt.Errorf("whitelist: %w", err)
		}
	} else if !create {
		return fmt.Errorf("whitelist: %w", err)
	}
	// The lock cannot be on the file itself, which is replaced. The dot
	// keeps it out of the lists of a directory.
	dir, base := filepath.Split(file)
	lock := flock.New(filepath.Join(dir, "."+base+".lock"), flock.SetFlag(regular.LockFlags))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("whitelist: lock %s: %w", lock.Path(), err)
	}
	defer func() { _ = lock.Unlock() }() // closing it cannot lose anything

	data := ""
	f, err := regular.Open(file)
	switch {
	case err == nil:
		data, err = readAll(file, f)
		_ = f.Close() // only read
		if err != nil {
			return err
		}
	case !create || !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("whitelist: %w", err)
	}
	d, err := parse(file, data)
	if err != nil {
		return err
	}
	changed, err := change(d, data)
	if err != nil || changed == data {
		return err
	}
	return replace(file, changed)
}

func replace(file, data string) error {
	if err := regular.Write(file, []byte(data), 0o644); err != nil {
		return fmt.Errorf("whitelist: %w", err)
	}
	return nil
}
