package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A spool keeps changes in a file until it is known that all of them are to be made.
type spool struct {
	f     *os.File
	w     *bufio.Writer
	n     int
	bytes int64 // of the batches
}

// newSpool makes a spool beside the ledger in dir. Its file has no name: when this
// process ends, it is gone.
func newSpool(dir string) (*spool, error) {
	path := filepath.Clean(dir) + ".import"
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &spool{f: f, w: bufio.NewWriter(f)}, nil
}

// add moves the changes of b to the spool.
func (s *spool) add(b *Batch) error {
	if b.err != nil {
		return b.err
	}
	s.n, s.bytes = s.n+b.Len(), s.bytes+b.Bytes()
	for _, o := range b.ops {
		for _, text := range [][]byte{o.key, o.value} {
			if _, err := s.w.Write(binary.AppendUvarint(nil, uint64(len(text)))); err != nil {
				return err
			}
			if _, err := s.w.Write(text); err != nil {
				return err
			}
		}
	}
	b.ops = b.ops[:0]
	return nil
}

// commitAll makes the changes in s.
func (l *Ledger) commitAll(s *spool) error {
	if err := l.o.Room(l.Need(s.bytes)); err != nil { // badger cannot meet a full disk and live
		return err
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(s.f)
	var b Batch
	for size := 0; s.n > 0; s.n-- {
		var o op
		for _, text := range []*[]byte{&o.key, &o.value} {
			n, err := binary.ReadUvarint(r)
			if err != nil {
				return err
			}
			if n == 0 {
				continue // without a value the record goes
			}
			*text = make([]byte, n)
			if _, err := io.ReadFull(r, *text); err != nil {
				return err
			}
		}
		b.ops = append(b.ops, o)
		if size += len(o.key) + len(o.value); size > perTxnBytes || b.Len() == perTxn {
			if err := l.Commit(&b, nil); err != nil {
				return err
			}
			size = 0
		}
	}
	return l.Commit(&b, nil)
}
