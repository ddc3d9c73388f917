package openbsd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A lineReader yields the lines of a stream in bounded memory.
type lineReader struct {
	r     *bufio.Reader
	limit int
	num   int    // number of the last line, from 1
	long  bool   // the last line was longer than limit
	cut   bool   // the last line did not end in a newline
	buf   []byte // of a line longer than the buffer of r
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, min(limit+1, 1<<16)), limit: limit}
}

// next returns the next line without its newline, be it LF or CR LF, valid until the next call.
// Of a line longer than the limit it returns nothing.
// At the end of the stream the error is io.EOF.
func (l *lineReader) next() ([]byte, error) {
	l.num++
	l.long, l.cut = false, false
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.buf = append(l.buf[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.r.ReadSlice('\n')
			// One byte more than the limit, which may be the newline.
			l.buf = append(l.buf, line[:min(len(line), max(0, l.limit+1-len(l.buf)))]...)
		}
		line = l.buf
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && len(line) > 0:
		l.cut = true
	default:
		return nil, err
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > l.limit {
		l.long = true
		line = nil
	}
	return line, nil
}
