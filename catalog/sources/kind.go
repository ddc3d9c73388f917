package sources

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A kind is a format of lists.
type kind struct {
	name string
	// files are patterns of file names, in lower case, that are of the kind.
	files []string
	// is recognizes the content of a list whose name says nothing.
	is func(data []byte) bool
	// signed: there is a custom of signing such lists.
	signed bool
	// owner, if set, tells by the path of a file what package it is of:
	// packages have one such file each, so that a directory is a list.
	owner func(file string) string
	parse func(p *parser) error
}

// kinds are all kinds, in the order in which their names and contents are
// looked at.
var kinds = []kind{
	{name: "jsonl", files: []string{"*.jsonl", "*.ndjson"}, is: isJSONLines, parse: parseJSONLines},
	{name: "nix", files: []string{"sources*.json"}, is: isNix, parse: parseNix},
	{name: "homebrew", files: []string{"formula.json"}, is: matches(`^\s*\[`), parse: parseHomebrew},
	{name: "distinfo", files: []string{"distinfo"}, is: matches(`^(\$NetBSD|TIMESTAMP = )`), owner: portOf, parse: parseDistinfo},
	{
		name: "sums", signed: true, parse: parseSums, is: isSums,
		files: []string{"*sha256sum*", "*sha512sum*", "*b2sum*", "*md5sum*", "*sha1sum*", "checksum*", "*-checksum", "sha256", "sha512", "sha256.sig", "*.sha256", "*.sha512"},
	},
	{name: "opam", files: []string{"opam", "url", "*.opam"}, is: matches(`(?m)^(opam-version:|url\s*\{)`), owner: packageOf, parse: parseOpam},
	{name: "conan", files: []string{"conandata.yml"}, is: matches(`(?m)^["']?sources["']?:`), owner: recipeOf, parse: parseConan},
}

// Kinds returns the names of the kinds.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func kindNamed(name string) *kind {
	return findKind(func(k *kind) bool { return k.name == name })
}

// kindOf tells the kind of a list by the name of its file or else by its
// content. It is nil when neither says it.
func kindOf(name string, data []byte) *kind {
	if k := kindByName(name); k != nil {
		return k
	}
	return findKind(func(k *kind) bool { return k.is(data) })
}

func kindByName(name string) *kind {
	name = strings.ToLower(name)
	return findKind(func(k *kind) bool {
		return slices.ContainsFunc(k.files, func(pattern string) bool {
			ok, err := path.Match(pattern, name)
			return ok && err == nil
		})
	})
}

func findKind(f func(k *kind) bool) *kind {
	for i := range kinds {
		if f(&kinds[i]) {
			return &kinds[i]
		}
	}
	return nil
}

// maxSniff is how much of a list is looked at for its kind.
const maxSniff = 64 << 10

func matches(pattern string) func(data []byte) bool {
	re := regexp.MustCompile(pattern)
	return func(data []byte) bool { return re.Match(data[:min(len(data), maxSniff)]) }
}

var (
	sumsLine = regexp.MustCompile(`(?m)^(\\?[0-9A-Fa-f]{32,128} [ *]|[0-9A-Za-z]{3,9} \(.+\) = )`)
	isSums   = func(data []byte) bool { return sumsLine.Match(data[:min(len(data), maxSniff)]) }
)

// isJSONLines: the first line is an object of its own, and not the whole of a
// sources.json.
func isJSONLines(data []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	line = bytes.TrimSpace(line)
	return bytes.HasPrefix(line, []byte("{")) && bytes.HasSuffix(line, []byte("}")) && !isNix(line)
}

// isNix: an object with a key "sources", which is the first or the last one of
// the lists there are.
func isNix(data []byte) bool {
	data = bytes.TrimSpace(data)
	head, tail := data[:min(len(data), maxSniff)], data[max(0, len(data)-maxSniff):]
	return bytes.HasPrefix(data, []byte("{")) && (sourcesKey.Match(head) || sourcesKey.Match(tail))
}

var sourcesKey = regexp.MustCompile(`"sources"\s*:\s*\[`)
