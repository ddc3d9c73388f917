package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// A Log is a file that lines are appended to, in one of the formats of
// emirrordist. Its methods may be called concurrently.
type Log struct {
	mu  sync.Mutex
	f   *os.File
	err error
}

// OpenLog opens the log at path for appending, creating it. A FIFO must have a
// reader: nobody is waited for.
func OpenLog(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, err
	}
	return &Log{f: f}, nil
}

// Added writes a line of the success log: OWNER, FILE and "added N bytes".
func (l *Log) Added(owner, file string, size int64) {
	l.line(owner, file, fmt.Sprintf("added %d bytes", size))
}

// Removed writes a line of the success log: OWNER, FILE and "removed".
func (l *Log) Removed(owner, file string) { l.line(owner, file, "removed") }

// Failed writes a line of the failure log: OWNER, FILE and REASON.
func (l *Log) Failed(owner, file, reason string) { l.line(owner, file, reason) }

// line writes one line in one piece, so that lines of several writers do not
// mix.
func (l *Log) line(fields ...string) {
	for i, f := range fields {
		fields[i] = field(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		_, l.err = l.f.WriteString(strings.Join(fields, "\t") + "\n")
	}
}

// field replaces what would break a line of tab-separated fields. All other
// bytes stay as they are: names need not be UTF-8.
func field(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// Close closes the log and returns the first error of writing to it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.f.Close())
}

// WriteDeletionLog replaces the scheduled-deletion log at path: for each day,
// in UTC, on which something goes, a line "YYYY-MM-DD" and below it a line
// "<TAB>FILE<TAB>OWNER" for each file, both sorted, owners by their versions. As
// emirrordist has it, what should be gone already goes today.
func WriteDeletionLog(path string, ds []Deletion, now time.Time) error {
	type entry struct{ day, file, owner string }
	var es []entry
	for _, d := range ds {
		if d.State == Scheduled {
			owner, _, _ := strings.Cut(d.Owner, "::")
			day := d.Due
			if day.Before(now) {
				day = now
			}
			es = append(es, entry{day.UTC().Format(time.DateOnly), d.Name, cmp.Or(owner, "unknown")})
		}
	}
	slices.SortFunc(es, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.file, b.file), catalog.ComparePackages(a.owner, b.owner))
	})
	var b bytes.Buffer
	for i, e := range es {
		if i == 0 || e.day != es[i-1].day {
			fmt.Fprintln(&b, e.day)
		}
		fmt.Fprintf(&b, "\t%s\t%s\n", field(e.file), field(e.owner))
	}
	if err := replace(path, b.Bytes()); err != nil {
		return fmt.Errorf("scheduled-deletion log: %w", err)
	}
	return nil
}

// WriteText replaces the file of the operator's at path, atomically. A symbolic link
// stays one, and what is no regular file is written to.
func WriteText(path string, text []byte) error { return replace(path, text) }

// replace writes a file of the operator's. A symbolic link stays one, and what
// is no regular file, such as /dev/stdout, is written to and not replaced.
func replace(path string, text []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		// Nobody waits for the reader of a FIFO.
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return errors.Join(err, f.Close())
	}
	return regular.Write(path, text, 0o644)
}
