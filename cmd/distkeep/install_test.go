package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// installed is what make install has put somewhere.
func installed(t *testing.T) (prefix string) {
	t.Helper()
	makeProgram, err := exec.LookPath("make")
	if err != nil {
		t.Skip("make is not installed")
	}
	program, err := exec.LookPath("distkeep") // this test binary, under that name
	if err != nil {
		t.Fatal(err)
	}
	prefix = filepath.Join(t.TempDir(), "usr")
	cmd := exec.Command(makeProgram, "-C", "../..", "install", "PREFIX="+prefix, "BIN="+program)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return prefix
}

// TestInstall: make install puts a man page for each command, that man can read,
// completions that each shell can use, and units that systemd accepts.
func TestInstall(t *testing.T) {
	t.Parallel()
	prefix := installed(t)
	var pages []string
	for _, p := range pagesOf(newApp(&env{now: time.Now})) {
		pages = append(pages, filepath.Join(prefix, "share/man/man1", strings.Join(append([]string{"distkeep"}, p.path...), "-")+".1"))
	}
	found, err := filepath.Glob(filepath.Join(prefix, "share/man/man1/*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(pages)
	if !slices.Equal(found, pages) {
		t.Errorf("man pages are\n%v, want\n%v", found, pages)
	}
	units, err := filepath.Glob(filepath.Join(prefix, "lib/systemd/system/*"))
	if err != nil || len(units) != 6 {
		t.Fatalf("units are %v, %v", units, err)
	}
	completions := map[string]string{
		"bash": "share/bash-completion/completions/distkeep", "zsh": "share/zsh/site-functions/_distkeep", "fish": "share/fish/vendor_completions.d/distkeep.fish",
	}
	for shell, file := range completions {
		t.Run(shell, func(t *testing.T) { testCompletion(t, shell, filepath.Join(prefix, file)) })
	}
	t.Run("man", func(t *testing.T) {
		out := quiet(t, "groff", append([]string{"-man", "-Tutf8", "-ww", "-z"}, pages...)...)
		if out != "" {
			t.Errorf("groff says:\n%s", out)
		}
	})
	t.Run("systemd", func(t *testing.T) {
		if out := quiet(t, "systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...); out != "" {
			t.Errorf("systemd-analyze says:\n%s", out)
		}
	})
}

// quiet returns what a program prints, which has to end well.
func quiet(t *testing.T, program string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "XDG_DATA_HOME=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// offers are programs that print what a shell offers for a command line of which the
// last word is not complete, a line each. $1 is the file of the completions.
var offers = map[string]func(file string, words []string) []string{
	"bash": func(file string, words []string) []string {
		return append([]string{"-c", `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _distkeep; printf '%s\n' "${COMPREPLY[@]}"`, "x", file}, words...)
	},
	// zsh has functions for completion only in its editor: they are made up here.
	"zsh": func(file string, words []string) []string {
		return append([]string{"-f", "-c", `
_describe() { local name=$argv[-1]; print -l -- ${${(P)name}%%:*} }
_arguments() {
	local o
	if [[ $PREFIX != -* ]]; then
		for o in "$@"; do [[ $o == "*$words[CURRENT-1]["* ]] && ${o##*:}; done
		return 0
	fi
	for o in "$@"; do [[ $o == "*-"* ]] && print -r -- ${${o#\*}%%\[*}; done
}
_directories() { print -l -- $PREFIX*(N/) }
_files() { print -l -- $PREFIX*(N) }
file=$1; shift; words=("$@"); CURRENT=$#; PREFIX=$words[CURRENT]
source $file
true`, "x", file}, words...)
	},
	"fish": func(file string, words []string) []string {
		return []string{"--no-config", "-c", "source " + file + "; complete -C " + "'" + strings.Join(words, " ") + "'"}
	},
}

// testCompletion asks a shell what it offers.
func testCompletion(t *testing.T, shell, file string) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		want []string // offered
		none []string // not offered
	}{
		{"distkeep ", []string{"mirror", "whitelist", "layout"}, []string{"generate", "add"}},
		{"distkeep whitelist ", []string{"add", "remove", "list", "check"}, []string{"mirror"}},
		{"distkeep mirror --keep", []string{"--keep-last", "--keep-yearly"}, nil},
		{"distkeep --config x whitelist add --", []string{"--author", "--reason"}, []string{"--keep-last"}},
		{"distkeep mirror --archive " + dir + "/", []string{dir + "/sub"}, []string{dir + "/file"}},
		{"distkeep mirror --success-log " + dir + "/f", []string{dir + "/file"}, nil},
	} {
		words := strings.Split(c.line, " ")
		var got []string
		for line := range strings.Lines(quiet(t, shell, offers[shell](file, words)...)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, strings.TrimSuffix(word, "/"))
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s does not offer %s for %q, but %v", shell, w, c.line, got)
			}
		}
		for _, w := range c.none {
			if slices.Contains(got, w) {
				t.Errorf("%s offers %s for %q", shell, w, c.line)
			}
		}
	}
}

// TestManPage: what means something to man is escaped.
func TestManPage(t *testing.T) {
	t.Parallel()
	got := string(manPage("distkeep-x", page{path: []string{"x"}, usage: "do - it's \\n", synopsis: ".x", about: "A line\nand another.\n\n   .verbatim\n\nEXAMPLES:\n   x"}))
	for _, want := range []string{
		".TH DISTKEEP\\-X 1 ", "\ndistkeep\\-x \\- do \\- it\\(aqs \\en\n", ".nf\n\\&.x\n.fi\n", ".PP\nA line and another.\n", ".nf\n   .verbatim\n.fi\n", ".SH EXAMPLES\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	for name, write := range shells {
		write(io.Discard, []page{{}}) // without a command
		if offers[name] == nil {
			t.Errorf("nobody asks %s", name)
		}
	}
}
