package snapshot

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// maxLine bounds a line of distinfo; a longer one is ignored like everything
// else that is not understood.
const maxLine = 4 << 10

// distinfo calls f with the lines of the distinfo in a snapshot: the name, the
// digest in hex, and the path below by_cipher that the content has if the line
// is true. A snapshot without one has no lines.
func (d *dir) distinfo(f func(name, sum, path string)) error {
	file, err := d.openFile("distinfo")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, maxLine)
	for inLong := false; ; {
		line, more, err := r.ReadLine()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		wasLong := inLong
		if inLong = more; more || wasLong {
			continue
		}
		if name, sum, ok := parseDistinfo(string(line)); ok {
			f(name, sum.Hex(), layout.ByCipher(sum, catalog.Name(name).Base()))
		}
	}
}

// parseDistinfo parses a line "SHA256 (name) = digest".
func parseDistinfo(line string) (name string, sum digest.Digest, ok bool) {
	rest, ok := strings.CutPrefix(line, "SHA256 (")
	if !ok {
		return "", sum, false
	}
	i := strings.LastIndex(rest, ") = ")
	if i < 0 {
		return "", sum, false
	}
	if _, err := catalog.ParsePath(rest[:i]); err != nil {
		return "", sum, false
	}
	// Both spellings, as the lists of openbsd repositories have base64.
	text := rest[i+len(") = "):]
	sum, err := digest.Parse(digest.SHA256, text)
	if err != nil {
		sum, err = digest.ParseBase64(digest.SHA256, text)
	}
	return rest[:i], sum, err == nil
}

// sum returns the SHA-256 in hex of the file at rel below d, or what the
// symbolic link there points to. st is what it was found to be. A file that is
// gone since has no digest.
func (d *dir) sum(ctx context.Context, rel string, st *unix.Stat_t) (string, error) {
	if fileType(st) == unix.S_IFLNK {
		target, err := d.readlink(rel)
		if gone(err) {
			return "", nil
		}
		return "-> " + target, err
	}
	if fileType(st) != unix.S_IFREG {
		return "", nil
	}
	f, err := d.openFile(rel)
	if gone(err) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if _, err := io.CopyN(h, f, 16<<20); err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		} else if err != nil {
			return "", fmt.Errorf("read %s: %w", f.Name(), err)
		}
	}
}
