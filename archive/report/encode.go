package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"distkeep/catalog/digest"
)

// An appender appends the line of a record as encoding/json makes it, byte for byte, but
// for the escapes that only HTML needs. An export has a line for each content of the
// archive, and the reflection of that package would be most of its cost.
type appender interface {
	AppendJSON(b []byte) ([]byte, error)
}

// AppendLine appends the line of a record of this package, with its end. The error is
// that of a time that has no form in JSON.
func AppendLine[T any](b []byte, record *T) ([]byte, error) {
	if a, ok := any(record).(appender); ok {
		b, err := a.AppendJSON(b)
		return append(b, '\n'), err
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(record)
	return append(b, text.Bytes()...), err
}

// AppendJSON appends d as a line has it, without an end.
func (d *Distfile) AppendJSON(b []byte) ([]byte, error) {
	return d.append(b, func(b []byte) []byte { return appendText(b, d.SHA256) }, func(b []byte) []byte {
		var room [8]string // most have two
		algs := slices.AppendSeq(room[:0], maps.Keys(d.Digests))
		slices.Sort(algs)
		for i, alg := range algs {
			b = appendText(appendSep(b, i), alg)
			b = appendText(append(b, ':'), d.Digests[alg])
		}
		return b
	})
}

// AppendJSON appends c as the line of a Distfile has it, without an end.
func (c *Content) AppendJSON(b []byte) ([]byte, error) {
	quoted := func(b []byte, sum digest.Digest) []byte { return append(sum.AppendHex(append(b, '"')), '"') }
	return c.append(b, func(b []byte) []byte { return quoted(b, c.Sums.Get(digest.SHA256)) }, func(b []byte) []byte {
		var room [8]digest.Digest
		others := append(room[:0], c.Sums...)
		slices.SortFunc(others, func(a, b digest.Digest) int { return cmp.Compare(a.Alg.String(), b.Alg.String()) })
		n := 0
		for _, sum := range others {
			if sum.Alg != digest.SHA256 {
				b = quoted(append(appendText(appendSep(b, n), sum.Alg.String()), ':'), sum)
				n++
			}
		}
		return b
	})
}

// appendSep appends what stands before the i-th of several.
func appendSep(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// append appends d, the digests with what appends them.
func (d *Distfile) append(b []byte, sum, digests func(b []byte) []byte) (_ []byte, err error) {
	b = appendText(append(b, `{"name":`...), d.Name)
	b = sum(append(b, `,"sha256":`...))
	b = strconv.AppendInt(append(b, `,"size":`...), d.Size, 10)
	if !d.Modified.IsZero() {
		b, err = appendTime(append(b, `,"modified":`...), d.Modified, err)
	}
	const key = `,"digests":{`
	if with := digests(append(b, key...)); len(with) > len(b)+len(key) {
		b = append(with, '}')
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
	if d.Shard != "" {
		b = appendText(append(b, `,"shard":`...), d.Shard)
	}
	return append(b, '}'), err
}

// AppendJSON appends f as a line has it, without an end.
func (f *Failure) AppendJSON(b []byte) (_ []byte, err error) {
	b = appendText(append(b, `{"name":`...), f.Name)
	b = appendText(append(b, `,"class":`...), f.Class)
	b = appendText(append(b, `,"reason":`...), f.Reason)
	if f.Hint != "" {
		b = appendText(append(b, `,"hint":`...), f.Hint)
	}
	b = appendText(append(b, `,"owner":`...), f.Owner)
	b = appendTexts(b, `,"owners":`, f.Owners)
	b = appendTexts(b, `,"maintainers":`, f.Maintainers)
	b = strconv.AppendInt(append(b, `,"size":`...), f.Size, 10)
	b = strconv.AppendBool(append(b, `,"new":`...), f.New)
	for _, x := range [...]struct {
		key string
		t   time.Time
	}{{`,"first":`, f.First}, {`,"last":`, f.Last}, {`,"next":`, f.Next}} {
		if !x.t.IsZero() {
			b, err = appendTime(append(b, x.key...), x.t, err)
		}
	}
	b = strconv.AppendInt(append(b, `,"count":`...), int64(f.Count), 10)
	for i := range f.Answers {
		sep := `,{"url":`
		if i == 0 {
			sep = `,"answers":[{"url":`
		}
		a := &f.Answers[i]
		b = appendText(append(b, sep...), a.URL)
		if a.Host != "" {
			b = appendText(append(b, `,"host":`...), a.Host)
		}
		b = appendText(append(b, `,"class":`...), a.Class)
		b = appendText(append(b, `,"text":`...), a.Text)
		b = append(b, '}')
	}
	if len(f.Answers) > 0 {
		b = append(b, ']')
	}
	if f.Shard != "" {
		b = appendText(append(b, `,"shard":`...), f.Shard)
	}
	return append(b, '}'), err
}

// appendTexts appends texts below a key, if there are any.
func appendTexts(b []byte, key string, texts []string) []byte {
	if len(texts) == 0 {
		return b
	}
	b = append(append(b, key...), '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return append(b, ']')
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
