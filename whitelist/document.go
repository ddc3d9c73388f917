package whitelist

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"distkeep/catalog"
)

// A document is one list line by line, so that what is not meant to change can
// be written back byte for byte.
type document struct {
	file   string
	lines  []line
	blocks []block
}

type line struct {
	raw   string       // with its newline, if it has one
	name  catalog.Name // empty for comments and blank lines
	block int          // index into blocks, -1 for blank lines
}

// A block is what stands between two blank lines.
type block struct {
	comment []string // the lines above the first name, without "#"
	names   int
}

func parse(file, data string) (*document, error) {
	d := &document{file: file}
	open := false // a block has begun and not ended
	for raw := range strings.Lines(data) {
		text := strings.TrimSpace(raw)
		if text == "" {
			open = false
			d.lines = append(d.lines, line{raw: raw, block: -1})
			continue
		}
		l := line{raw: raw}
		comment, isComment := uncomment(text)
		// A new head below names begins a block although the blank line
		// was forgotten; any other comment there is a note.
		if !open || isComment && d.last().names > 0 && isHead(comment) {
			d.blocks = append(d.blocks, block{})
			open = true
		}
		b := d.last()
		if isComment {
			if b.names == 0 {
				b.comment = append(b.comment, comment)
			}
		} else {
			name, err := catalog.ParsePath(text)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, len(d.lines)+1, err)
			}
			l.name = name
			b.names++
		}
		l.block = len(d.blocks) - 1
		d.lines = append(d.lines, l)
	}
	return d, nil
}

func (d *document) last() *block { return &d.blocks[len(d.blocks)-1] }

func uncomment(text string) (comment string, ok bool) {
	if text[0] != '#' {
		return "", false
	}
	return strings.TrimSpace(strings.TrimLeft(text, "#")), true
}

func (d *document) entries() []Entry {
	var es []Entry
	heads := make([]Entry, len(d.blocks))
	for i, b := range d.blocks {
		heads[i] = head(b.comment)
	}
	for i, l := range d.lines {
		if l.name == "" {
			continue
		}
		e := heads[l.block]
		e.Name, e.File, e.Line = l.name, d.file, i+1
		es = append(es, e)
	}
	return es
}

// headLine is the first line of a comment: the author's name, mail in angle
// brackets, and the date in parentheses; a line without both of the latter is
// none.
var headLine = regexp.MustCompile(`^([^<>]*?)\s*(<[^<>]*>)?\s*(?:\(([^()]*)\))?$`)

// dateForms are the spellings that occur in profiles/package.mask of Gentoo;
// the first one is GLEP 84's, and the only one that is written.
var dateForms = []string{time.DateOnly, "2 Jan 2006", "2 January 2006"}

func isHead(comment string) bool {
	_, date := parseHead(comment)
	return !date.IsZero()
}

// parseHead returns what the line says, or nothing if it is no head.
func parseHead(comment string) (author string, date time.Time) {
	m := headLine.FindStringSubmatch(comment)
	if m == nil || m[2] == "" && m[3] == "" {
		return "", time.Time{}
	}
	for _, form := range dateForms {
		if t, err := time.Parse(form, m[3]); err == nil {
			date = t
			break
		}
	}
	if m[2] == "" && date.IsZero() {
		return "", time.Time{} // parentheses of some other kind
	}
	author = m[1]
	if m[2] != "" {
		author = strings.TrimSpace(author + " " + m[2])
	}
	return author, date
}

// head makes the Entry that all names below the comment have in common.
func head(comment []string) Entry {
	comment = trimEmpty(comment)
	if len(comment) == 0 {
		return Entry{}
	}
	var e Entry
	if e.Author, e.Date = parseHead(comment[0]); e.Author != "" || !e.Date.IsZero() {
		comment = trimEmpty(comment[1:])
	}
	e.Reason = strings.Join(comment, "\n")
	return e
}

// trimEmpty cuts off empty strings at both ends.
func trimEmpty(ss []string) []string {
	for len(ss) > 0 && ss[0] == "" {
		ss = ss[1:]
	}
	for len(ss) > 0 && ss[len(ss)-1] == "" {
		ss = ss[:len(ss)-1]
	}
	return ss
}

// remove takes the names in gone out, with all of a block that is left without
// any.
func (d *document) remove(gone map[catalog.Name]bool) string {
	left := make([]int, len(d.blocks))
	for _, l := range d.lines {
		if l.name != "" && !gone[l.name] {
			left[l.block]++
		}
	}
	emptied := func(b int) bool { return b >= 0 && d.blocks[b].names > 0 && left[b] == 0 }
	var out []string
	for i := 0; i < len(d.lines); i++ {
		l := d.lines[i]
		if !emptied(l.block) {
			if !gone[l.name] {
				out = append(out, l.raw)
			}
			continue
		}
		end := i
		for end < len(d.lines) && d.lines[end].block == l.block {
			end++
		}
		// One blank line goes with the block, unless it is needed to keep
		// the neighbours apart.
		apart := len(out) == 0 || strings.TrimSpace(out[len(out)-1]) == ""
		switch {
		case apart && end < len(d.lines) && d.lines[end].block < 0:
			end++
		case apart && end == len(d.lines) && len(out) > 0:
			out = out[:len(out)-1]
		}
		i = end - 1
	}
	return strings.Join(out, "")
}
