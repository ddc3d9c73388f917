// Package imported reads what other programs knew of an archive that distkeep has
// taken over: the databases of emirrordist, and the history of dpb.
//
// The databases of emirrordist have as many formats as Python has modules for
// them. So a program in Python, [Exporter], runs where emirrordist did and prints
// one line a key, with tabs between the fields; the last line counts the others,
// so that a part is not taken for the whole:
//
//	deletion<TAB>NAME<TAB>UNIXTIME
//	owner<TAB>NAME<TAB>PACKAGE
//	recycle<TAB>NAME<TAB>SIZE<TAB>UNIXTIME
//	content<TAB>NAME<TAB>ALGORITHM=HEX...<TAB>...
//	history<TAB>NAME<TAB>SHA256<TAB>UNIXTIME
//	end<TAB>LINES
//
// The lines of history are ours: they are what the history of dpb becomes. What
// portage's shelve-utils dump writes is read as well. It is a sequence of pickles,
// of which nothing is executed: only strings, numbers, tuples and sets are known.
//
// An archive keeps what was imported in these lines until a run that may delete
// has used it. Begin reading at Read.
package imported

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Exporter is the program that prints the databases of emirrordist.
//
//go:embed export.py
var Exporter string

// Facts are what another program knew. Those that are nil are empty.
type Facts struct {
	// Unwanted says since when no package has wanted a name, Owners which did
	// last.
	Unwanted map[catalog.Name]time.Time
	Owners   map[catalog.Name]string
	// Recycled are the files of the recycle directory.
	Recycled map[catalog.Name]Recycled
	// Contents are the contents that a name has had.
	Contents map[catalog.Name][]digest.Set
	// History and Distinfo are those of dpb.
	History  []history.Record
	Distinfo []history.Line
	// Skipped are what was left out because its name is none of a distfile.
	Skipped []error
}

// A Recycled file is known by its size.
type Recycled struct {
	Size  int64
	Since time.Time
}

const (
	// maxFile bounds what is read, maxLine a line of it.
	maxFile = 1 << 30
	maxLine = 1 << 20
	// maxTime is the end of the year 9999.
	maxTime = 253402300799
)

// Empty reports whether nothing is known.
func (f *Facts) Empty() bool {
	return len(f.Unwanted)+len(f.Owners)+len(f.Recycled)+len(f.Contents)+len(f.History)+len(f.Distinfo) == 0
}

// Merge adds what o knows, which is not used any more. Where both know something, o is
// right.
func (f *Facts) Merge(o *Facts) {
	merge(&f.Unwanted, o.Unwanted)
	merge(&f.Owners, o.Owners)
	merge(&f.Recycled, o.Recycled)
	merge(&f.Contents, o.Contents)
	f.History = append(f.History, o.History...)
	f.Distinfo = append(f.Distinfo, o.Distinfo...)
}

func merge[V any](to *map[catalog.Name]V, from map[catalog.Name]V) {
	if len(*to) == 0 {
		*to = from // an archive is taken over once
		return
	}
	for name, v := range from {
		put(to, name, v)
	}
}

// Paths returns the names of files that layouts put by content, which their paths do
// not tell. Of several names of one content it has the first.
func (f *Facts) Paths(layouts layout.Conf) map[string]catalog.Name {
	paths := make(map[string]catalog.Name)
	for name, sets := range f.Contents {
		for _, l := range layouts {
			for _, set := range sets {
				rel, ok := l.Path(name, set)
				if first, taken := paths[rel]; ok && l.IsContentHash() && (!taken || name < first) {
					paths[rel] = name
				}
			}
		}
	}
	return paths
}

// Clock returns a function that tells since when nobody has wanted a content, or
// the zero time.
func (f *Facts) Clock() func(catalog.Name, digest.Digest) time.Time {
	lines := make(map[history.Line]time.Time, len(f.History))
	for _, r := range f.History {
		r.Base64 = false // a matter of spelling
		if t, ok := lines[r.Line]; !ok || r.Time.Before(t) {
			lines[r.Line] = r.Time
		}
	}
	return func(name catalog.Name, sum digest.Digest) time.Time {
		since, line := f.Unwanted[name], lines[history.Line{Name: name, SHA256: sum}]
		if since.IsZero() || !line.IsZero() && line.Before(since) {
			return line
		}
		return since
	}
}

// Load reads what Write wrote to the file at path. Without one nothing is known.
func Load(path string) (*Facts, error) {
	f := new(Facts)
	r, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return f, f.Read(path, r)
}

// Read adds what r has to f; file is for errors. It may be the lines of the
// exporter, what shelve-utils dump writes, or a history or distinfo of dpb: that
// is told by its first bytes.
func (f *Facts) Read(file string, r io.Reader) error {
	br := bufio.NewReader(io.LimitReader(r, maxFile))
	first, err := br.Peek(1)
	switch {
	case err == io.EOF:
		return fmt.Errorf("%s: it is empty", file)
	case err != nil:
		return fmt.Errorf("%s: %w", file, err)
	case first[0] == pickleProto:
		return f.readPickles(file, br)
	}
	start, err := br.Peek(4 << 10)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", file, err)
	}
	switch line, _, _ := bytes.Cut(start, []byte("\n")); {
	case bytes.IndexByte(line, '\t') > 0:
		return f.readLines(file, br)
	case len(line) > 0 && line[0] >= '0' && line[0] <= '9':
		rs, err := history.ParseHistory(file, br)
		f.History = append(f.History, rs...)
		return err
	default:
		ls, err := history.ParseDistinfo(file, br)
		f.Distinfo = append(f.Distinfo, ls...)
		return err
	}
}

