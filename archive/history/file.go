package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"distkeep/catalog/regular"
)

// WriteFileIfChanged makes content the content of the file at path, unless it
// is that already: then nothing is touched, not even the directory.
//
// The file is replaced atomically and durably. Until then its bytes are in
// temp, a directory on the same file system, so that nothing half-written is
// seen beside path. The permissions stay; a new file has 0644 less the umask.
// What is at path and no regular file, and no symbolic link that root or this user
// has made, is replaced unread.
//
// content is called twice when there is a file that differs, and must write
// the same both times. When it or anything else fails, the old file stays.
func WriteFileIfChanged(path, temp string, content func(w io.Writer) error, replace regular.Replacer) (changed bool, err error) {
	same, err := IsContent(path, content)
	if err != nil || same {
		return false, err
	}
	if err := replace(path, temp, content); err != nil {
		return false, err
	}
	return true, nil
}

// IsContent reports whether content is the content of the regular file at path. It ends
// content at the first difference.
func IsContent(path string, content func(w io.Writer) error) (bool, error) {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrIrregular) || errors.Is(err, regular.ErrForeignLink) {
		return false, nil // what somebody has put there is replaced
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	c := &comparer{r: bufio.NewReader(f)}
	err = content(c)
	switch {
	case c.err != nil:
		return false, fmt.Errorf("read %s: %w", path, c.err)
	case c.differs:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("replace %s: %w", path, err)
	}
	switch _, err := c.r.ReadByte(); {
	case err == nil:
		return false, nil
	case err != io.EOF:
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}

var errDiffers = errors.New("content differs")

// A comparer reads along with what is written to it and fails at the first
// difference, which spares writing the rest.
type comparer struct {
	r       *bufio.Reader
	buf     []byte
	differs bool
	err     error // of reading
}

func (c *comparer) Write(p []byte) (int, error) {
	if c.err != nil || c.differs {
		return 0, errDiffers
	}
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	b := c.buf[:len(p)]
	_, err := io.ReadFull(c.r, b)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		c.differs = true
	case err != nil:
		c.err = err
	case !bytes.Equal(b, p):
		c.differs = true
	default:
		return len(p), nil
	}
	return 0, errDiffers
}
