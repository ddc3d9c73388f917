package gentoo

import "bytes"

// An entry is what the scan needs of one file in metadata/md5-cache. Its
// slices are parts of the bytes that were parsed.
type entry struct {
	eapi, srcURI, restrict, md5 []byte
	// eclasses has names and MD5 sums by turns; own and known are in entries
	// that this program wrote: its version, and the eclasses that were not at
	// hand.
	eclasses, own, known  []byte
	srcLine, restrictLine int
}

// parseEntry reads the KEY=VALUE lines of a cache entry. Other keys, and lines
// that are none, are ignored.
func parseEntry(b []byte) entry {
	var e entry
	for n := 1; len(b) > 0; n++ {
		line, rest, _ := bytes.Cut(b, newline)
		b = rest
		// The first byte rules out nearly all lines, of which some are long.
		if len(line) == 0 {
			continue
		}
		switch line[0] {
		case 'E':
			if v, ok := bytes.CutPrefix(line, keyEAPI); ok {
				e.eapi = bytes.TrimSpace(v)
			}
		case 'S':
			if v, ok := bytes.CutPrefix(line, keySrcURI); ok {
				e.srcURI, e.srcLine = v, n
			}
		case 'R':
			if v, ok := bytes.CutPrefix(line, keyRestrict); ok {
				e.restrict, e.restrictLine = v, n
			}
		case '_':
			if v, ok := bytes.CutPrefix(line, keyMD5); ok {
				e.md5 = bytes.TrimSpace(v)
			} else if v, ok := bytes.CutPrefix(line, keyEclasses); ok {
				e.eclasses = v
			} else if v, ok := bytes.CutPrefix(line, keyOwn); ok {
				e.own = v
			} else if v, ok := bytes.CutPrefix(line, keyKnown); ok {
				e.known = v
			}
		}
	}
	return e
}

var (
	keyEAPI     = []byte("EAPI=")
	keySrcURI   = []byte("SRC_URI=")
	keyRestrict = []byte("RESTRICT=")
	keyMD5      = []byte("_md5_=")
	keyEclasses = []byte("_eclasses_=")
	keyOwn      = []byte("_distkeep_=")
	keyKnown    = []byte("_known_=")
)

// parseEAPI returns the number of a known EAPI. An ebuild that does not say is
// EAPI 0 (PMS 7.3.1). All EAPIs so far are single digits; what is newer than 9
// may change what SRC_URI means.
func parseEAPI(b []byte) (n int, ok bool) {
	switch {
	case len(b) == 0:
		return 0, true
	case len(b) == 1 && digitByte(b[0]):
		return int(b[0] - '0'), true
	}
	return 0, false
}
