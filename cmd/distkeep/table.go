package main

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table prints rows: aligned on a terminal, with tabs for other programs.
type table struct {
	out io.Writer
	buf bytes.Buffer
	tab *tabwriter.Writer // nil: not a terminal
}

func newTable(w io.Writer) *table {
	t := &table{out: w}
	if width(w) > 0 {
		t.tab = tabwriter.NewWriter(&t.buf, 0, 8, 2, ' ', 0)
	}
	return t
}

func (t *table) row(cells ...string) { t.note(strings.Join(cells, "\t")) }

// note prints a line as it is.
func (t *table) note(s string) {
	var w io.Writer = &t.buf
	if t.tab != nil {
		w = t.tab
	}
	// Neither writer can fail: flush reports what the output says.
	_, _ = io.WriteString(w, s+"\n")
}

func (t *table) flush() error {
	if t.tab != nil {
		if err := t.tab.Flush(); err != nil {
			return err
		}
	}
	_, err := t.out.Write(t.buf.Bytes())
	return err
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
