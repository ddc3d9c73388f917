package fetchtest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// The faults of this file are bodies that are not the file, or not as it is.

// gzipped compresses b.
func gzipped(b []byte) []byte {
	return packedBy(b, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func packedBy(b []byte, open func(io.Writer) io.WriteCloser) []byte {
	var buf bytes.Buffer
	w := open(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

// bomb is 64 MiB in some 65 KB. Its members, which a reader takes for one stream, are
// of one MiB: to pack all of it takes seconds under the race detector.
var bomb = sync.OnceValue(func() []byte { return bytes.Repeat(gzipped(make([]byte, 1<<20)), 64) })

// coding sends b with a label, and its length unless chunked.
func coding(label string, chunked bool, b func(*request) []byte) func(*request) {
	return func(q *request) {
		data := b(q)
		q.Header().Set("Content-Encoding", label)
		q.Header().Set("Content-Type", "application/octet-stream")
		if !chunked {
			q.Header().Set("Content-Length", strconv.Itoa(len(data)))
		}
		for len(data) > 0 {
			n := min(len(data), 1000)
			q.Write(data[:n])
			if chunked && q.attempt < 3 {
				q.Flush()
			}
			data = data[n:]
		}
	}
}

func init() {
	file := func(q *request) []byte { return gzipped(q.data) }
	faults["packed-gzip"] = Fault{serve: coding("gzip", false, file)}
	faults["packed-x-gzip"] = Fault{serve: coding("x-gzip", true, file)}
	faults["packed-chunked"] = Fault{serve: coding("gzip", true, file)}
	faults["packed-zlib"] = Fault{serve: coding("deflate", false, func(q *request) []byte {
		return packedBy(q.data, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	})}
	faults["packed-deflate"] = Fault{serve: coding("deflate", true, func(q *request) []byte {
		return packedBy(q.data, func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 9); return f })
	})}
	faults["packed-falsely"] = Fault{serve: coding("gzip", true, func(q *request) []byte { return q.data })}
	faults["packed-identity"] = Fault{serve: coding("identity", true, func(q *request) []byte { return q.data })}
	faults["packed-wrong"] = Fault{Class: "digest", serve: coding("gzip", true, func(q *request) []byte { return gzipped(flipped(q)) })}
	faults["packed-nonsense"] = Fault{Class: "digest", serve: coding("gzip", false, func(q *request) []byte { return q.data[:len(q.data)/2] })}
	faults["packed-unknown"] = Fault{Class: "size", serve: coding("br", false, func(q *request) []byte { return q.data[:len(q.data)/2] })}
	faults["packed-page"] = Fault{Class: "html", serve: coding("gzip", true, func(q *request) []byte {
		return gzipped([]byte("<!doctype html><title>Moved away</title>"))
	})}
	faults["packed-bomb"] = Fault{Class: "size", serve: coding("gzip", true, func(*request) []byte { return bomb() })}
	faults["packed-cut"] = Fault{Class: "truncated", serve: coding("gzip", false, func(q *request) []byte {
		b := gzipped(q.data)
		return b[:len(b)/2]
	})}
	faults["lfs"] = Fault{Class: "size", serve: func(q *request) {
		fmt.Fprintf(q, "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", strings.Repeat("0", 64), len(q.data))
	}}
}
