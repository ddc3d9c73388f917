package pacman

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxDict is the dictionary of xz -9. The decoder allocates what a block header
// asks for at once, and that may be 4 GiB in a file of a hundred bytes.
const maxDict = 64 << 20

// An xzGuard passes an xz file through and fails before a block whose
// dictionary is larger than maxDict, in any block of any stream. It follows
// the container and the sizes of LZMA2 chunks (the .xz file format 1.2.1);
// whether their contents and checksums are right is the decoder's to find out.
type xzGuard struct {
	r    *bufio.Reader
	pass int64 // bytes that may go through before the next step

	step    func(*xzGuard) error
	check   int64  // size of a block's checksum in this stream
	chunks  int64  // bytes of LZMA2 chunks in this block
	index   int64  // bytes of the index so far
	varints uint64 // numbers still to come in the index
}

var errXZ = errors.New("malformed xz file")

func (g *xzGuard) Read(p []byte) (int, error) {
	for g.pass == 0 {
		if g.step == nil {
			g.step = (*xzGuard).stream
		}
		if err := g.step(g); err != nil {
			return 0, err
		}
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.pass)])
	g.pass -= int64(n)
	return n, err
}

// peek is bufio's, with an end of file inside a structure named as such.
func (g *xzGuard) peek(n int) ([]byte, error) {
	b, err := g.r.Peek(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// stream expects a stream header, four bytes of padding or the end.
func (g *xzGuard) stream() error {
	if _, err := g.r.Peek(1); err != nil {
		return err // io.EOF is good here
	}
	b, err := g.peek(4)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) == 0 {
		g.pass = 4
		return nil
	}
	if b, err = g.peek(12); err != nil {
		return err
	}
	// One byte names the check; sizes of the reserved ones are fixed too.
	id := b[7] & 0x0f
	if id > 0 {
		g.check = 4 << ((id - 1) / 3)
	} else {
		g.check = 0
	}
	g.pass, g.step = 12, (*xzGuard).block
	return nil
}

// block expects a block header or the index.
func (g *xzGuard) block() error {
	b, err := g.peek(1)
	if err != nil {
		return err
	}
	if b[0] == 0 {
		g.pass, g.index, g.step = 1, 1, (*xzGuard).indexCount
		return nil
	}
	size := 4 * (int(b[0]) + 1)
	if b, err = g.peek(size); err != nil {
		return err
	}
	dict, err := dictSize(b[1:])
	if err != nil {
		return err
	}
	if dict > maxDict {
		return fmt.Errorf("dictionary of %d bytes is larger than %d", dict, maxDict)
	}
	g.pass, g.chunks, g.step = int64(size), 0, (*xzGuard).chunk
	return nil
}

// dictSize returns the dictionary size of a block header that begins with its
// flags. The decoder knows no filter but LZMA2, so that it must be the only one.
func dictSize(b []byte) (int64, error) {
	flags := b[0]
	if flags&0x03 != 0 {
		return 0, errors.New("filters other than LZMA2 are not supported")
	}
	b = b[1:]
	for _, present := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&present == 0 {
			continue
		}
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, errXZ
		}
		b = b[n:]
	}
	if len(b) < 3 || b[0] != 0x21 || b[1] != 1 || b[2] > 40 {
		return 0, errXZ
	}
	if b[2] == 40 {
		return 1<<32 - 1, nil
	}
	return (2 | int64(b[2]&1)) << (b[2]/2 + 11), nil
}

// chunk expects an LZMA2 chunk, or the end of the block's chunks, which is
// followed by padding and the check.
func (g *xzGuard) chunk() error {
	b, err := g.peek(1)
	if err != nil {
		return err
	}
	switch c := b[0]; {
	case c == 0:
		g.chunks++
		g.pass, g.step = 1+(4-g.chunks%4)%4+g.check, (*xzGuard).block
		return nil
	case c <= 2: // stored
		if b, err = g.peek(3); err != nil {
			return err
		}
		g.pass = 3 + int64(binary.BigEndian.Uint16(b[1:])) + 1
	case c < 0x80:
		return errXZ
	default:
		if b, err = g.peek(5); err != nil {
			return err
		}
		g.pass = 5 + int64(binary.BigEndian.Uint16(b[3:])) + 1
		if c >= 0xc0 { // new properties: one byte more
			g.pass++
		}
	}
	g.chunks += g.pass
	return nil
}

// indexCount expects the number of records of the index, two numbers each.
func (g *xzGuard) indexCount() error {
	n, err := g.varint()
	if err != nil {
		return err
	}
	if n > MaxDatabase {
		return errXZ // a record takes more than a byte
	}
	g.varints, g.step = 2*n, (*xzGuard).indexRecord
	return nil
}

// indexRecord expects one number of the index or, after the last, its padding,
// its checksum and the stream footer.
func (g *xzGuard) indexRecord() error {
	if g.varints == 0 {
		g.pass, g.step = (4-g.index%4)%4+4+12, (*xzGuard).stream
		return nil
	}
	g.varints--
	_, err := g.varint()
	return err
}

func (g *xzGuard) varint() (uint64, error) {
	b, err := g.r.Peek(binary.MaxVarintLen64)
	if err != nil && err != io.EOF {
		return 0, err
	}
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, errXZ
	}
	g.pass = int64(size)
	g.index += int64(size)
	return n, nil
}
