package openbsd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"distkeep/catalog"
)

// Limits of a dump. That of eight categories has 1.6 MB and no line above 2 kB.
const (
	maxDump     = 1 << 30
	maxDumpLine = 1 << 20
	// maxProblems bounds the report of a dump that is something else.
	maxProblems = 10000
)

// A spec is what the blocks of one port have in common: make prints the same
// distfiles once a sub-package, so that two thirds of the lines of a dump
// repeat others.
type spec struct {
	subdir   string // DIST_SUBDIR
	checksum string // CHECKSUM_FILE
	permit   string // PERMIT_*, if it does not say yes
	manual   string // FETCH_MANUALLY, if it does not say no
	missing  string // MISSING_FILES
	lists    string // the lines of the list variables, VAR=value
}

// A port is a spec with the FULLPKGPATHs that have it.
type port struct {
	spec
	line int // where the first block names a distfile or a site
	pkgs []string
}

// A dump is the result of reading the output of make dump-vars.
type dump struct {
	label string // for problems
	ports []*port

	bySpec   map[spec]*port
	byPkg    map[string]*port
	strings  map[string]string
	problems problemList
	// people are the values of MAINTAINER by FULLPKGPATH.
	people map[string]string

	// entry is the SUBDIR entry that make is in, while nothing came of it.
	entry     string
	entryLine int

	// The block being read: all of this is reset by flush.
	pkg       string
	blockLine int
	spec      spec
	permits   bool // some port says whether its distfiles may be mirrored
	lists     []byte
}

func newDump(label string) *dump {
	return &dump{
		label:   label,
		bySpec:  make(map[spec]*port),
		byPkg:   make(map[string]*port),
		strings: make(map[string]string),
		people:  make(map[string]string),
	}
}

// read reads a dump up to its end. Errors are those of r and of ctx, and a dump
// beyond all limits; what is wrong with single lines is in d.problems.
func (d *dump) read(ctx context.Context, r io.Reader) error {
	rest := &io.LimitedReader{R: r, N: maxDump + 1}
	lr := newLineReader(rest, maxDumpLine)
	for {
		line, err := lr.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.label, err)
		}
		if lr.num%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if lr.long {
			d.problem("", lr.num, "line is longer than %d bytes; what it says is not known", maxDumpLine)
			continue
		}
		if lr.cut {
			// Also when the line is complete: what followed it is not there.
			d.problem("", lr.num, "dump ends in the middle of a line; make it again")
		}
		d.line(lr.num, line)
	}
	if rest.N == 0 {
		return fmt.Errorf("%s: dump is larger than %d bytes", d.label, maxDump)
	}
	d.flush()
	d.leave()
	return ctx.Err()
}

