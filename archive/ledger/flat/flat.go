// Package flat keeps pairs of a key and a value in a file that is read from its
// beginning to its end, and nothing else: it costs a small part of what a database
// takes to tell the same.
//
// Whoever writes a file keeps its sum, a SHA-256, in a place of its own. Such a file is
// a copy that can be made again:
//
//   - It is replaced as a whole, but not made durable. After a power failure it may be
//     anything.
//   - Read believes nothing. What was not written under the sum, a file of another
//     format among it, is an error, and never takes more memory than one pair.
//   - It is not written where it would take the room of something else.
//
// The format is a line that names it, then the pairs: the length of the key and of the
// value as uvarints, and both of them.
package flat

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"distkeep/catalog/regular"
)

// format is the first line. A file of another format is of no use to this program.
const format = "distkeep flat 1\n"

const (
	// block is what is read, written and looked for room for at once.
	block = 256 << 10
	// maxPair bounds the key and the value of a pair together.
	maxPair = 64 << 20
)

var (
	errFormat = errors.New("not a flat file of this format")
	errSum    = errors.New("not what was written")
)

// Write makes pairs the content of the file at path and returns its sum. pairs calls
// put for each of them, and returns its error. room returns an error unless so many
// bytes more may be written; nil means that nobody looks. On an error the file stays
// as it was.
func Write(path string, room func(more int64) error, pairs func(put func(k, v []byte) error) error) (sum string, err error) {
	h := sha256.New()
	err = regular.Renew(path, func(f io.Writer) error {
		w := bufio.NewWriterSize(&roomy{f, h, room}, block)
		if _, err := w.WriteString(format); err != nil {
			return err
		}
		var head [2 * binary.MaxVarintLen64]byte
		err := pairs(func(k, v []byte) error {
			if len(k)+len(v) > maxPair {
				return fmt.Errorf("pair of %d bytes", len(k)+len(v))
			}
			w.Write(binary.AppendUvarint(binary.AppendUvarint(head[:0], uint64(len(k))), uint64(len(v))))
			w.Write(k)
			_, err := w.Write(v) // w keeps the first error
			return err
		})
		if err != nil {
			return err
		}
		return w.Flush()
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// A roomy writer writes to w and to h what there is room for.
type roomy struct {
	w    io.Writer
	h    hash.Hash
	room func(more int64) error
}

func (r *roomy) Write(b []byte) (int, error) {
	if r.room != nil {
		if err := r.room(int64(len(b))); err != nil {
			return 0, err
		}
	}
	r.h.Write(b)
	return r.w.Write(b)
}

// Read calls add with each pair of the file at path, which was written under sum and
// has at most limit bytes; key and value are valid only during the call. What add was
// given holds only if Read returns no error.
func Read(path, sum string, limit int64, add func(k, v []byte) error) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	lr := &io.LimitedReader{R: io.TeeReader(f, h), N: limit + 1}
	r := bufio.NewReaderSize(lr, block)
	if line, err := r.Peek(len(format)); err != nil || string(line) != format {
		return fmt.Errorf("%s: %w", path, errFormat)
	}
	r.Discard(len(format))
	for err == nil {
		err = readPair(r, add)
	}
	switch {
	case lr.N == 0:
		return fmt.Errorf("%s: larger than %d bytes", path, limit)
	case err != io.EOF:
		return fmt.Errorf("%s: %w", path, err)
	case hex.EncodeToString(h.Sum(nil)) != sum:
		return fmt.Errorf("%s: %w", path, errSum)
	}
	return nil
}

// readPair returns io.EOF when there is no other pair.
func readPair(r *bufio.Reader, add func(k, v []byte) error) error {
	k, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	v, err := binary.ReadUvarint(r)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if k > maxPair || v > maxPair-k {
		return errFormat
	}
	n := int(k + v)
	if n <= r.Size() {
		b, err := r.Peek(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			err = add(b[:k:k], b[k:])
			r.Discard(n)
		}
		return err
	}
	// A length may be a lie: no more is allocated than was read.
	var long bytes.Buffer
	if _, err := io.CopyN(&long, r, int64(n)); err != nil {
		return io.ErrUnexpectedEOF
	}
	b := long.Bytes()
	return add(b[:k:k], b[k:])
}
