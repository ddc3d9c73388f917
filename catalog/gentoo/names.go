package gentoo

import "strings"

// The syntax of names is that of PMS chapter 3. What does not follow it is no
// category, package or ebuild; portage ignores it, and so do we.

func wordByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_'
}

func digitByte(b byte) bool { return '0' <= b && b <= '9' }

// validCategory follows PMS 3.1.1.
func validCategory(s string) bool {
	if s == "" || !wordByte(s[0]) {
		return false
	}
	for i := range len(s) {
		if b := s[i]; !wordByte(b) && b != '+' && b != '-' && b != '.' {
			return false
		}
	}
	return true
}

// validPackage follows PMS 3.1.2: the name must not end in a hyphen and
// something that looks like a version.
func validPackage(s string) bool {
	if s == "" || !wordByte(s[0]) {
		return false
	}
	for i := range len(s) {
		if b := s[i]; !wordByte(b) && b != '+' && b != '-' {
			return false
		}
	}
	return versionAt(s) < 0
}

// validRepoName follows PMS 3.1.5.
func validRepoName(s string) bool {
	if s == "" || !wordByte(s[0]) {
		return false
	}
	for i := range len(s) {
		if b := s[i]; !wordByte(b) && b != '-' {
			return false
		}
	}
	return true
}

// repoName makes a name of what a tree or a directory is called, as portage does:
// words, joined by hyphens, of the bytes that a name may have. It is empty when
// there are none.
func repoName(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r >= 0x80 || r != '-' && !wordByte(byte(r)) })
	return strings.TrimLeft(strings.Join(words, "-"), "-")
}

// splitVersion splits foo-1.2-r3 into the package and the version. ok is false
// when s is not of that form.
func splitVersion(s string) (pkg, version string, ok bool) {
	i := versionAt(s)
	if i < 0 || !validPackage(s[:i]) {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// versionAt returns the index of the hyphen before the version at the end of
// s, or -1.
func versionAt(s string) int {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return -1
	}
	if isVersion(s[i+1:]) {
		return i
	}
	if i = strings.LastIndexByte(s[:i], '-'); i >= 0 && isVersion(s[i+1:]) {
		return i
	}
	return -1
}

// isVersion follows PMS 3.2: 1.2.3b_alpha4_p5-r6.
func isVersion(s string) bool {
	s, ok := cutDigits(s)
	for ok && strings.HasPrefix(s, ".") {
		s, ok = cutDigits(s[1:])
	}
	if !ok {
		return false
	}
	if s != "" && 'a' <= s[0] && s[0] <= 'z' {
		s = s[1:]
	}
	for strings.HasPrefix(s, "_") {
		if s, ok = cutSuffixName(s[1:]); !ok {
			return false
		}
		s, _ = cutDigits(s)
	}
	if rev, ok := strings.CutPrefix(s, "-r"); ok {
		rest, ok := cutDigits(rev)
		return ok && rest == ""
	}
	return s == ""
}

// cutDigits takes one or more digits off s; ok is false when there is none.
func cutDigits(s string) (rest string, ok bool) {
	i := 0
	for i < len(s) && digitByte(s[i]) {
		i++
	}
	return s[i:], i > 0
}

func cutSuffixName(s string) (rest string, ok bool) {
	for _, n := range [...]string{"alpha", "beta", "pre", "rc", "p"} {
		if rest, ok = strings.CutPrefix(s, n); ok {
			return rest, true
		}
	}
	return s, false
}