func (d *dump) problem(pkg string, line int, format string, args ...any) {
	d.problems.add(catalog.Problem{Package: pkg, File: d.label, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// unlisted records that make has not listed one port.
func (d *dump) unlisted(pkg string, line int, msg string) {
	p := catalog.Problem{Package: pkg, File: d.label, Line: line, Msg: msg}
	if strings.Contains(pkg, "/") { // else it is a whole category
		p.Scope = catalog.OnePackage
	}
	d.problems.add(p)
}

// line takes one line of the dump. The forms are those that DPB::Vars knows;
// what has none of them is output of make or of the shell, and ignored.
func (d *dump) line(num int, line []byte) {
	if d.failure(num, line) {
		return
	}
	if text, ok := bytes.CutPrefix(line, []byte("===>")); ok {
		d.flush()
		entry := label(bytes.TrimSpace(text))
		if skipped, ok := strings.CutSuffix(entry, " skipped"); ok {
			if d.below(skipped) {
				d.entry = ""
			}
			return
		}
		if !d.below(entry) {
			d.leave()
		}
		d.entry, d.entryLine = entry, num
		return
	}
	pkg, name, value, ok := splitVar(line)
	if !ok {
		return
	}
	d.entry = ""
	if string(pkg) != d.pkg {
		d.flush()
		d.pkg, d.blockLine = d.intern(pkg), num
	}
	d.set(num, name, value)
}

// failure takes the two messages that mean a port could not be listed.
func (d *dump) failure(num int, line []byte) bool {
	if text, ok := bytes.CutPrefix(line, []byte("===>")); ok {
		text, ok = bytes.CutPrefix(bytes.TrimLeft(text, " \t"), []byte("Exiting "))
		if !ok {
			return false
		}
		text, ok = bytes.CutSuffix(text, []byte(" with an error"))
		if !ok {
			return false
		}
		d.flush()
		d.entry = ""
		d.unlisted(label(text), num, "make failed in the port: its distfiles are not known; run make dump-vars there")
		return true
	}
	if text, ok := bytes.CutPrefix(line, []byte(">>")); ok {
		text, ok = bytes.CutPrefix(bytes.TrimLeft(text, " \t"), []byte("Broken dependency:"))
		if !ok {
			return false
		}
		text, _, ok = bytes.Cut(text, []byte("non existent"))
		if !ok {
			return false
		}
		d.flush()
		d.entry = ""
		d.unlisted(label(bytes.TrimSpace(text)), num, "broken dependency: the port does not exist")
		return true
	}
	return false
}

// below reports whether entry is inside of the one that make is in.
func (d *dump) below(entry string) bool {
	return len(entry) > len(d.entry) && entry[len(d.entry)] == '/' && strings.HasPrefix(entry, d.entry)
}

// leave ends the SUBDIR entry that make is in: an entry with neither variables
// nor entries below it is a port that was not listed, mostly because the dump
// is cut off.
func (d *dump) leave() {
	if d.entry != "" {
		d.problem(d.entry, d.entryLine, "make printed nothing for this entry: its distfiles are not known")
		d.entry = ""
	}
}

// set takes one variable of the current block.
func (d *dump) set(num int, name, value []byte) {
	value = bytes.TrimSpace(value)
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	switch n := string(name); n {
	case "MAINTAINER":
		d.people[d.pkg] = d.intern(value)
	case "DIST_SUBDIR":
		d.assign(&d.spec.subdir, value)
	case "CHECKSUM_FILE":
		d.assign(&d.spec.checksum, value)
	case "MISSING_FILES":
		d.assign(&d.spec.missing, value)
	case "FETCH_MANUALLY":
		if !strings.EqualFold(string(bytes.TrimSpace(value)), "no") {
			d.assign(&d.spec.manual, value)
		}
	case "PERMIT_DISTFILES", "PERMIT_DISTFILES_FTP":
		d.permits = true
		if !strings.EqualFold(string(value), "yes") {
			d.spec.permit = cmp.Or(d.intern(value), "no permission given")
		}
	default:
		if _, _, ok := listVariable(n); ok && !blank(value) {
			if len(d.lists) == 0 {
				d.blockLine = num
			}
			d.lists = append(d.lists, name...)
			d.lists = append(d.lists, '=')
			d.lists = append(d.lists, value...)
			d.lists = append(d.lists, '\n')
		}
	}
}

func (d *dump) assign(s *string, value []byte) {
	if !blank(value) {
		*s = d.intern(value)
	}
}

// blank reports whether DPB (AddInfo) takes value for unset.
func blank(value []byte) bool { return len(bytes.Trim(value, " \t-")) == 0 }

// flush ends the current block.
func (d *dump) flush() {
	if d.pkg == "" {
		return
	}
	d.spec.lists = d.intern(d.lists)
	p := d.bySpec[d.spec]
	if p == nil {
		p = &port{spec: d.spec, line: d.blockLine}
		d.bySpec[d.spec] = p
		d.ports = append(d.ports, p)
	}
	// Some directories are entered twice, and print the same twice.
	if d.byPkg[d.pkg] != p {
		d.byPkg[d.pkg] = p
		p.pkgs = append(p.pkgs, d.pkg)
	}
	d.pkg, d.spec, d.lists = "", spec{}, d.lists[:0]
}

func (d *dump) intern(b []byte) string {
	s, ok := d.strings[string(b)]
	if !ok {
		s = string(b)
		d.strings[s] = s
	}
	return s
}

// splitVar takes apart FULLPKGPATH.VARIABLE=value at the first dot that an
// upper-case name and "=" follow: FULLPKGPATHs contain dots.
func splitVar(line []byte) (pkg, name, value []byte, ok bool) {
	eq := bytes.IndexByte(line, '=')
	if eq < 0 {
		return nil, nil, nil, false
	}
	head := line[:eq]
	for dot := 0; ; dot++ {
		i := bytes.IndexByte(head[dot:], '.')
		if i < 0 {
			return nil, nil, nil, false
		}
		dot += i
		if isVariable(head[dot+1:]) {
			pkg, name = head[:dot], head[dot+1:]
			break
		}
	}
	// category/port at least: all else is a message that happens to fit.
	if len(pkg) > maxDistinfoLine || bytes.IndexByte(pkg, '/') <= 0 || !printable(pkg) {
		return nil, nil, nil, false
	}
	return pkg, name, line[eq+1:], true
}

// isVariable reports whether s is a variable that dump-vars prints: upper-case,
// or with the suffix of an architecture (BROKEN-arm), or a list with the suffix
// of its sites (DISTFILES.github).
func isVariable(s []byte) bool {
	i := 0
	for i < len(s) && ('A' <= s[i] && s[i] <= 'Z' || i > 0 && (s[i] == '_' || '0' <= s[i] && s[i] <= '9')) {
		i++
	}
	if i == 0 || i == len(s) {
		return i > 0
	}
	_, _, list := listVariable(string(s[:i]))
	if s[i] != '-' && !list {
		return false
	}
	for _, c := range s[i:] {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-':
		case list && (c == '.' || c == '+' || 'A' <= c && c <= 'Z'):
		default:
			return false
		}
	}
	return true
}

// listVariable splits the name of a variable that lists files or sites. A list
// of files is fetched from the list of sites with the same suffix; DPB
// (PortInfo.pm 1.49) takes anything behind the names for a suffix.
func listVariable(name string) (suffix string, sites, ok bool) {
	for _, v := range [...]string{"DISTFILES", "PATCHFILES", "SUPDISTFILES"} {
		if suffix, ok := strings.CutPrefix(name, v); ok {
			return suffix, false, true
		}
	}
	for _, v := range [...]string{"MASTER_SITES", "SITES"} {
		if suffix, ok := strings.CutPrefix(name, v); ok {
			return suffix, true, true
		}
	}
	return "", false, false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// label makes text of a dump fit for a report: on one line, without anything
// that a terminal obeys, and bounded.
func label(b []byte) string {
	s := clip(string(b))
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// clip bounds what a message quotes.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// A problemList is a bounded list in which a port has each problem once,
// however many sub-packages and flavors it has.
type problemList struct {
	list []catalog.Problem
	seen map[[2]string]bool
}

func (l *problemList) add(p catalog.Problem) {
	dir, _, _ := strings.Cut(p.Package, ",")
	key := [2]string{dir, p.Msg}
	if dir != "" && l.seen[key] || len(l.list) > maxProblems {
		return
	}
	if l.seen == nil {
		l.seen = make(map[[2]string]bool)
	}
	l.seen[key] = true
	if len(l.list) == maxProblems {
		p = catalog.Problem{File: p.File, Line: p.Line, Msg: "more problems from here on"}
	}
	l.list = append(l.list, p)
}
