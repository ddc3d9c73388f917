package ebuild

import (
	"regexp"
	"slices"
	"strings"
)

// A known eclass is one whose effect on SRC_URI, RESTRICT and PROPERTIES is
// known without its text. All its other variables are opaque.
type known struct {
	// run has that effect; nil is none. It is called each time the eclass
	// is inherited, with first set the first time.
	run func(x *shell, first bool)
	// marks are what the text of the eclass has where it does just that.
	// Without any, it must not assign to the three variables, but for what
	// is no matter to a mirror.
	marks []string
}

// assignments are those to one of the three variables.
var assignments = regexp.MustCompile(`(?m)^[^#\n]*\b(SRC_URI|RESTRICT|PROPERTIES)\+?=(.*)$`)

// noMatter are the values that are no matter to a mirror.
var noMatter = regexp.MustCompile(`^["' ]*(?:!test\? \( test \)|strip|test|binchecks|live)?["' ]*$`)

// holds reports whether the text of an eclass that is at hand does what is known
// of it, as far as that shows. What it inherits must do nothing that matters.
func (k known) holds(e *Evaluator, text string, depth int) bool {
	for _, m := range k.marks {
		if !strings.Contains(text, m) {
			return false
		}
	}
	if len(k.marks) > 0 {
		return true
	}
	for _, m := range assignments.FindAllStringSubmatch(text, -1) {
		if m[1] == "SRC_URI" || !noMatter.MatchString(m[2]) {
			return false
		}
	}
	for _, m := range inherits.FindAllStringSubmatch(text, -1) {
		for name := range strings.FieldsSeq(m[1]) {
			other, ok := knownEclasses[name]
			if s := e.source(name); !ok || other.run != nil || s.found && (depth > 8 || !other.holds(e, s.text, depth+1)) {
				return false
			}
		}
	}
	return true
}

// inherits finds what an eclass inherits, also behind a condition.
var inherits = regexp.MustCompile(`(?m)^(?:[^#\n]*[\s;&|])?inherit[ \t]+([^#;&|\n]*)`)

// harmless are the eclasses of the main repository that set none of the three
// variables, or only RESTRICT=strip and the like, and none of another name than
// their own that an ebuild would use in SRC_URI.
const harmless = `
	acct-group acct-user ada autotools autotools-multilib autotools-utils bash-completion-r1 check-reqs chromium-2 cmake
	cmake-multilib cmake-utils cron cuda db db-use desktop dist-kernel-utils docs dot-a dune eapi7-ver eapi8-dosym
	eapi9-pipestatus eapi9-ver edo edob edos2unix elisp-common epatch epunt-cxx estack eutils fcaps fdo-mime findlib flag-o-matic
	font font-ebdftopcf fortran-2 gnome2-utils gnuconfig go-env golang-base guile guile-single guile-utils java-ant-2
	java-pkg-2 java-pkg-opt-2 java-utils-2 libtool linux-info linux-mod linux-mod-r1 llvm llvm-r1 llvm-r2 llvm-utils ltprune
	lua lua-single lua-utils meson meson-multilib mono mono-env mount-boot mount-boot-utils multibuild multilib multilib-build
	multilib-minimal multiprocessing ninja-utils optfeature out-of-source out-of-source-utils pam pax-utils perl-functions
	portability prefix preserve-libs python-any-r1 python-r1 python-single-r1 python-utils-r1 qmake-utils qt-utils
	readme.gentoo readme.gentoo-r1 rocm rpm ruby-utils rust rust-toolchain savedconfig secureboot selinux-policy-2 sgml-catalog
	sgml-catalog-r1 shell-completion ssl-cert strip-linguas sysroot systemd tmpfiles toolchain-funcs udev unpacker user
	user-info usr-ldscript vala vcs-clean vcs-snapshot verify-sig versionator vim-doc wrapper wxwidgets waf-utils xdg xdg-utils
	zig-utils l10n plocale perl-app distutils-r1 virtualx`

// overwriting are eclasses that set SRC_URI in a way that is not known here: an
// ebuild may set it anew behind them.
const overwriting = `elisp nuget dotnet-pkg dotnet-pkg-base rebar rebar3 rebar-utils vim-plugin`

// live are the eclasses that fetch from a repository of sources.
const live = `bzr cvs darcs git-2 git-r3 golang-vcs mercurial subversion`

