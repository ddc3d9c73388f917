package fetch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// This file reads answers of HTTP/1 that net/http refuses to read: what wget and
// curl make files of. It is bounded in all it keeps, and decides nothing: a body
// that was read wrongly has another digest.

const (
	// maxHead bounds the head of an answer, maxInterim the answers before it.
	maxHead    = 256 << 10
	maxInterim = 16
	// maxChunkLine bounds the line before a chunk; sizes have a few digits,
	// extensions are ignored.
	maxChunkLine = 4 << 10
	// maxTrailer bounds what follows the last chunk.
	maxTrailer = 64 << 10
)

var (
	errLongHead = errors.New("the head of the answer is too long")
	errChunk    = errors.New("malformed chunk")
)

// readResponse reads the answer to r, whose body ends with the reader at the
// latest. What does not begin as an answer of HTTP/1 is taken for one of
// HTTP/0.9: the file, and nothing else.
func readResponse(br *bufio.Reader, r *http.Request) (*http.Response, error) {
	left := maxHead
	for range maxInterim {
		resp, err := readHead(br, r, &left)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			frame(resp, br)
			return resp, nil
		}
	}
	return nil, errors.New("too many interim answers")
}

// readHead reads a status line and the header behind it.
func readHead(br *bufio.Reader, r *http.Request, left *int) (*http.Response, error) {
	for { // empty lines in front, which some servers leave behind a body
		b, err := br.Peek(1)
		if err != nil {
			return nil, unexpectedEOF(err)
		}
		if b[0] != '\r' && b[0] != '\n' {
			break
		}
		if *left--; *left < 0 {
			return nil, errLongHead
		}
		br.Discard(1)
	}
	resp := &http.Response{Request: r, Header: make(http.Header), ContentLength: -1}
	if b, err := br.Peek(4); err != nil || !bytes.EqualFold(b, []byte("HTTP")) {
		resp.StatusCode, resp.Status, resp.Proto, resp.ProtoMinor = http.StatusOK, "200 OK", "HTTP/0.9", 9
		return resp, nil
	}
	line, err := readLine(br, left)
	if err != nil {
		return nil, unexpectedEOF(err)
	}
	if err := parseStatus(resp, line); err != nil {
		return nil, err
	}
	last := ""
	for {
		line, err := readLine(br, left)
		if err != nil && (err != io.EOF || line != "") {
			return nil, unexpectedEOF(err)
		}
		if line == "" {
			return resp, nil
		}
		if line[0] == ' ' || line[0] == '\t' { // folded
			if vs := resp.Header[last]; len(vs) > 0 {
				vs[len(vs)-1] += " " + strings.TrimSpace(line)
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			continue
		}
		last = textproto.CanonicalMIMEHeaderKey(name)
		resp.Header[last] = append(resp.Header[last], strings.TrimSpace(value))
	}
}

// readLine reads a line that ends with LF or CRLF, without its end.
func readLine(br *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		b, err := br.ReadSlice('\n')
		if *left -= len(b); *left < 0 {
			return "", errLongHead
		}
		line = append(line, b...)
		switch err {
		case bufio.ErrBufferFull:
			continue
		case nil:
			return string(bytes.TrimRight(line, "\r\n")), nil
		}
		return string(line), err
	}
}

// parseStatus reads a status line: the version and the reason may be missing,
// and blanks may be many.
func parseStatus(resp *http.Response, line string) error {
	rest := line[len("HTTP"):]
	resp.Proto, resp.ProtoMajor = "HTTP/1.1", 1
	if strings.HasPrefix(rest, "/") {
		version, after, _ := strings.Cut(rest[1:], " ")
		if strings.HasPrefix(version, "1.0") {
			resp.Proto = "HTTP/1.0"
		} else {
			resp.ProtoMinor = 1
		}
		rest = after
	}
	rest = strings.TrimSpace(rest)
	code := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	n, err := strconv.Atoi(code)
	if err != nil || n < 100 || n > 999 {
		return fmt.Errorf("malformed HTTP status line %s", quote(line))
	}
	resp.StatusCode, resp.Status = n, rest
	return nil
}

// frame finds where the body ends.
func frame(resp *http.Response, br *bufio.Reader) {
	var body io.Reader = br
	switch {
	case resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified:
		resp.ContentLength, body = 0, http.NoBody
	case isChunked(resp.Header):
		resp.TransferEncoding = []string{"chunked"}
		body = &chunkReader{br: br}
	default:
		if resp.ContentLength = contentLength(resp.Header); resp.ContentLength >= 0 {
			body = io.LimitReader(br, resp.ContentLength)
		}
	}
	resp.Body = io.NopCloser(body)
}

func isChunked(h http.Header) bool {
	for _, v := range h["Transfer-Encoding"] {
		for coding := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(coding), "chunked") {
				return true
			}
		}
	}
	return false
}

// contentLength returns the length, or -1 where there is none, or several that
// differ, or one that is no number.
func contentLength(h http.Header) int64 {
	var values []string
	for _, v := range h["Content-Length"] {
		for s := range strings.SplitSeq(v, ",") {
			values = append(values, strings.TrimSpace(s))
		}
	}
	if values = slices.Compact(values); len(values) != 1 {
		return -1
	}
	n, ok := parseNumber(values[0])
	if !ok {
		return -1
	}
	return n
}

// A chunkReader reads a chunked body. Lines may end with LF alone, sizes may have
// blanks around them, and the last chunk counts without what should follow it.
type chunkReader struct {
	br   *bufio.Reader
	left int64
	// begun tells that a chunk was read, whose line end is to be read.
	begun bool
	err   error
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if c.left == 0 && c.err == nil {
		c.err = c.next()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.br.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err != nil {
		c.err = unexpectedEOF(err)
	}
	return n, c.err
}

// next reads the line before a chunk; its error is io.EOF behind the last.
func (c *chunkReader) next() error {
	room := maxChunkLine
	line, err := readLine(c.br, &room)
	if c.begun && line == "" && err == nil {
		line, err = readLine(c.br, &room)
	}
	if err != nil && line == "" {
		return unexpectedEOF(err)
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
	if err != nil || n < 0 {
		return errChunk
	}
	if n > 0 {
		c.begun, c.left = true, n
		return nil
	}
	for room = maxTrailer; ; {
		if line, err := readLine(c.br, &room); err != nil || line == "" {
			return io.EOF
		}
	}
}
