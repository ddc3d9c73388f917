package pacman

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// A Compression is how a database file is packed, as found in its first bytes.
type Compression string

// The compressions that repo-add writes and this package reads.
const (
	None  Compression = "none"
	Gzip  Compression = "gzip"
	XZ    Compression = "xz"
	Zstd  Compression = "zstd"
	Bzip2 Compression = "bzip2"
)

// maxWindow is the window that zstd itself accepts without --long, and enough
// for every level of it.
const maxWindow = 128 << 20

// magics are the first bytes of what is, or is not, read here.
var magics = []struct {
	magic string
	c     Compression
}{
	{"\x1f\x8b", Gzip},
	{"\xfd7zXZ\x00", XZ},
	{"\x28\xb5\x2f\xfd", Zstd},
	{"BZh", Bzip2},
	{"\x1f\x9d", "compress"},
	{"LZIP", "lzip"},
	{"\x04\x22\x4d\x18", "lz4"},
	{"\x89LZO", "lzop"},
}

// sniff names the compression of what r is about to deliver. Anything unknown
// is None, so that the tar reader tells what is wrong with it.
func sniff(r *bufio.Reader) (Compression, error) {
	head, err := r.Peek(6)
	if len(head) == 0 {
		if err == io.EOF {
			err = errors.New("empty file")
		}
		return "", err
	}
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.c, nil
		}
	}
	if block, _ := r.Peek(512); len(block) < 512 {
		return "", errNoDatabase
	}
	return None, nil
}

// decompress returns a reader of the unpacked bytes and the function that
// releases it. No decompressor starts goroutines or takes more memory than its
// window, which is bounded whatever the file claims.
func decompress(c Compression, r *bufio.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	switch c {
	case None:
		return r, nothing, nil
	case Gzip:
		z, err := gzip.NewReader(r)
		return z, nothing, err
	case XZ:
		z, err := xz.NewReader(&xzGuard{r: r})
		return z, nothing, err
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case Bzip2:
		return bzip2.NewReader(r), nothing, nil
	}
	return nil, nothing, fmt.Errorf("compressed with %s, which is not supported: use gzip, xz or zstd", c)
}

// A bounded reader fails when more than max bytes come out of it. It also
// counts how many zero bytes came last.
type bounded struct {
	r     io.Reader
	max   int64
	what  string
	n     int64
	zeros int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.n > b.max {
		return 0, fmt.Errorf("%s is larger than %d bytes", b.what, b.max)
	}
	if rest := bytes.TrimRight(p[:n], "\x00"); len(rest) == 0 {
		b.zeros += int64(n)
	} else {
		b.zeros = int64(n - len(rest))
	}
	return n, err
}