var knownEclasses = func() map[string]known {
	m := map[string]known{
		"cargo":     {run: (*shell).cargo, marks: []string{`url="https://static.crates.io/crates/${name}/${name}-${version}.crate"`, `repo_ext=".gt"`}},
		"gnome.org": {run: (*shell).gnomeOrg, marks: []string{`SRC_URI="mirror://gnome/sources/${GNOME_ORG_MODULE}/${GNOME_ORG_PVP}/${GNOME_ORG_MODULE}-${PV}.tar.${GNOME_TARBALL_SUFFIX}"`, "ver_test -ge 40.0"}},
		"go-module": {},
		"pypi": {run: (*shell).pypi, marks: []string{
			`https://files.pythonhosted.org/packages/source/${project::1}/${project}/${_PYPI_NORMALIZED_NAME}-${version}${suffix}`,
			`https://pypi.org/integrity/${project}/v${version}/${dist}/provenance`, `version=${version/_pre/.dev}`}},
		"zig": {run: (*shell).zig, marks: []string{`ZBS_DEPENDENCIES_SRC_URI+=" -> ${dependency}"`, `"${!ZBS_DEPENDENCIES[@]}"`}},
	}
	for name := range strings.FieldsSeq(harmless) {
		m[name] = known{}
	}
	for name := range strings.FieldsSeq(overwriting) {
		m[name] = known{run: func(x *shell, _ bool) { x.setString("SRC_URI", opaque+name+".eclass"+opaque) }}
	}
	for name := range strings.FieldsSeq(live) {
		m[name] = known{run: func(x *shell, _ bool) { x.appendTo("PROPERTIES", " live") }}
	}
	m["eapi7-ver"] = known{run: func(x *shell, _ bool) { x.versionFunctions = true }}
	m["virtualx"] = known{run: func(x *shell, first bool) {
		if v := x.globals["VIRTUALX_REQUIRED"]; first && (!v.set || v.str == "test") {
			x.appendTo("RESTRICT", " !test? ( test )")
		}
	}}
	return m
}()

// appendTo is name+=s.
func (x *shell) appendTo(name, s string) {
	v := x.globals[name]
	if v.kind != scalar {
		x.refuse("%s is an array", name)
	}
	x.setString(name, v.str+s)
}

// printing are the functions of known eclasses that print something that is not
// known, such as dependencies, and do nothing else that matters.
var printing = wordSet(`python_gen_any_dep python_gen_cond_dep python_gen_impl_dep python_gen_usedep python_gen_useflags llvm_gen_dep
	lua_gen_any_dep lua_gen_cond_dep lua_gen_impl_dep guile_gen_cond_dep vala_depend unpacker_src_uri_depends get_libdir db_ver_to_slot`)

// silent are those that print nothing, and set none of the three variables.
var silent = wordSet(`distutils_enable_sphinx acct-user_add_deps ruby_add_rdepend ruby_add_bdepend ruby_add_depend`)

// knownFunction calls a function of a known eclass.
func (x *shell) knownFunction(name string, args []string) bool {
	if len(x.known) == 0 && name != "get_libdir" {
		return false
	}
	x.status = 0
	switch {
	case printing[name]:
		x.print(opaque + name + opaque + "\n")
		return true
	case silent[name]:
		return true
	}
	f, ok := knownFunctions[name]
	if !ok || !slices.Contains(x.known, f.eclass) {
		return false
	}
	for _, a := range args {
		x.decidable(a, name)
	}
	f.run(x, args)
	return true
}

var knownFunctions = map[string]struct {
	eclass string
	run    func(*shell, []string)
}{
	"distutils_enable_tests": {"distutils-r1", (*shell).distutilsTests},
	"cargo_crate_uris":       {"cargo", (*shell).cargoCrateURIs},
	"go-module_set_globals":  {"go-module", (*shell).goModules},
	"pypi_normalize_name":    {"pypi", func(x *shell, a []string) { x.print(pypiNormalize(x.one(a)) + "\n") }},
	"pypi_translate_version": {"pypi", func(x *shell, a []string) { x.print(pypiVersion(x.one(a)) + "\n") }},
	"pypi_sdist_url":         {"pypi", (*shell).pypiSdistURL},
	"pypi_wheel_name":        {"pypi", func(x *shell, a []string) { x.print(x.pypiWheel(a) + "\n") }},
	"pypi_wheel_url":         {"pypi", (*shell).pypiWheelURL},
	"pypi_provenance_url":    {"pypi", (*shell).pypiProvenanceURL},
}

