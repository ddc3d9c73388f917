// Package report is how others look at an archive: the files that each run
// exports for readers, which therefore never need the ledger or the lock, and
// the logs that other programs parse.
package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distkeep/catalog/regular"
)

// The files of the report directory.
const (
	failuresFile   = "failures.jsonl"
	restrictedFile = "restricted.jsonl"
	deletionsFile  = "deletions.jsonl"
	// StatusFile has the summary of the last run.
	StatusFile = "status.json"
)

// Shared are the files that tell others of the archive, beside StatusFile, which says how
// the last run ended; the rest is about this machine.
var Shared = []string{distfilesFile, pastFile, failuresFile, restrictedFile, deletionsFile}

// A Failure is a wanted content that the archive does not have. AppendJSON and decode
// have all its fields.
type Failure struct {
	Name   string `json:"name"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
	Owner  string `json:"owner"`
	// Owners are all that want it, Owner first, and Maintainers who looks
	// after the package of Owner, as far as the tree says so.
	Owners      []string `json:"owners,omitempty"`
	Maintainers []string `json:"maintainers,omitempty"`
	// Size is that of the content, or zero where the tree does not say.
	Size int64 `json:"size"`
	// New says that the run before the last had it not.
	New   bool      `json:"new"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Next is when the next try is due; zero is in every run.
	Next  time.Time `json:"next,omitzero"`
	Count int       `json:"count"`
	// Answers are those of the places that were asked last.
	Answers []Answer `json:"answers,omitempty"`
	// Shard is the one that it is of, in a list that Merge has made: empty is all.
	Shard string `json:"shard,omitempty"`
}

// An Answer is what one place said that was asked for a file.
type Answer struct {
	URL   string `json:"url"`
	Host  string `json:"host,omitempty"`
	Class string `json:"class"`
	Text  string `json:"text"`
}

// Text is the reason after the class, which most reasons begin with.
func (f *Failure) Text() string {
	return f.Class + ": " + strings.TrimPrefix(f.Reason, f.Class+": ")
}

// The states of a Deletion.
const (
	Scheduled = "scheduled" // published until Due
	Recycled  = "recycled"  // in recycle until Due
	Protected = "protected" // published until the package By is known
)

// A Deletion is a content on its way out, or one that would be.
type Deletion struct {
	Name   string    `json:"name"`
	SHA256 string    `json:"sha256"`
	Size   int64     `json:"size"`
	Owner  string    `json:"owner"`
	State  string    `json:"state"`
	Since  time.Time `json:"since,omitzero"`
	// Due is when it leaves its state at the earliest; for what is protected
	// nobody can tell.
	Due time.Time `json:"due,omitzero"`
	// By is the package that cannot be known and protects it.
	By string `json:"by,omitempty"`
	// Shard is the one that has it, in a list that Merge has made.
	Shard string `json:"shard,omitempty"`
}

// ErrNoRun means that no run has exported anything yet.
var ErrNoRun = errors.New("no run has finished yet")

// ErrDamaged means that the exported distfiles cannot be read.
var ErrDamaged = errors.New("the list is damaged")

// WriteFailures exports failures to the report directory dir. Of a failure that
// is too long for readers the last answers and the end of the reason are left out:
// trees are untrusted, and one may name thousands of URIs for a file.
func WriteFailures(dir string, fs []Failure, replace regular.Replacer) error {
	return writeShort(dir, failuresFile, fs, replace)
}

// WriteRestricted exports what must not be mirrored, in the form of failures, of
// which it is none: it has neither times nor a count.
func WriteRestricted(dir string, fs []Failure, replace regular.Replacer) error {
	return writeShort(dir, restrictedFile, fs, replace)
}

func writeShort(dir, file string, fs []Failure, replace regular.Replacer) error {
	return writeLines(dir, file, func(yield func(*Failure) bool) {
		for _, f := range fs {
			if f.shorten(); !yield(&f) {
				return
			}
		}
	}, replace)
}

// Encoding makes a byte six at the most, so that these fit into a line together.
const (
	maxAnswers = maxLine / 16 // of all answers of a failure together
	maxReason  = maxLine / 64
)

func (f *Failure) shorten() {
	sum := 0
	for i, a := range f.Answers {
		// What the names of the fields cost beside the bytes.
		if sum += len(a.URL) + len(a.Host) + len(a.Class) + len(a.Text) + 50; sum > maxAnswers {
			f.Answers = f.Answers[:i]
			break
		}
	}
	if len(f.Reason) > maxReason {
		f.Reason = strings.ToValidUTF8(f.Reason[:maxReason], "") + "…"
	}
}

