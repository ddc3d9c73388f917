package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// appendDistfile appends the line of d as encoding/json makes it, byte for byte, but
// for the escapes that only HTML needs. An export has a line for each content of the
// archive, and the reflection of that package would be most of its cost.
func appendDistfile(b []byte, d *Distfile) (_ []byte, err error) {
	b = appendText(append(b, `{"name":`...), d.Name)
	b = appendText(append(b, `,"sha256":`...), d.SHA256)
	b = strconv.AppendInt(append(b, `,"size":`...), d.Size, 10)
	if !d.Modified.IsZero() {
		b, err = appendTime(append(b, `,"modified":`...), d.Modified, err)
	}
	if len(d.Digests) > 0 {
		var room [8]string // most have two
		algs := slices.AppendSeq(room[:0], maps.Keys(d.Digests))
		slices.Sort(algs)
		sep := `,"digests":{`
		for _, alg := range algs {
			b = appendText(append(b, sep...), alg)
			b = appendText(append(b, ':'), d.Digests[alg])
			sep = ","
		}
		b = append(b, '}')
	}
	b = strconv.AppendBool(append(b, `,"named":`...), d.Named)
	for _, f := range [...]struct{ key, text string }{{`,"owner":`, d.Owner}, {`,"kind":`, d.Kind}, {`,"origin":`, d.Origin}} {
		if f.text != "" {
			b = appendText(append(b, f.key...), f.text)
		}
	}
	b, err = appendTime(append(b, `,"added":`...), d.Added, err)
	b, err = appendTime(append(b, `,"verified":`...), d.Verified, err)
	if d.Recycled {
		b = append(b, `,"recycled":true`...)
	}
	if !d.Undone.IsZero() {
		b, err = appendTime(append(b, `,"undone":`...), d.Undone, err)
	}
	return append(b, "}\n"...), err
}

// appendTime appends t, unless it has no form in JSON or there was an error before.
func appendTime(b []byte, t time.Time, before error) ([]byte, error) {
	if before != nil {
		return b, before
	}
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}

// appendText appends s in quotes.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(b, quote(s)...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}

// quote returns s as encoding/json has it, with <, > and & as they are.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be encoded, and a buffer written to
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