// one is the only argument of a function.
func (x *shell) one(args []string) string {
	if len(args) != 1 {
		x.refuse("%d arguments where one is asked for", len(args))
	}
	return args[0]
}

func (x *shell) distutilsTests(args []string) {
	if len(args) == 2 && args[0] == "--install" {
		args = args[1:]
	}
	switch r := x.one(args); {
	case r == "setup.py" && x.globals["RDEPEND"].str == "":
		return
	case !slices.Contains([]string{"import-check", "nose", "pytest", "setup.py", "unittest"}, r):
		x.refuse("distutils_enable_tests %.40s", r)
	}
	x.appendTo("RESTRICT", " !test? ( test )")
}

// input is the value that an ebuild sets before it inherits an eclass.
func (x *shell) input(name, otherwise string) string {
	v, _ := x.lookup(name)
	if v.kind != scalar {
		x.refuse("%s is an array", name)
	}
	x.decidable(v.str, name)
	if v.str == "" {
		return otherwise
	}
	return v.str
}

func (x *shell) gnomeOrg(first bool) {
	if !first {
		return
	}
	suffix, module := x.input("GNOME_TARBALL_SUFFIX", "xz"), x.input("GNOME_ORG_MODULE", x.pkg.Name)
	series := splitVersion(x.version)
	n := 4 // of the first two components
	if x.compareVersions(x.pkg.Version, "40.0") >= 0 {
		n = 2
	}
	pvp := x.input("GNOME_ORG_PVP", strings.Join(series[:min(n, len(series)-1)], ""))
	x.setString("GNOME_TARBALL_SUFFIX", suffix)
	x.setString("GNOME_ORG_MODULE", module)
	x.setString("GNOME_ORG_PVP", pvp)
	x.setString("SRC_URI", "mirror://gnome/sources/"+module+"/"+pvp+"/"+module+"-"+x.version+".tar."+suffix)
}

func (x *shell) zig(first bool) {
	if !first {
		return
	}
	v, _ := x.lookup("ZBS_DEPENDENCIES")
	if v.set && v.kind != table {
		x.refuse("ZBS_DEPENDENCIES is no associative array")
	}
	x.decidableVar(v, "ZBS_DEPENDENCIES")
	var b strings.Builder
	for _, k := range x.order(v) {
		uri := v.keys[k]
		if uri == "" {
			continue
		}
		b.WriteString(" " + uri)
		if uri[strings.LastIndexByte(uri, '/')+1:] != k {
			b.WriteString(" -> " + k)
		}
	}
	x.setString("ZBS_DEPENDENCIES_SRC_URI", b.String())
}

// goModules is go-module_set_globals: the files of EGO_SUM, which has lines of
// go.sum.
func (x *shell) goModules([]string) {
	v, _ := x.lookup("EGO_SUM")
	if v.set && v.kind != array {
		x.refuse("EGO_SUM is no array")
	}
	base := x.input("_GOMODULE_GOPROXY_BASEURI", "mirror://goproxy/")
	var b strings.Builder
	for _, line := range v.list {
		x.decidable(line, "EGO_SUM")
		f := strings.Fields(line)
		if len(f) < 2 || strings.Contains(line, `\`) {
			x.refuse("EGO_SUM has %.60q", line)
		}
		version, file, _ := strings.Cut(f[1], "/")
		ext := "zip"
		switch file {
		case "":
		case "go.mod":
			ext = "mod"
		default:
			x.refuse("EGO_SUM has %.60q", line)
		}
		uri := escapeModule(f[0]) + "/@v/" + version + "." + ext
		x.spend(2*len(uri) + len(base) + 8)
		b.WriteString(" " + base + "/" + uri + " -> " + strings.ReplaceAll(uri, "/", "%2F") + "\n")
	}
	old, _ := x.lookup("EGO_SUM_SRC_URI")
	x.setString("EGO_SUM_SRC_URI", old.str+b.String())
}

// escapeModule writes capitals as a module proxy wants them.
func escapeModule(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('!')
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}
