package ebuild

import (
	"strings"
	"testing"
)

// TestKnownEclasses checks what this package says of eclasses without their text,
// against what is in real metadata caches.
func TestKnownEclasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"pypi", "inherit pypi", "https://files.pythonhosted.org/packages/source/f/foo-bar/foo_bar-1.2.3rc4.tar.gz"},
		{"pypi verified", "PYPI_PN=Foo.Bar\nPYPI_VERIFY_REPO=https://e.org/\ninherit pypi", "https://files.pythonhosted.org/packages/source/F/Foo.Bar/foo_bar-1.2.3rc4.tar.gz verify-provenance? ( https://pypi.org/integrity/Foo.Bar/v1.2.3rc4/foo_bar-1.2.3rc4.tar.gz/provenance -> foo_bar-1.2.3rc4.tar.gz.provenance )"},
		{"pypi as it is", "PYPI_NO_NORMALIZE=1\ninherit pypi\nSRC_URI+=\" $(pypi_wheel_url --unpack)\"", "https://files.pythonhosted.org/packages/source/f/foo-bar/foo-bar-1.2.3rc4.tar.gz https://files.pythonhosted.org/packages/py3/f/foo-bar/foo_bar-1.2.3rc4-py3-none-any.whl -> foo_bar-1.2.3rc4-py3-none-any.whl.zip"},
		{"crates", "CRATES=\"\n\tatty@0.2.14\n\tblock-buffer-0.9.0\n\"\ninherit cargo\nSRC_URI=\"x ${CARGO_CRATE_URIS}\"", "x https://static.crates.io/crates/atty/atty-0.2.14.crate https://static.crates.io/crates/block-buffer/block-buffer-0.9.0.crate"},
		{"crates of git", "declare -A GIT_CRATES=(\n[fix-path-env]=\"https://github.com/tauri-apps/fix-path-env-rs;8481;fix-path-env-rs-%commit%\"\n)\ninherit cargo\nSRC_URI=${CARGO_CRATE_URIS}", "https://github.com/tauri-apps/fix-path-env-rs/archive/8481.tar.gz -> fix-path-env-rs-8481.gh.tar.gz"},
		{"go modules", "EGO_SUM=(\n\"github.com/BurntSushi/toml v0.3.1\"\n\"github.com/BurntSushi/toml v0.3.1/go.mod\" )\ninherit go-module\ngo-module_set_globals\nSRC_URI=${EGO_SUM_SRC_URI}", "mirror://goproxy//github.com/!burnt!sushi/toml/@v/v0.3.1.zip -> github.com%2F!burnt!sushi%2Ftoml%2F@v%2Fv0.3.1.zip mirror://goproxy//github.com/!burnt!sushi/toml/@v/v0.3.1.mod -> github.com%2F!burnt!sushi%2Ftoml%2F@v%2Fv0.3.1.mod"},
		{"gnome", "inherit gnome.org meson", "mirror://gnome/sources/foo-bar/1.2/foo-bar-1.2.3_rc4.tar.xz"},
		{"zig", "declare -r -A ZBS_DEPENDENCIES=(\n[b-1.tar.gz]='https://e.org/b-1.tar.gz'\n[a-2.tar.gz]='https://e.org/v2.tar.gz'\n[git.tar.gz]=''\n)\ninherit zig\nSRC_URI=${ZBS_DEPENDENCIES_SRC_URI}", "https://e.org/v2.tar.gz -> a-2.tar.gz https://e.org/b-1.tar.gz"},
		{"versions", "SRC_URI=\"$(ver_cut 1-2) $(ver_cut 2-) $(ver_rs 1- _) $(ver_rs 3 - 1.2.3b) $(ver_cut 5 1.2)\"\nver_test -gt 1.2.3_beta9 && SRC_URI+=\" newer\"; ver_test 1.10 -lt 1.9 || SRC_URI+=\" numeric\"", "1.2 2.3_rc4 1_2_3_rc_4 1.2.3-b newer numeric"},
		{"opaque values may be copied", "KEYWORDS=~amd64\ninherit python-any-r1\nDEPEND=\"${PYTHON_DEPS} $(python_gen_any_dep 'x')\"\nS=${WORKDIR}/x\nPATCHES=( \"${FILESDIR}\"/*.patch )\nSRC_URI=ok", "ok"},
	} {
		got, err := evaluate(t, "EAPI=8\n"+c.text+"\n")
		if got = strings.Join(strings.Fields(got), " "); err != nil || got != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", c.name, err, got, c.want)
		}
	}
}