// SortDeletions puts what is next to go first.
func SortDeletions(ds []Deletion) {
	never := func(d Deletion) int {
		if d.Due.IsZero() {
			return 1
		}
		return 0
	}
	slices.SortFunc(ds, func(a, b Deletion) int {
		return cmp.Or(never(a)-never(b), a.Due.Compare(b.Due), cmp.Compare(a.Name, b.Name), cmp.Compare(a.SHA256, b.SHA256))
	})
}

// WriteDeletions exports deletions.
func WriteDeletions(dir string, ds []Deletion, replace regular.Replacer) error {
	return writeLines(dir, deletionsFile, Each(ds), replace)
}

// WriteStatus exports the summary of a run as indented JSON.
func WriteStatus(dir string, summary any, replace regular.Replacer) error {
	Fill(summary)
	text, err := json.MarshalIndent(summary, "", "  ")
	if err != nil {
		return err
	}
	return write(dir, StatusFile, append(text, '\n'), replace)
}

// LoadFailures reads what WriteFailures wrote.
func LoadFailures(dir string) ([]Failure, error) { return collect(Failures(dir, Question{})) }

// A Question says which failures somebody asks for, as far as their lines tell that
// before they are decoded. The zero value asks for all.
type Question struct {
	// New and Class are as in Failure, Names are those of files; empty is any.
	New   bool
	Class string
	Names []string
}

// Failures yields, of what WriteFailures wrote, what q asks for and few others, without
// holding all of it. An error is the last that it yields.
func Failures(dir string, q Question) iter.Seq2[*Failure, error] {
	return lines[Failure](dir, failuresFile, q.wanted())
}

// Restricted yields what WriteRestricted wrote, in the same way.
func Restricted(dir string) iter.Seq2[*Failure, error] {
	return lines[Failure](dir, restrictedFile, nil)
}

// wanted returns a function that reports whether a line may be of what q asks for, or
// nil where all are. A text in quotes has none inside, so that what it looks for is
// found in fields alone; some answer may be of the class.
func (q *Question) wanted() func(line []byte) bool {
	var marks [][]byte
	if q.New {
		marks = append(marks, []byte(`,"new":true,`))
	}
	if q.Class != "" {
		marks = append(marks, append(appendText([]byte(`,"class":`), q.Class), ','))
	}
	names := make(map[string]bool, len(q.Names))
	for _, n := range q.Names {
		names[string(appendText([]byte(`{"name":`), n))] = true
	}
	if len(marks)+len(names) == 0 {
		return nil
	}
	class := []byte(`,"class":`)
	return func(line []byte) bool {
		for _, m := range marks {
			if !bytes.Contains(line, m) {
				return false
			}
		}
		name, _, _ := bytes.Cut(line, class)
		return len(names) == 0 || names[string(name)]
	}
}

// FindFailures returns the failures of a name. Only their lines are decoded. The error
// wraps ErrDamaged when one of those cannot be read.
func FindFailures(dir, name string) ([]Failure, error) {
	return findLines[Failure](dir, failuresFile, name)
}

// CountFailures returns how many of the failures that WriteFailures wrote were found
// last after t. It decodes nothing else of them.
func CountFailures(dir string, t time.Time) (n int, err error) {
	f, err := open(dir, failuresFile)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return countLines(f.Name(), f, t)
}

func countLines(path string, r io.Reader, t time.Time) (n int, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, readSize), maxLine)
	at := 1
	for ; sc.Scan(); at++ {
		line, last := sc.Bytes(), time.Time{}
		ok := bytes.HasPrefix(line, []byte("{")) && bytes.HasSuffix(line, []byte("}"))
		// No text has a quote that is not escaped: this is the field.
		if _, rest, has := bytes.Cut(line, []byte(`,"last":"`)); has {
			text, _, _ := bytes.Cut(rest, []byte(`"`))
			ok = ok && last.UnmarshalText(text) == nil
		}
		if !ok {
			return 0, damaged(path, at, errors.New("not a record"))
		}
		if last.After(t) {
			n++
		}
	}
	if err := sc.Err(); err != nil {
		return 0, damaged(path, at, err)
	}
	return n, nil
}

// LoadDeletions reads what WriteDeletions wrote.
func LoadDeletions(dir string) ([]Deletion, error) { return loadLines[Deletion](dir, deletionsFile) }

