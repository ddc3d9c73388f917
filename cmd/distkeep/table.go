package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"golang.org/x/term"
)

// A table prints rows: aligned and fitted to the width on a terminal, with tabs for
// other programs.
type table struct {
	out *bufio.Writer
	buf bytes.Buffer      // of a terminal
	tab *tabwriter.Writer // nil: not a terminal
	// width and height are those of the terminal.
	width, height int
	// rest, when set, says how to see what does not fit on the screen. Without it
	// everything is printed.
	rest  string
	lines int
}

func newTable(w io.Writer) *table {
	t := &table{out: bufio.NewWriterSize(w, outSize)}
	if t.width = width(w); t.width > 0 {
		t.height = height(w)
		t.align()
	}
	return t
}

func (t *table) align() { t.tab = tabwriter.NewWriter(&t.buf, 0, 8, 2, ' ', 0) }

// terminal reports whether a person reads the table.
func (t *table) terminal() bool { return t.tab != nil }

// row prints cells. On a terminal each but the last has at most a quarter of a line.
func (t *table) row(cells ...string) {
	w := t.line()
	for i, c := range cells {
		if i > 0 {
			write(w, "\t")
		}
		if t.tab != nil && i < len(cells)-1 {
			c = squeeze(c, max(t.width/4, 12))
		}
		write(w, c)
	}
	write(w, "\n")
}

// note prints a line of parts as they are.
func (t *table) note(parts ...string) {
	w := t.line()
	for _, p := range parts {
		write(w, p)
	}
	write(w, "\n")
}

// line begins a line, and returns where it goes.
func (t *table) line() io.Writer {
	t.lines++
	switch {
	case t.tab == nil:
		return t.out
	case t.screen() && t.lines > t.height:
		return io.Discard
	}
	return t.tab
}

// write cannot fail, or flush reports it: that is what the writers of a table do.
func write(w io.Writer, s string) { _, _ = io.WriteString(w, s) }

// screen reports whether what is more than a screen is left out.
func (t *table) screen() bool { return t.rest != "" && t.height > 6 }

func (t *table) flush() error {
	if t.tab != nil {
		if err := t.tab.Flush(); err != nil {
			return err
		}
		write(t.out, t.fit(t.buf.String()))
	}
	return t.out.Flush()
}

// fit clips the lines of text to the width. When they are more than the screen has, the
// last line tells how many are left out, and how to see them: a line is left for the
// prompt, and one for what was said before.
func (t *table) fit(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if n := t.height - 3; t.screen() && len(lines) > n+1 {
		lines = append(lines[:n:n], fmt.Sprintf("and %d more lines: %s", t.lines-n, t.rest))
	}
	var b strings.Builder
	for _, l := range lines {
		if l != "" || len(lines) > 1 {
			b.WriteString(clip(strings.TrimRight(l, " "), t.width) + "\n")
		}
	}
	return b.String()
}

// clip cuts what is longer than n characters, and says so.
func clip(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// squeeze does so in the middle: names differ at their ends.
func squeeze(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n/2]) + "…" + string(r[len(r)-(n-1-n/2):])
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// firstLine is the first line of s, marked if there is more.
func firstLine(s string) string {
	first, rest, _ := strings.Cut(s, "\n")
	if rest != "" {
		first += " ..."
	}
	return first
}

// width returns the width of w if it is a terminal, else 0; height its height.
func width(w io.Writer) int {
	n, _ := screen(w)
	return n
}

func height(w io.Writer) int {
	_, n := screen(w)
	return n
}

func screen(w io.Writer) (width, height int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
