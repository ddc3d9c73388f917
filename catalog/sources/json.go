package sources

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"distkeep/catalog/digest"
)

// maxLine bounds a line of JSON Lines.
const maxLine = 1 << 20

// A jsonLine is one file of a list in JSON Lines. Other keys are ignored.
type jsonLine struct {
	Name     string            `json:"name"`
	Size     *int64            `json:"size"`
	Digests  map[string]string `json:"digests"`
	URIs     []string          `json:"uris"`
	Owner    string            `json:"owner"`
	Restrict string            `json:"restrict"`
}

func parseJSONLines(p *parser) error {
	num := 0
	for line := range bytes.Lines(p.data) {
		num++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		e, err := parseLine(line)
		e.line = num
		if err != nil {
			p.reject(e, "%v", err)
			continue
		}
		if err := p.add(e); err != nil {
			return err
		}
	}
	return nil
}

// parseLine returns what could be read of a line beside the error.
func parseLine(line []byte) (*entry, error) {
	e := &entry{size: -1}
	var l jsonLine
	switch {
	case len(line) > maxLine:
		return e, fmt.Errorf("line of more than %d bytes", maxLine)
	case !utf8.Valid(line):
		return e, errors.New("line is not UTF-8") // encoding/json would mend it
	}
	err := formError(json.Unmarshal(line, &l))
	e.name, e.uris, e.owner, e.restrict = l.Name, l.URIs, l.Owner, l.Restrict
	if err != nil {
		return e, err
	}
	if l.Size != nil {
		if e.size = *l.Size; e.size < 0 {
			return e, fmt.Errorf("bad size %d", e.size)
		}
	}
	e.digests, err = l.digests()
	return e, err
}

// formError says what an error of encoding/json about a type means, without the
// types of this program.
func formError(err error) error {
	if other := (*json.UnmarshalTypeError)(nil); errors.As(err, &other) {
		return fmt.Errorf("%q must not be a JSON %s", other.Field, other.Value)
	}
	return err
}

