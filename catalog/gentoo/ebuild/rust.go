package ebuild

import (
	"regexp"
	"strings"
)

// cargo makes CARGO_CRATE_URIS of CRATES and GIT_CRATES.
func (x *shell) cargo(first bool) {
	if !first {
		return
	}
	crates := x.input("CRATES", "")
	if more := x.input("CRATE_PATHS_OVERRIDE", ""); more != "" {
		crates += " " + more
		x.setString("CRATES", crates)
	}
	x.setString("CARGO_CRATE_URIS", x.crateURIs(crates))
}

func (x *shell) cargoCrateURIs(args []string) {
	crates := strings.Join(args, " ")
	if len(args) == 0 {
		crates = x.input("CRATES", "")
	}
	if crates == "" {
		x.refuse("cargo_crate_uris without crates")
	}
	uris := x.crateURIs(crates)
	if len(x.frames) == 1 {
		x.setString("CARGO_CRATE_URIS", uris)
	}
	x.print(uris + "\n")
}

// oldCrate is name-version, which is ambiguous in theory.
var oldCrate = regexp.MustCompile(`^([a-zA-Z0-9_\\-]+)-([0-9]+\.[0-9]+\.[0-9]+.*)$`)

func (x *shell) crateURIs(crates string) string {
	if strings.ContainsAny(crates, `*?[\`) || x.ifs() != " \t\n" {
		x.refuse("CRATES has unusual characters")
	}
	var b strings.Builder
	for c := range strings.FieldsSeq(crates) {
		x.step()
		i := strings.LastIndexByte(c, '@')
		name, version := c[:max(i, 0)], c[i+1:]
		if i < 0 {
			m := oldCrate.FindStringSubmatch(c)
			if m == nil {
				x.refuse("the crate %.60q", c)
			}
			name, version = m[1], m[2]
		}
		b.WriteString("https://static.crates.io/crates/" + name + "/" + name + "-" + version + ".crate ")
	}
	v, _ := x.lookup("GIT_CRATES")
	if v.set && v.kind != table {
		x.refuse("GIT_CRATES is no associative array")
	}
	x.decidableVar(v, "GIT_CRATES")
	for _, k := range x.order(v) {
		b.WriteString(x.gitCrate(k, v.keys[k]))
	}
	return b.String()
}

// gitCrate is a crate that comes from a repository: URI;commit;directory;host.
func (x *shell) gitCrate(name, value string) string {
	f := strings.SplitN(value, ";", 4)
	for len(f) < 4 {
		f = append(f, "")
	}
	uri, commit, host := f[0], f[1], strings.TrimSuffix(f[3], ";")
	if strings.ContainsAny(value, " \t\n\\&") || uri == "" || commit == "" {
		x.refuse("the crate %.60q", value)
	}
	switch {
	case host != "":
	case strings.HasPrefix(uri, "https://github.com/"):
		host = "github"
	case strings.HasPrefix(uri, "https://gitlab.com/"):
		host = "gitlab"
	}
	repo, ext := uri[strings.LastIndexByte(uri, '/')+1:], ""
	switch host {
	case "github":
		uri, ext = strings.TrimSuffix(uri, "/")+"/archive/%commit%.tar.gz", ".gh"
	case "gitlab":
		uri, ext = strings.TrimSuffix(uri, "/")+"/-/archive/%commit%/"+repo+"-%commit%.tar.gz", ".gl"
	case "gitea":
		uri, ext = strings.TrimSuffix(uri, "/")+"/archive/%commit%.tar.gz", ".gt"
	default:
		repo = name
	}
	return strings.ReplaceAll(uri, "%commit%", commit) + " -> " + repo + "-" + commit + ext + ".tar.gz "
}
