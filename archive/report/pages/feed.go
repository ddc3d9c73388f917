package pages

import (
	"cmp"
	"encoding/xml"
	"slices"
	"strings"
	"time"

	"distkeep/archive/report"
)

// maxEntries is how many failures a feed has: the newest.
const maxEntries = 200

// An atomFeed is what RFC 4287 says.
type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	Title   string      `xml:"title"`
	ID      string      `xml:"id"`
	Updated string      `xml:"updated"`
	Author  atomAuthor  `xml:"author"`
	Entries []atomEntry `xml:"entry"`
}

type atomAuthor struct {
	Name string `xml:"name"`
}

type atomEntry struct {
	Title   string `xml:"title"`
	ID      string `xml:"id"`
	Updated string `xml:"updated"`
	Content string `xml:"content"`
}

// atom makes the feed of failures, the newest first. Its date is that of the newest,
// so that it stays as it is while nothing new has failed.
func atom(base, title string, fs []report.Failure) ([]byte, error) {
	fs = slices.SortedFunc(slices.Values(fs), func(a, b report.Failure) int {
		return cmp.Or(b.First.Compare(a.First), cmp.Compare(a.Name, b.Name))
	})
	f := atomFeed{Title: "Failures: " + printable(title), ID: "urn:distkeep:" + slug(base), Author: atomAuthor{"distkeep"}, Updated: time.Unix(0, 0).UTC().Format(time.RFC3339)}
	for i, x := range fs[:min(len(fs), maxEntries)] {
		at := x.First.UTC().Format(time.RFC3339)
		if i == 0 {
			f.Updated = at
		}
		lines := []string{printable(x.Reason)}
		if x.Hint != "" {
			lines = append(lines, "To do: "+printable(x.Hint))
		}
		lines = append(lines, "Wanted by: "+printable(strings.Join(owners(&x), ", ")))
		f.Entries = append(f.Entries, atomEntry{
			Title: printable(name(&x)) + ": " + x.Class, ID: "urn:distkeep:" + slug(x.Name+"\n"+x.Owner+"\n"+x.Class+"\n"+at), Updated: at, Content: strings.Join(lines, "\n"),
		})
	}
	text, err := xml.MarshalIndent(f, "", " ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}

// owners are all that want the file of a failure.
func owners(f *report.Failure) []string {
	if len(f.Owners) == 0 && f.Owner != "" {
		return []string{f.Owner}
	}
	return f.Owners
}

// name is that of a failure's file, or of the package that cannot be read.
func name(f *report.Failure) string { return cmp.Or(f.Name, f.Owner) }

// printable leaves out what XML has no place for.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}