// digests are those that are known.
func (l *jsonLine) digests() (digest.Set, error) {
	var ds []digest.Digest
	for key, value := range l.Digests {
		if key == "sri" {
			more, err := parseSRI(value)
			if err != nil {
				return nil, err
			}
			ds = append(ds, more...)
			continue
		}
		a, known := digest.ParseAlgorithm(strings.ToUpper(key))
		if !known {
			continue
		}
		d, err := digest.Parse(a, value)
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	set, ok := digest.NewSet(ds...)
	if !ok {
		return nil, errors.New("two digests of one algorithm")
	}
	return set, nil
}

// parseSRI reads the digests of "sha256-BASE64 sha512-BASE64", the form of
// Subresource Integrity. Algorithms that are not known are left out.
func parseSRI(text string) (ds []digest.Digest, err error) {
	for word := range strings.FieldsSeq(text) {
		word, _, _ = strings.Cut(word, "?")
		name, value, ok := strings.Cut(word, "-")
		if !ok {
			return nil, fmt.Errorf("%q is not ALGORITHM-BASE64", clip(word))
		}
		a, known := digest.ParseAlgorithm(strings.ToUpper(name))
		if !known {
			continue
		}
		d, err := digest.ParseBase64(a, value)
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return ds, nil
}

// A nixSource is one of the sources of a sources.json.
type nixSource struct {
	Type      string          `json:"type"`
	URLs      []string        `json:"urls"`
	Integrity string          `json:"integrity"`
	HashMode  string          `json:"outputHashMode"`
	PostFetch json.RawMessage `json:"postFetch"`
}

// parseNix reads the sources.json of Nix and of Guix: {"sources": [...]}.
func parseNix(p *parser) error {
	j := newJSONReader(p)
	if err := j.open('{'); err != nil {
		return err
	}
	found := false
	for j.More() {
		key, err := j.Token()
		if err != nil {
			return j.fail(err)
		}
		if key != "sources" {
			var other json.RawMessage
			if err := j.Decode(&other); err != nil {
				return j.fail(err)
			}
			continue
		}
		found = true
		if err := eachOf(j, p.addNix); err != nil {
			return err
		}
	}
	if _, err := j.Token(); err != nil {
		return j.fail(err)
	}
	if !found {
		return fmt.Errorf("%s has no sources", p.file)
	}
	return nil
}

func (p *parser) addNix(s *nixSource, line int) error {
	switch {
	case s.Type != "" && s.Type != "url" || len(s.URLs) == 0:
		p.skip("at no URL, such as a checkout of git")
		return nil
	case s.HashMode != "" && s.HashMode != "flat":
		p.skip("the hash is recursive, and not of what the URL has")
		return nil
	case !slices.Contains([]string{"", "null", `""`}, string(s.PostFetch)):
		p.skip("the hash is of what is made of what the URL has")
		return nil
	case s.Integrity == "":
		p.skip("without a digest")
		return nil
	}
	ds, err := parseSRI(s.Integrity)
	set, ok := digest.NewSet(ds...)
	if err != nil || !ok {
		p.problem(line, "%s: bad integrity %q", clip(s.URLs[0]), clip(s.Integrity))
		return nil
	}
	return p.add(&entry{size: -1, digests: set, uris: s.URLs, line: line})
}

// A formula is one of Homebrew's formula.json, as far as its source goes.
type formula struct {
	FullName string `json:"full_name"`
	URLs     struct {
		Stable *struct {
			URL      string   `json:"url"`
			Mirrors  []string `json:"mirrors"`
			Tag      string   `json:"tag"`
			Checksum string   `json:"checksum"`
		} `json:"stable"`
	} `json:"urls"`
}

// parseHomebrew reads an array of formulas. Bottles are binaries and are left
// out.
func parseHomebrew(p *parser) error {
	j := newJSONReader(p)
	if err := eachOf(j, p.addFormula); err != nil {
		return err
	}
	return nil
}

func (p *parser) addFormula(f *formula, line int) error {
	s := f.URLs.Stable
	switch {
	case s == nil || s.URL == "":
		return nil
	case s.Tag != "" || s.Checksum == "":
		p.skip("without a digest, such as a checkout of git")
		return nil
	}
	d, err := digest.Parse(digest.SHA256, s.Checksum)
	if err != nil {
		p.reject(&entry{owner: f.FullName, line: line}, "%v", err)
		return nil
	}
	return p.add(&entry{size: -1, digests: digest.Set{d}, uris: append([]string{s.URL}, s.Mirrors...), owner: f.FullName, line: line})
}

// A jsonReader reads JSON piece by piece and knows the line.
type jsonReader struct {
	*json.Decoder
	p    *parser
	line int
	at   int64 // where line was counted
}

func newJSONReader(p *parser) *jsonReader {
	return &jsonReader{json.NewDecoder(bytes.NewReader(p.data)), p, 1, 0}
}

// lineNow is the line that was read last.
func (j *jsonReader) lineNow() int {
	now := j.InputOffset()
	j.line += bytes.Count(j.p.data[j.at:now], []byte("\n"))
	j.at = now
	return j.line
}

func (j *jsonReader) fail(err error) error {
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("cut short: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s:%d: %w", j.p.file, j.lineNow(), err)
}

func (j *jsonReader) open(delim json.Delim) error {
	switch t, err := j.Token(); {
	case err != nil:
		return j.fail(err)
	case t != delim:
		return j.fail(fmt.Errorf("want %s", delim))
	}
	return nil
}

// eachOf calls f with each element of an array. One that is of another form is
// a problem.
func eachOf[T any](j *jsonReader, f func(v *T, line int) error) error {
	if err := j.open('['); err != nil {
		return err
	}
	for j.More() {
		v := new(T)
		err := j.Decode(v)
		if other := (*json.UnmarshalTypeError)(nil); errors.As(err, &other) {
			j.p.problem(j.lineNow(), "%v", formError(err))
			continue
		}
		if err != nil {
			return j.fail(err)
		}
		if err := f(v, j.lineNow()); err != nil {
			return err
		}
	}
	if _, err := j.Token(); err != nil {
		return j.fail(err)
	}
	return nil
}
