package fetchtest

import (
	"fmt"
	"net/http"
	"strings"
)

// The faults of this file are answers that no http.Server of Go would give, and
// that wget or curl make a file of.

// raw sends head, of which LENGTH stands for the length of the file, and then the
// bytes, and ends the connection. A head is written with bare line feeds: they
// become CRLF unless it has CR of its own.
func (q *request) raw(head string, body []byte) {
	c, _, err := http.NewResponseController(q.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer c.Close()
	if head = strings.ReplaceAll(head, "LENGTH", fmt.Sprint(len(q.data))); !strings.Contains(head, "\r") {
		head = strings.ReplaceAll(head, "\n", "\r\n")
	}
	n, _ := c.Write(append([]byte(strings.ReplaceAll(head, "\r\r", "")), body...))
	q.u.sent.Add(int64(max(0, n-len(head))))
}

// answers returns a fault that answers with a head and the file.
func answers(head string) func(*request) {
	return func(q *request) { q.raw(head, q.data) }
}

// chunks returns a fault that sends the file in two chunks, with what a format
// makes of size and bytes, and an end.
func chunks(format, end string) func(*request) {
	return func(q *request) {
		half := len(q.data) / 2
		body := fmt.Sprintf(format, half, q.data[:half]) + fmt.Sprintf(format, len(q.data)-half, q.data[half:]) + end
		q.raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: close\n\n", []byte(body))
	}
}

func init() {
	for name, head := range map[string]string{
		"te-identity":         "HTTP/1.1 200 OK\nTransfer-Encoding: identity\nContent-Length: LENGTH\n\n",
		"te-identity-close":   "HTTP/1.1 200 OK\nTransfer-Encoding: identity\nConnection: close\n\n",
		"length-twice":        "HTTP/1.1 200 OK\nContent-Length: LENGTH\nContent-Length: LENGTH\nConnection: close\n\n",
		"length-list":         "HTTP/1.1 200 OK\nContent-Length: LENGTH, LENGTH\nConnection: close\n\n",
		"length-differs":      "HTTP/1.1 200 OK\nContent-Length: LENGTH\nContent-Length: 1\nConnection: close\n\n",
		"length-unit":         "HTTP/1.1 200 OK\nContent-Length: LENGTH bytes\nConnection: close\n\n",
		"length-empty":        "HTTP/1.1 200 OK\nContent-Length:\nConnection: close\n\n",
		"length-negative":     "HTTP/1.1 200 OK\nContent-Length: -1\nConnection: close\n\n",
		"length-long":         "HTTP/1.1 200 OK\nContent-Length: 9999999\nConnection: close\n\n",
		"small-letters":       "http/1.1 200 ok\ncontent-length: LENGTH\n\n",
		"no-version":          "HTTP 200 OK\nContent-Length: LENGTH\n\n",
		"odd-version":         "HTTP/1.9 200 OK\nContent-Length: LENGTH\nConnection: close\n\n",
		"no-reason":           "HTTP/1.1 200\nContent-Length: LENGTH\nConnection: close\n\n",
		"many-blanks":         "HTTP/1.1  200  OK\nContent-Length:   LENGTH  \nConnection: close\n\n",
		"no-colon":            "HTTP/1.1 200 OK\nthis is no header\nContent-Length: LENGTH\nConnection: close\n\n",
		"odd-name":            "HTTP/1.1 200 OK\nX (odd) name: 1\nContent-Length : LENGTH\nConnection: close\n\n",
		"odd-value":           "HTTP/1.1 200 OK\nX-Bell: \a\x01\nContent-Length: LENGTH\nConnection: close\n\n",
		"folded":              "HTTP/1.1 200 OK\nX-Long: one\n two\n\tthree\nContent-Length: LENGTH\nConnection: close\n\n",
		"folded-first":        "HTTP/1.1 200 OK\n folded\nContent-Length: LENGTH\nConnection: close\n\n",
		"bare-lf":             "HTTP/1.1 200 OK\nContent-Length: LENGTH\nConnection: close\n\r\r\n",
		"blank-first":         "\n\nHTTP/1.1 200 OK\nContent-Length: LENGTH\nConnection: close\n\n",
		"close-delimited":     "HTTP/1.0 200 OK\nContent-Type: application/octet-stream\n\n",
		"close-delimited-1.1": "HTTP/1.1 200 OK\n\n",
		"http-0.9":            "",
		"interim":             "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </x>\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: LENGTH\nConnection: close\n\n",
		"interim-many":        strings.Repeat("HTTP/1.1 100 Continue\n\n", 10) + "HTTP/1.1 200 OK\nContent-Length: LENGTH\nConnection: close\n\n",
		"two-locations":       "HTTP/1.1 200 OK\nLocation: /one\nLocation: /two\nContent-Length: LENGTH\nConnection: close\n\n",
	} {
		faults[name] = Fault{serve: answers(head)}
	}
	for name, c := range map[string]struct{ format, end string }{
		"chunk-extensions": {"%x;name=value;other=\"a;b\"\r\n%s\r\n", "0;last\r\nX-Trailer: 1\r\n\r\n"},
		"chunk-bare-lf":    {"%x\n%s\n", "0\n\n"},
		"chunk-blanks":     {" %x \r\n%s\r\n", " 0 \r\n\r\n"},
		"chunk-zeros":      {"000000000000000000000000%x\r\n%s\r\n", "000\r\n\r\n"},
		"chunk-no-last":    {"%x\r\n%s\r\n", ""},
		"chunk-no-end":     {"%x\r\n%s\r\n", "0\r\n"},
	} {
		faults[name] = Fault{serve: chunks(c.format, c.end)}
	}
	faults["te-identity-chunked"] = Fault{serve: func(q *request) {
		q.raw("HTTP/1.1 200 OK\nTransfer-Encoding: identity, chunked\nConnection: close\n\n", fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(q.data), q.data))
	}}
	faults["chunked-and-length"] = Fault{serve: func(q *request) {
		q.raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 7\nConnection: close\n\n", fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(q.data), q.data))
	}}
	faults["chunked-1.0"] = Fault{serve: func(q *request) {
		q.raw("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n", fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(q.data), q.data))
	}}
	faults["not-http"] = Fault{Class: "server", serve: func(q *request) { q.raw("SSH-2.0-OpenSSH_9.2\n", nil) }}
	faults["status-odd"] = Fault{Class: "server", serve: func(q *request) { q.raw("HTTP/1.1 OK\n\n", nil) }}
}
