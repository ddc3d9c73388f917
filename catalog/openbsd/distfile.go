package openbsd

import (
	"slices"
	"strings"

	"distkeep/catalog"
)

// Limits of one port. At most 72 files are in one distinfo of the trees at
// hand, and 21 sites in one list. Together the limits bound the URIs that one line of a dump may
// turn into.
const (
	maxFiles = 16384
	maxSites = 64
)

// A word is one element of DISTFILES, PATCHFILES or SUPDISTFILES.
type word struct {
	local  string // name below DIST_SUBDIR, not normalised
	remote string // what follows the site
	suffix string // that of the site list: "", "0", ".github"
}

// parseWord takes an element of a list variable apart: "name", "name:N" and
// "pre{url}post", where the file is pre+post here and url+post there
// (bsd.port.mk(5), FILES TO FETCH; the precedence is that of DPB::Fetch: first
// the digit, then the last "{" that a "}" follows, up to the last "}").
//
// suffix is that of the variable. Only a variable without one selects sites by
// ":N", which is the older way.
func parseWord(s, suffix string) word {
	if n := len(s); suffix == "" && n >= 2 && s[n-2] == ':' && '0' <= s[n-1] && s[n-1] <= '9' {
		s, suffix = s[:n-2], s[n-1:]
	}
	w := word{local: s, remote: s, suffix: suffix}
	if end := strings.LastIndexByte(s, '}'); end >= 0 {
		if start := strings.LastIndexByte(s[:end], '{'); start >= 0 {
			post := s[end+1:]
			w.local = s[:start] + post
			w.remote = s[start+1:end] + post
		}
	}
	w.remote = unescape(w.remote)
	return w
}

// normalize does to the path of a distfile what dpb does (DPB::Distfile):
// it takes out "x/../", then squeezes repeated slashes, in this order and no
// more. Unlike dpb it does not take out "../../", which would turn a path that
// leaves DISTDIR into another one inside: ParsePath refuses what is left.
func normalize(path string) string {
	if len(path) > maxDistinfoLine {
		return path // too long a name, however much were taken out
	}
	for from := 0; ; {
		i := strings.Index(path[from:], "/../")
		if i < 0 {
			break
		}
		i += from
		start := strings.LastIndexByte(path[:i], '/') + 1
		switch path[start:i] {
		case "", ".", "..":
			from = i + len("/..")
		default:
			path = path[:start] + path[i+len("/../"):]
			// What is left of the gap may now be followed by "..".
			from = max(0, start-1)
		}
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// distName joins DIST_SUBDIR and the local name of a word.
func distName(subdir, local string) (catalog.Name, error) {
	if subdir != "" {
		local = subdir + "/" + local
	}
	return catalog.ParsePath(normalize(local))
}

// unescape takes the shell quoting off a site or a remote path: dump-vars
// prints Makefile values, whose "\&" only the shell of the fetch target would
// have resolved, and DPB::Task::Fetch takes off one pair of quotes.
func unescape(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// A siteList is a SITES or MASTER_SITES variable, split by what is asked of a
// site.
type siteList struct {
	sites   []string // asked for the remote path
	backups []string // asked for the name, below DISTDIR
}

// parseSites splits the value of a site list. A site is a backup when it is
// one of backups, or when its path ends in distfiles/DIST_SUBDIR: bsd.port.mk
// appends MASTER_SITE_BACKUP (later SITE_BACKUP) to each list in this form.
// more reports that there were more sites than are kept.
func parseSites(value, subdir string, backups []string) (l siteList, more bool) {
	for s := range strings.FieldsSeq(value) {
		if len(l.sites)+len(l.backups) >= maxSites {
			return l, true
		}
		s = unescape(s)
		if base, ok := backupBase(s, subdir, backups); ok {
			if !slices.Contains(l.backups, base) {
				l.backups = append(l.backups, base)
			}
		} else if !slices.Contains(l.sites, s) {
			l.sites = append(l.sites, s)
		}
	}
	return l, false
}

// backupBase returns the part of a backup site that all ports share, up to the
// slash before DIST_SUBDIR.
func backupBase(site, subdir string, backups []string) (base string, ok bool) {
	subdir = strings.Trim(subdir, "/")
	rest := strings.TrimRight(site, "/")
	if len(rest) == len(site) || strings.ContainsAny(site, "?#") {
		return "", false
	}
	if subdir != "" {
		if rest, ok = strings.CutSuffix(rest, "/"+subdir); !ok {
			return "", false
		}
		rest = strings.TrimRight(rest, "/")
	}
	if slices.Contains(backups, rest+"/") {
		return rest + "/", true
	}
	_, path, ok := strings.Cut(rest, "://")
	if !ok {
		return "", false
	}
	// "/distfiles" right behind "://" would be the name of a host.
	return rest + "/", strings.HasSuffix(path, "/distfiles")
}

// uris returns where w, archived under name, can be had: from the sites, and,
// after all sites of all ports, from the backup sites, which are those of the
// list and those that are asked for everything.
func (l siteList) uris(w word, name catalog.Name, everywhere []string) (sites, backups []string) {
	for _, s := range l.sites {
		sites = append(sites, s+w.remote)
	}
	local := escape(string(name))
	for _, s := range l.backups {
		backups = append(backups, s+local)
	}
	for _, s := range everywhere {
		backups = append(backups, s+local)
	}
	return sites, backups
}

// escape makes the path of a URI of a name: on a backup site a "%" of the name
// is a "%" of the file (RFC 3986, section 2.4).
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	plain := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("/-._~!$&'()*+,;=:@", c) >= 0
	}
	var b strings.Builder
	b.Grow(len(name))
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
