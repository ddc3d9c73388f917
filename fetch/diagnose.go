package fetch

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What follows finds out what came in place of a file, for the person who reads
// the report: a page, a pointer, a message, the file in another wrapping. What it
// quotes was written by strangers, and is bounded and printable.

const (
	// maxBeginning is what is kept of the beginning of a page, maxText of
	// anything else; a text of up to maxText is quoted.
	maxBeginning, maxText = 2 << 10, 200
	lfsPointer            = "version https://git-lfs.github.com/spec/"
)

// beginning returns what a diagnosis needs of the first bytes of a file.
func beginning(b []byte) []byte {
	most := maxText + 1
	if looksLikePage(b[:min(len(b), most)]) {
		most = maxBeginning
	}
	return bytes.Clone(b[:min(len(b), most)])
}

// otherSize judges a body that the server says to be of another size. A little of
// it is read, to tell what it is.
func (t *transfer) otherSize(err error) error {
	if err, again := t.packed(err); again || is[*unpackError](err) {
		return err
	}
	if t.body.header != nil {
		late := time.AfterFunc(drainTime, func() { t.body.Close() })
		n, _ := io.ReadFull(t.body, t.w.buf[:maxBeginning])
		late.Stop()
		t.head = beginning(t.w.buf[:n])
	}
	if t.body.html && !strings.Contains(t.j.req.Name.Base(), ".htm") {
		return &htmlError{err, t.quotable(pageTitle(t.head))}
	}
	return t.page(err)
}

// page tells what came in place of the file. An *htmlError is a page where none
// was wanted: what many servers send, with status 200, for a file that they have
// not or no more.
func (t *transfer) page(err error) error {
	if looksLikePage(t.head) && !strings.Contains(t.j.req.Name.Base(), ".htm") {
		return &htmlError{err, t.quotable(pageTitle(t.head))}
	}
	if size, ok := err.(*sizeError); ok {
		size.what = t.describe(size.got)
	}
	return err
}

// describe says what the size bytes are that came.
func (t *transfer) describe(size int64) string {
	head := string(t.head)
	if strings.HasPrefix(head, lfsPointer) {
		return "a Git LFS pointer"
	}
	if _, rest, ok := strings.Cut(head, "<Code>"); ok && strings.HasPrefix(head, "<?xml") {
		if code, _, ok := strings.Cut(rest, "</Code>"); ok {
			return "an error message" + t.quotable(code)
		}
	}
	if text := strings.TrimSpace(head); text != "" && size == int64(len(head)) && size <= maxText && utf8.ValidString(text) && strings.IndexFunc(text, unprintable) < 0 {
		return strings.TrimSpace("a text" + t.quotable(text))
	}
	return ""
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' }

// quotable returns the words of a server in quotes, behind a blank, or nothing
// where there are none, or where they may repeat a secret that was sent.
func (t *transfer) quotable(s string) string {
	if s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " "); s == "" || t.body == nil || t.body.secret {
		return ""
	}
	return " " + strconv.Quote(brief(s))
}

// looksLikePage sniffs for HTML, as the WHATWG's MIME sniffing standard does for
// the two tags that all error pages begin with.
func looksLikePage(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n\f")
	return beginsWith(head, "<!doctype html") || beginsWith(head, "<html")
}

// beginsWith reports whether text begins with tag, in any case of letters.
func beginsWith(text []byte, tag string) bool {
	return len(text) >= len(tag) && strings.EqualFold(string(text[:len(tag)]), tag)
}

// pageTitle returns the title of a page, as far as its beginning has it.
func pageTitle(head []byte) string {
	i := bytes.Index(bytes.ToLower(head), []byte("<title"))
	if i < 0 {
		return ""
	}
	_, rest, ok := strings.Cut(string(head[i:]), ">")
	if !ok {
		return ""
	}
	title, _, _ := strings.Cut(rest, "<")
	return html.UnescapeString(title)
}

// packed reports whether a body that is not the file may be the file in a
// compression that nobody asked for: the source is asked for it once more, to be
// unpacked as it comes. A label that means nothing, on bytes that are the file,
// never comes here.
func (t *transfer) packed(err error) (error, bool) {
	src := &t.j.sources[t.j.cur]
	coding := t.body.coding()
	if coding == "" || src.unpacked {
		return err, false
	}
	src.unpacked = unpackers[coding] != nil
	t.out.again = src.unpacked
	return &unpackError{coding, err}, src.unpacked
}

// coding is the compression that a body is labelled with, or empty.
func (b *body) coding() string {
	coding := strings.ToLower(strings.TrimSpace(b.header.Get("Content-Encoding")))
	if coding == "identity" {
		return ""
	}
	return strings.TrimPrefix(brief(coding), "x-")
}

// unpackers are by coding.
var unpackers = map[string]func(*bufio.Reader) (io.Reader, error){
	"gzip": func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"deflate": func(r *bufio.Reader) (io.Reader, error) {
		// The name stands for zlib, but some send what is in it.
		if b, err := r.Peek(2); err == nil && b[0]&0x0f == 8 && (int(b[0])<<8|int(b[1]))%31 == 0 {
			return zlib.NewReader(r)
		}
		return flate.NewReader(r), nil
	},
}

// unpack makes b the body that is packed in it.
func (b *body) unpack() {
	coding := b.coding()
	if open := unpackers[coding]; open != nil {
		b.ReadCloser = &unpacked{Closer: b.ReadCloser, coding: coding, open: open, from: bufio.NewReader(b.ReadCloser)}
		b.size, b.end, b.clean = -1, 0, true
	}
}

// An unpacked body is as long as its reader asks for, whatever it was packed from.
type unpacked struct {
	io.Closer
	coding string
	open   func(*bufio.Reader) (io.Reader, error)
	from   *bufio.Reader
	r      io.Reader
}

func (u *unpacked) Read(p []byte) (n int, err error) {
	if u.r == nil {
		u.r, err = u.open(u.from)
	}
	if err == nil {
		n, err = u.r.Read(p)
	}
	if err == nil || err == io.EOF && u.r != nil || brokeEarly(err) {
		return n, err
	}
	return n, &unpackError{u.coding, err}
}

// An unpackError is a body that was compressed against our wish.
type unpackError struct {
	coding string
	err    error
}

func (e *unpackError) Error() string {
	return fmt.Sprintf("the server sends it compressed by %s, which was not asked for: %v", e.coding, e.err)
}
func (e *unpackError) Unwrap() error { return e.err }