// LoadStatus reads what WriteStatus wrote into summary.
func LoadStatus(dir string, summary any) error {
	f, err := open(dir, StatusFile)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStatus+1))
	if err == nil && len(text) > maxStatus {
		err = fmt.Errorf("longer than %d bytes", maxStatus)
	}
	if err != nil {
		return damaged(f.Name(), lineOf(text, err), err)
	}
	return parseStatus(f.Name(), text, summary)
}

// parseStatus parses the text of the file path into summary.
func parseStatus(path string, text []byte, summary any) error {
	if err := json.Unmarshal(text, summary); err != nil {
		return damaged(path, lineOf(text, err), err)
	}
	return nil
}

// maxStatus bounds the summary of a run, whose longest part are the problems of
// its repositories.
const maxStatus = 64 << 20

// lineOf returns the line of text that err, of decoding it, is about.
func lineOf(text []byte, err error) int {
	at := int64(0)
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		at = e.Offset
	} else if e := (*json.UnmarshalTypeError)(nil); errors.As(err, &e) {
		at = e.Offset
	}
	return 1 + bytes.Count(text[:min(at, int64(len(text)))], []byte("\n"))
}

func damaged(path string, line int, err error) error {
	return fmt.Errorf("%s:%d: %w; the next run writes it anew", path, line, err)
}

// writeLines replaces a file unless it has those records already. It holds one of them
// at a time.
func writeLines[T any](dir, file string, records iter.Seq[*T], replace regular.Replacer) error {
	if same, err := hasLines(filepath.Join(dir, file), records); same || err != nil {
		return err
	}
	err := replace(filepath.Join(dir, file), "", func(w io.Writer) error { return encodeLines(w, records) })
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// hasLines reports whether the file at path has those records and nothing else.
func hasLines[T any](path string, records iter.Seq[*T]) (bool, error) {
	f, err := regular.Open(path)
	if err != nil {
		return false, nil // it is written, or that says why not
	}
	defer f.Close()
	old := bufio.NewReaderSize(f, readSize)
	var line, was []byte
	for r := range records {
		if line, err = AppendLine(line[:0], r); err != nil {
			return false, err
		}
		was = slices.Grow(was[:0], len(line))[:len(line)]
		if _, err := io.ReadFull(old, was); err != nil || !bytes.Equal(was, line) {
			return false, nil
		}
	}
	_, err = old.ReadByte()
	return err == io.EOF, nil
}

func encodeLines[T any](w io.Writer, records iter.Seq[*T]) (err error) {
	var line []byte
	for r := range records {
		if line, err = AppendLine(line[:0], r); err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// Each yields the records, which are not copied.
func Each[T any](records []T) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range records {
			if !yield(&records[i]) {
				return
			}
		}
	}
}

// write replaces a file unless it has that content already.
func write(dir, file string, text []byte, replace regular.Replacer) error {
	path := filepath.Join(dir, file)
	if old, err := regular.Read(path, int64(len(text))); err == nil && bytes.Equal(old, text) {
		return nil
	}
	err := replace(path, "", func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// maxLine bounds a line of an export: a failure with all its answers.
const maxLine = 1 << 20

// readSize is how much of an export is read at once.
const readSize = 256 << 10

func loadLines[T any](dir, file string) ([]T, error) { return collect(lines[T](dir, file, nil)) }

func collect[T any](records iter.Seq2[*T, error]) (out []T, err error) {
	for v, err := range records {
		if err != nil {
			return nil, err
		}
		out = append(out, *v)
	}
	return out, nil
}

// lines yields the records of those lines of a file that are wanted, nil being all; an
// error is the last that it yields.
func lines[T any](dir, file string, wanted func(line []byte) bool) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		f, err := open(dir, file)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		parseLines[T](f.Name(), f, wanted)(yield)
	}
}

// open opens a file of the directory; its error is ErrNoRun when no run has
// written it.
func open(dir, file string) (*os.File, error) {
	f, err := regular.Open(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoRun)
	}
	return f, err
}

func parseLines[T any](path string, r io.Reader, wanted func(line []byte) bool) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, readSize), maxLine)
		n := 1
		for ; sc.Scan(); n++ {
			if wanted != nil && !wanted(sc.Bytes()) {
				continue
			}
			v, err := parseLine[T](sc.Bytes())
			if err != nil {
				yield(nil, damaged(path, n, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			yield(nil, damaged(path, n, err))
		}
	}
}

func parseLine[T any](line []byte) (*T, error) {
	v := new(T)
	if d, ok := any(v).(decoder); ok {
		if d.decode(string(line)) {
			return v, nil
		}
		v = new(T)
	}
	if !bytes.HasPrefix(line, []byte("{")) {
		return nil, errors.New("not a record")
	}
	return v, json.Unmarshal(line, v)
}