// readLines reads the lines of the exporter, and ours.
func (f *Facts) readLines(file string, r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	n, ended := 0, false
	for sc.Scan() {
		n++
		var err error
		fields := strings.Split(sc.Text(), "\t")
		if ended {
			err = errors.New("there is something behind the end")
		} else if fields[0] == "end" {
			if ended = true; len(fields) != 2 || fields[1] != strconv.Itoa(n-1) {
				err = fmt.Errorf("there are %d lines, not %s", n-1, strings.Join(fields[1:], " "))
			}
		} else {
			err = f.add(fields)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", file, n+1, err)
	}
	if !ended {
		return fmt.Errorf("%s:%d: the end is missing", file, n)
	}
	return nil
}

// add adds one line.
func (f *Facts) add(fields []string) error {
	if len(fields) < 3 {
		return errors.New("too few fields")
	}
	name, err := catalog.ParsePath(strings.Clone(fields[1])) // a line is ten times as long
	if err != nil {
		f.Skipped = append(f.Skipped, err)
		return nil
	}
	switch kind := fields[0]; {
	case kind == "deletion" && len(fields) == 3:
		return f.addDeletion(name, fields[2])
	case kind == "owner" && len(fields) == 3:
		return f.addOwner(name, fields[2])
	case kind == "recycle" && len(fields) == 4:
		return f.addRecycled(name, fields[2], fields[3])
	case kind == "content":
		return f.addContents(name, fields[2:])
	case kind == "history" && len(fields) == 4:
		sum, err := digest.Parse(digest.SHA256, fields[2])
		if err != nil {
			return err
		}
		t, err := parseTime(fields[3])
		f.History = append(f.History, history.Record{Time: t, Line: history.Line{Name: name, SHA256: sum}})
		return err
	}
	return fmt.Errorf("a line of kind %.20q and %d fields is not known", fields[0], len(fields))
}

func (f *Facts) addDeletion(name catalog.Name, text string) error {
	t, err := parseTime(text)
	if err == nil {
		put(&f.Unwanted, name, t)
	}
	return err
}

func (f *Facts) addOwner(name catalog.Name, owner string) error {
	if owner == "" || strings.ContainsFunc(owner, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is no package", owner)
	}
	put(&f.Owners, name, unique.Make(owner).Value()) // of several files each
	return nil
}

func (f *Facts) addRecycled(name catalog.Name, size, text string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no size", size)
	}
	t, err := parseTime(text)
	if err == nil {
		put(&f.Recycled, name, Recycled{n, t})
	}
	return err
}

// addContents adds contents, each as ALGORITHM=HEX with blanks between.
func (f *Facts) addContents(name catalog.Name, texts []string) error {
	for _, text := range texts {
		var ds []digest.Digest
		for _, word := range strings.Fields(text) {
			alg, hex, _ := strings.Cut(word, "=")
			a, ok := digest.ParseAlgorithm(alg)
			if !ok {
				continue // one that nobody can compute is of no use
			}
			d, err := digest.Parse(a, hex)
			if err != nil {
				return err
			}
			ds = append(ds, d)
		}
		set, ok := digest.NewSet(ds...)
		if !ok {
			return fmt.Errorf("%q has one algorithm twice", text)
		}
		if len(set) > 0 {
			put(&f.Contents, name, append(f.Contents[name], set))
		}
	}
	return nil
}

// put makes the map when there is none.
func put[V any](m *map[catalog.Name]V, name catalog.Name, v V) {
	if *m == nil {
		*m = make(map[catalog.Name]V)
	}
	(*m)[name] = v
}

// parseTime reads seconds since 1970, which Python may have written with a
// fraction.
func parseTime(text string) (time.Time, error) {
	sec, err := strconv.ParseFloat(text, 64)
	if err != nil || !(sec >= 0 && sec <= maxTime) {
		return time.Time{}, fmt.Errorf("%q is no time, want seconds since 1970", text)
	}
	return time.Unix(int64(math.Floor(sec)), 0).UTC(), nil
}

// Write writes what Read reads as lines, except Distinfo.
func (f *Facts) Write(w io.Writer) error {
	bw := bufio.NewWriter(w)
	n := 0
	line := func(fields ...string) {
		n++
		bw.WriteString(strings.Join(fields, "\t") + "\n") // Flush tells
	}
	unix := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	for _, name := range slices.Sorted(maps.Keys(f.Unwanted)) {
		line("deletion", string(name), unix(f.Unwanted[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Owners)) {
		line("owner", string(name), f.Owners[name])
	}
	for _, name := range slices.Sorted(maps.Keys(f.Recycled)) {
		line("recycle", string(name), strconv.FormatInt(f.Recycled[name].Size, 10), unix(f.Recycled[name].Since))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Contents)) {
		fields := []string{"content", string(name)}
		for _, set := range f.Contents[name] {
			var words []string
			for _, d := range set {
				words = append(words, d.Alg.String()+"="+d.Hex())
			}
			fields = append(fields, strings.Join(words, " "))
		}
		line(fields...)
	}
	for _, r := range f.History {
		line("history", string(r.Name), r.SHA256.Hex(), unix(r.Time))
	}
	fmt.Fprintf(bw, "end\t%d\n", n)
	return bw.Flush()
}
