package report

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// A decoder decodes lines as this package writes them, and reports whether its line is
// one. Package encoding/json decodes the others: it takes six times as long, and of
// failures there may be some 10^5 that people wait for.
type decoder interface{ decode(line string) bool }

func (f *Failure) decode(line string) bool {
	c := &cursor{rest: line}
	f.Name = c.want(`{"name":`).text()
	f.Class = c.want(`,"class":`).text()
	f.Reason = c.want(`,"reason":`).text()
	if c.has(`,"hint":`) {
		f.Hint = c.text()
	}
	f.Owner = c.want(`,"owner":`).text()
	if c.has(`,"owners":`) {
		f.Owners = c.texts()
	}
	if c.has(`,"maintainers":`) {
		f.Maintainers = c.texts()
	}
	f.Size = c.want(`,"size":`).number()
	f.New = c.want(`,"new":`).truth()
	if c.has(`,"first":`) {
		f.First = c.time()
	}
	if c.has(`,"last":`) {
		f.Last = c.time()
	}
	if c.has(`,"next":`) {
		f.Next = c.time()
	}
	f.Count = int(c.want(`,"count":`).number())
	if c.has(`,"answers":`) {
		for sep := "["; c.has(sep); sep = "," {
			a := Answer{URL: c.want(`{"url":`).text()}
			if c.has(`,"host":`) {
				a.Host = c.text()
			}
			a.Class = c.want(`,"class":`).text()
			a.Text = c.want(`,"text":`).text()
			f.Answers = append(f.Answers, a)
			c.want("}")
		}
		c.want("]")
	}
	if c.has(`,"shard":`) {
		f.Shard = c.text()
	}
	c.want("}")
	return !c.failed && c.rest == ""
}

func (d *Distfile) decode(line string) bool {
	c := &cursor{rest: line}
	d.Name = c.want(`{"name":`).text()
	d.SHA256 = c.want(`,"sha256":`).text()
	d.Size = c.want(`,"size":`).number()
	if c.has(`,"modified":`) {
		d.Modified = c.time()
	}
	if c.has(`,"digests":`) {
		d.Digests = make(map[string]string)
		for sep := "{"; c.has(sep); sep = "," {
			alg := c.text()
			d.Digests[alg] = c.want(":").text()
		}
		c.want("}")
	}
	d.Named = c.want(`,"named":`).truth()
	for _, f := range [...]struct {
		key  string
		text *string
	}{{`,"owner":`, &d.Owner}, {`,"kind":`, &d.Kind}, {`,"origin":`, &d.Origin}} {
		if c.has(f.key) {
			*f.text = c.text()
		}
	}
	d.Added = c.want(`,"added":`).time()
	d.Verified = c.want(`,"verified":`).time()
	if c.has(`,"recycled":`) {
		d.Recycled = c.truth()
	}
	if c.has(`,"undone":`) {
		d.Undone = c.time()
	}
	if c.has(`,"shard":`) {
		d.Shard = c.text()
	}
	c.want("}")
	return !c.failed && c.rest == ""
}

// A cursor reads the rest of a line. Once it has failed, it has no rest.
type cursor struct {
	rest   string
	failed bool
}

func (c *cursor) fail() { c.rest, c.failed = "", true }

// has passes over text, if that is next.
func (c *cursor) has(text string) (ok bool) {
	if ok = strings.HasPrefix(c.rest, text); ok {
		c.rest = c.rest[len(text):]
	}
	return ok
}

// want passes over text, which has to be next.
func (c *cursor) want(text string) *cursor {
	if !c.has(text) {
		c.fail()
	}
	return c
}

// text reads a text in quotes.
func (c *cursor) text() string {
	if !c.has(`"`) {
		c.fail()
		return ""
	}
	for i := range len(c.rest) {
		switch b := c.rest[i]; {
		case b == '"':
			s := c.rest[:i]
			c.rest = c.rest[i+1:]
			return s
		case b < ' ' || b > '~' || b == '\\':
			return c.escaped(i)
		}
	}
	c.fail()
	return ""
}

// escaped reads the rest of a text that is more than itself from i on.
func (c *cursor) escaped(i int) (s string) {
	for ; i < len(c.rest) && c.rest[i] != '"'; i++ {
		if c.rest[i] == '\\' {
			i++
		}
	}
	if i >= len(c.rest) || json.Unmarshal([]byte(`"`+c.rest[:i+1]), &s) != nil {
		c.fail()
		return ""
	}
	c.rest = c.rest[i+1:]
	return s
}

// texts reads a list of texts, of which there is at least one.
func (c *cursor) texts() (ss []string) {
	for sep := "["; c.has(sep); sep = "," {
		ss = append(ss, c.text())
	}
	c.want("]")
	if len(ss) == 0 {
		c.fail()
	}
	return ss
}

func (c *cursor) truth() bool {
	if c.has("true") {
		return true
	}
	c.want("false")
	return false
}

// number reads a number as strconv writes it.
func (c *cursor) number() int64 {
	rest := strings.TrimLeft(c.rest, "-0123456789")
	text := c.rest[:len(c.rest)-len(rest)]
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		c.fail()
		return 0
	}
	c.rest = rest
	return n
}

func (c *cursor) time() (t time.Time) {
	if t.UnmarshalText([]byte(c.text())) != nil {
		c.fail()
	}
	return t
}
