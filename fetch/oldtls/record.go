package oldtls

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

const (
	recordChange    = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	version = 0x0303

	maxPlain = 16 << 10
	// maxRecord is what a record of maxPlain bytes may grow to.
	maxRecord = maxPlain + 2048
)

var errRecord = errors.New("oldtls: a record was changed on its way")

// A half is one direction of a connection: in the clear until there are keys.
type half struct {
	seq   uint64
	aead  cipher.AEAD
	salt  []byte
	block cipher.Block
	mac   hash.Hash
}

// header is what is authenticated beside the bytes of a record.
func (h *half) header(kind byte, n int) []byte {
	b := binary.BigEndian.AppendUint64(nil, h.seq)
	b = append(b, kind, version>>8, version&0xff)
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

func (h *half) tag(kind byte, data []byte) []byte {
	h.mac.Reset()
	h.mac.Write(h.header(kind, len(data)))
	h.mac.Write(data)
	return h.mac.Sum(nil)
}

// seal encrypts a record.
func (h *half) seal(kind byte, data []byte) ([]byte, error) {
	defer func() { h.seq++ }()
	switch {
	case h.aead != nil:
		nonce := binary.BigEndian.AppendUint64(append([]byte{}, h.salt...), h.seq)
		return h.aead.Seal(nonce[4:12:12], nonce, data, h.header(kind, len(data))), nil
	case h.block != nil:
		size := h.block.BlockSize()
		body := append(append([]byte{}, data...), h.tag(kind, data)...)
		pad := size - len(body)%size
		for range pad {
			body = append(body, byte(pad-1))
		}
		out := make([]byte, size+len(body))
		if _, err := io.ReadFull(rand.Reader, out[:size]); err != nil {
			return nil, err
		}
		cipher.NewCBCEncrypter(h.block, out[:size]).CryptBlocks(out[size:], body)
		return out, nil
	}
	return data, nil
}

// open decrypts a record.
func (h *half) open(kind byte, data []byte) ([]byte, error) {
	defer func() { h.seq++ }()
	switch {
	case h.aead != nil:
		if len(data) < 8+h.aead.Overhead() {
			return nil, errRecord
		}
		nonce := append(append([]byte{}, h.salt...), data[:8]...)
		out, err := h.aead.Open(nil, nonce, data[8:], h.header(kind, len(data)-8-h.aead.Overhead()))
		if err != nil {
			return nil, errRecord
		}
		return out, nil
	case h.block != nil:
		size := h.block.BlockSize()
		if len(data)%size != 0 || len(data) < 2*size {
			return nil, errRecord
		}
		out := make([]byte, len(data)-size)
		cipher.NewCBCDecrypter(h.block, data[:size]).CryptBlocks(out, data[size:])
		pad := int(out[len(out)-1]) + 1
		n := len(out) - pad - h.mac.Size()
		good := n >= 0
		if !good {
			n, pad = max(0, len(out)-1-h.mac.Size()), 1
		}
		if n+h.mac.Size() > len(out) {
			return nil, errRecord
		}
		for _, b := range out[len(out)-pad:] {
			good = good && int(b) == pad-1
		}
		if !hmac.Equal(h.tag(kind, out[:n]), out[n:n+h.mac.Size()]) || !good {
			return nil, errRecord
		}
		return out[:n], nil
	}
	return data, nil
}

// readRecord reads the next record that is no alert to be ignored.
func (c *Conn) readRecord() (kind byte, data []byte, err error) {
	for range 16 {
		var head [5]byte
		if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
		n := int(binary.BigEndian.Uint16(head[3:]))
		if head[0] < recordChange || head[0] > recordData || head[1] != version>>8 || n > maxRecord {
			return 0, nil, errors.New("oldtls: the server does not speak TLS")
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(c.Conn, data); err != nil {
			return 0, nil, io.ErrUnexpectedEOF
		}
		if data, err = c.in.open(head[0], data); err != nil {
			return 0, nil, err
		}
		if len(data) > maxPlain {
			return 0, nil, errRecord
		}
		if head[0] != recordAlert {
			return head[0], data, nil
		}
		if err := alert(data); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, errors.New("oldtls: too many alerts")
}

// writeRecord sends one record.
func (c *Conn) writeRecord(kind byte, data []byte) error {
	body, err := c.out.seal(kind, data)
	if err != nil {
		return err
	}
	record := append([]byte{kind, version >> 8, version & 0xff, byte(len(body) >> 8), byte(len(body))}, body...)
	_, err = c.Conn.Write(record)
	return err
}