// TestRefused lists what makes a guess of an answer: each is refused, for the
// cause that is named.
func TestRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SRC_URI=$(curl x)":                              `the command "curl" is not available`,
		"sed -i x y || SRC_URI=a":                        `the command "sed"`,
		"inherit who-knows":                              "neither at hand nor known",
		"inherit xdg\nSRC_URI=${XDG_THING}":              "SRC_URI depends on XDG_THING",
		"inherit xdg\n[[ -n ${THING} ]] && SRC_URI=a":    "a condition depends on THING",
		"inherit xdg\n: ${THING:=a}\nSRC_URI=$THING":     "${THING} depends on THING",
		"inherit vim-plugin":                             "SRC_URI depends on vim-plugin.eclass",
		"SRC_URI=${WORKDIR}/a":                           "SRC_URI depends on WORKDIR",
		"[[ ${USE} == *x* ]] || SRC_URI=a":               "depends on USE",
		"use x && SRC_URI=a":                             `the command "use"`,
		"for f in *.txt; do SRC_URI+=$f; done":           "a pattern of file names",
		"SRC_URI=a$RANDOM":                               "$RANDOM depends on the shell",
		"x=$(<file)":                                     "a redirection",
		"echo a > /tmp/x":                                "a redirection",
		"while read -r a; do SRC_URI+=$a; done < <(ls)":  "a redirection",
		"echo a | read x":                                "a pipe",
		"x &":                                            "in the background",
		"eval SRC_URI=a":                                 `the command "eval"`,
		"source ./x":                                     `the command "source"`,
		"[[ -f /etc/passwd ]] && SRC_URI=a":              "the condition -f",
		"while true; do :; done":                         "more work than",
		"a=aaaaaaaaaaaaaaaa; while true; do a+=$a; done": "a value of more than",
		"f() { f; }; f":                                  "calls inside of calls",
		"SRC_URI=${PV/./&}":                              "the replacement by",
		"SRC_URI=${PV//+(.)/-}":                          "the pattern",
		"SRC_URI=${PV@Q}":                                "a change by a pattern",
		"EAPI=7\nSRC_URI=a":                              "EAPI is",
		"die no":                                         `the ebuild ends with "no"`,
		"x=010; SRC_URI=$((x + 1))":                      "arithmetic with",
		"DESCRIPTION=é; SRC_URI=${DESCRIPTION:0:1}":      "not ASCII",
		"[[ aab =~ (a|aa)(b|ab) ]] && SRC_URI=${BASH_REMATCH[1]}":       "a group of a regular expression",
		"if true; then inherit xdg; fi; SRC_URI=$(xdg_thing)":           `the command "xdg_thing"`,
		"SRC_URI=a; for i in {1..100000}; do :; done":                   "braces",
		"f() { local a={1..3}; SRC_URI=$a; }; f":                        "braces in a declaration",
		"SRC_URI=~amd64":                                                "a home directory",
		"readonly SRC_URI=a; SRC_URI=b":                                 "read-only",
		"inherit xdg\nhas debug ${INHERITED} && SRC_URI=a || SRC_URI=b": "INHERITED",
	} {
		_, err := evaluate(t, "EAPI=8\n"+text+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestKnownAtHand: an eclass that is at hand is run unless its text does what is
// known of it.
func TestKnownAtHand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, eclass, text, want string }{
		{"harmless", "# SRC_URI=x\nIUSE=x\nRESTRICT+=\" !test? ( test )\"\n$(type -P x)\n", "SRC_URI=a", "a"},
		{"no longer harmless", "SRC_URI=b\n", "", "b"},
		{"it inherits what is not known", "inherit other\n$(type -P x)\n", "SRC_URI=a", ""},
		{"it inherits what is known", "[[ $X ]] &&\n\tinherit meson cmake\n$(type -P x)\n", "SRC_URI=a", "a"},
		{"it restricts", "RESTRICT=\"mirror\"\nX=$(type -P y)\n", "SRC_URI=a", ""},
	} {
		e := New(func(name string) ([]byte, error) {
			if name == "xdg" {
				return []byte(c.eclass), nil
			}
			return nil, ErrNoEclass
		})
		m, err := e.Run(t.Context(), &Package{Category: "a", Name: "b", Version: "1", Text: []byte("EAPI=8\ninherit xdg\n" + c.text + "\n")})
		switch {
		case c.want == "":
			if err == nil {
				t.Errorf("%s: %+v", c.name, m)
			}
		case err != nil || m.SrcURI != c.want || len(m.Eclasses) != 1 || len(m.Known) != 0:
			t.Errorf("%s: %+v, %v", c.name, m, err)
		}
	}
}
