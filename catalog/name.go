package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Name is the file name of one distfile exactly as its catalog spells it:
// one path component for gentoo and pacman, one or more ("DIST_SUBDIR/file")
// for openbsd. Names come from ParseName or ParsePath only, so holding one is
// proof that it stays inside the directory it is joined to.
type Name string

// maxComponent is NAME_MAX of every file system that can hold an archive.
const maxComponent = 255

// maxName bounds names of several components, so that any path of the archive
// stays below PATH_MAX (4096).
const maxName = 1024

// ParseName validates s as a name of one component. It never repairs: what is
// not a plain file name is an error, and a%2Fb@v1.zip stays as it is.
func ParseName(s string) (Name, error) {
	if err := checkComponent(s); err != nil {
		return "", fmt.Errorf("bad distfile name %q: %w", s, err)
	}
	return Name(s), nil
}

// ParsePath validates s as a name of one or more components separated by
// single slashes.
func ParsePath(s string) (Name, error) {
	if len(s) > maxName {
		return "", fmt.Errorf("bad distfile name %.40q…: longer than %d bytes", s, maxName)
	}
	for c := range strings.SplitSeq(s, "/") {
		if err := checkComponent(c); err != nil {
			return "", fmt.Errorf("bad distfile name %q: %w", s, err)
		}
	}
	return Name(s), nil
}

type nameError string

func (e nameError) Error() string { return string(e) }

func checkComponent(c string) error {
	switch {
	case c == "":
		return nameError("empty name or component")
	case c == "." || c == "..":
		return nameError("component is . or ..")
	case len(c) > maxComponent:
		return nameError("component is longer than 255 bytes")
	}
	for i := range len(c) {
		switch b := c[i]; {
		case b == '/':
			return nameError("contains a slash")
		case b < ' ' || b == 0x7f:
			return nameError("contains a control byte")
		}
	}
	return nil
}

// Span returns where the elements of a name are in list, which is in the order of
// names. near is where the one before was: who asks in that order finds each there.
func Span[E any](list []E, near int, name Name, of func(E) Name) (from, to int) {
	from = min(near, len(list))
	for range 4 {
		if from < len(list) && of(list[from]) < name {
			from++
		}
	}
	if from < len(list) && of(list[from]) < name || from > 0 && of(list[from-1]) >= name {
		from, _ = slices.BinarySearchFunc(list, name, func(e E, n Name) int { return cmp.Compare(of(e), n) })
	}
	for to = from; to < len(list) && of(list[to]) == name; to++ {
	}
	return from, to
}

// Base returns the last component.
func (n Name) Base() string { return string(n[strings.LastIndexByte(string(n), '/')+1:]) }
