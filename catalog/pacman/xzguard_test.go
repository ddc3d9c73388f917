package pacman

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// xzStream packs data into one stream.
func xzStream(t testing.TB, c xz.WriterConfig, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := c.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// withDict changes the dictionary size in the header of the block at offset,
// which must be one without sizes, to code, and mends its checksum.
func withDict(file []byte, offset int, code byte) []byte {
	file = bytes.Clone(file)
	h := file[offset:][:4*(int(file[offset])+1)]
	h[4] = code
	binary.LittleEndian.PutUint32(h[len(h)-4:], crc32.ChecksumIEEE(h[:len(h)-4]))
	return file
}

func TestXZGuardPasses(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 80_000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	text := []byte(strings.Repeat("%NAME%\nacl\n\n", 5_000))
	mixed := append(append(bytes.Clone(text), noise...), text...)
	for _, data := range [][]byte{nil, {0}, noise, text, mixed} {
		for _, check := range []byte{xz.None, xz.CRC32, xz.CRC64, xz.SHA256} {
			c := xz.WriterConfig{CheckSum: check, NoCheckSum: check == xz.None, BlockSize: 100_000}
			one := xzStream(t, c, data)
			file := append(append(bytes.Clone(one), make([]byte, 8)...), one...)
			got, err := io.ReadAll(&xzGuard{r: bufio.NewReader(bytes.NewReader(file))})
			if err != nil || !bytes.Equal(got, file) {
				t.Errorf("check %d: %d of %d bytes passed, %v", check, len(got), len(file), err)
			}
		}
	}
}

func TestXZGuardStopsLargeDictionaries(t *testing.T) {
	t.Parallel()
	raw := smallDatabase(t, 2)
	one := xzStream(t, xz.WriterConfig{}, raw)
	two := xzStream(t, xz.WriterConfig{BlockSize: int64(len(raw) / 2)}, raw)
	// The second block begins after the first one's header, chunks, padding
	// and check; its header is the same.
	header := two[12:][:12]
	second := 24 + bytes.Index(two[24:], header)
	if second < 24 {
		t.Fatal("no second block")
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"64 MiB":        {withDict(one, 12, 28), ""},
		"96 MiB":        {withDict(one, 12, 29), "x.db: xz: dictionary of 100663296 bytes is larger than 67108864"},
		"4 GiB":         {withDict(one, 12, 40), "x.db: xz: dictionary of 4294967295 bytes is larger than 67108864"},
		"second block":  {withDict(two, second, 37), "x.db: xz: dictionary of 1610612736 bytes is larger than 67108864"},
		"second stream": {append(bytes.Clone(one), withDict(one, 12, 36)...), "x.db: xz: dictionary of 1073741824 bytes is larger than 67108864"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := ParseDatabase("x.db", bytes.NewReader(c.file))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || err.Error() != c.want):
				t.Errorf("error = %v\nwant    %s", err, c.want)
			}
		})
	}
}

// TestXZGuardChunks has every kind of chunk in one block. The guard does not
// look into them, so that their contents can be anything.
func TestXZGuardChunks(t *testing.T) {
	t.Parallel()
	one := xzStream(t, xz.WriterConfig{}, []byte("x"))
	block := join(
		one[12:24],                    // block header
		[]byte{1, 0, 1}, []byte("ab"), // stored, new dictionary
		[]byte{2, 0, 0}, []byte("c"), // stored
		[]byte{0xc0, 0, 9, 0, 1, 0x5d}, []byte("de"), // new properties
		[]byte{0xe1, 0, 9, 0, 0, 0x5d}, []byte("f"), // new dictionary
		[]byte{0x80, 0, 9, 0, 2}, []byte("ghi"),
		[]byte{0xa0, 0, 9, 0, 0}, []byte("j"),
		[]byte{0},
	)
	for len(block)%4 != 0 {
		block = append(block, 0)
	}
	file := join(one[:12], block, make([]byte, 8),
		[]byte{0, 1, 0x83, 0x01, 0x84, 0x01, 0, 0}, make([]byte, 4+12), // index and footer
		one)
	got, err := io.ReadAll(&xzGuard{r: bufio.NewReader(bytes.NewReader(file))})
	if err != nil || !bytes.Equal(got, file) {
		t.Errorf("%d of %d bytes passed, %v", len(got), len(file), err)
	}
	bad := bytes.Clone(file)
	bad[24] = 3 // no such chunk
	if _, err := io.ReadAll(&xzGuard{r: bufio.NewReader(bytes.NewReader(bad))}); err != errXZ {
		t.Errorf("error = %v, want %v", err, errXZ)
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
