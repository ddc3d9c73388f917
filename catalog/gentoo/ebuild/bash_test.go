package ebuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oracle runs each program with bash, and returns what SRC_URI is in the end, or
// nil where bash ended the program with an error.
func oracle(t *testing.T, programs []string) []*string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash to compare with")
	}
	dir := t.TempDir()
	for i, p := range programs {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `
die() { exit 1; }
has() { local n=$1 x; shift; for x in "$@"; do [[ $x == "$n" ]] && return 0; done; return 1; }
einfo() { :; }
shopt -s failglob
for __f in "$@"; do
	( P=foo-bar-1.2.3_rc4 PN=foo-bar PV=1.2.3_rc4 PR=r5 PVR=1.2.3_rc4-r5 PF=foo-bar-1.2.3_rc4-r5 CATEGORY=dev-libs EAPI=8
	  __g=$__f; set --; unset __f
	  source "./$__g" >/dev/null 2>&1; printf '=%s' "$SRC_URI" )
	printf '\0'
done`
	names := make([]string, len(programs))
	for i := range programs {
		names[i] = fmt.Sprint(i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, append([]string{"--norc", "-c", script, "bash"}, names...)...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=/nonexistent", "FUNCNEST=80"}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(out.String(), "\x00")
	results := make([]*string, len(programs))
	for i := range programs {
		if s, ok := strings.CutPrefix(parts[i], "="); ok {
			results[i] = &s
		}
	}
	return results
}

func evaluate(t testing.TB, text string) (string, error) {
	e := New(func(string) ([]byte, error) { return nil, ErrNoEclass })
	m, err := e.Run(t.Context(), &Package{Category: "dev-libs", Name: "foo-bar", Version: "1.2.3_rc4-r5", Text: []byte(text)})
	if err != nil {
		if r := (*Refusal)(nil); !errors.As(err, &r) {
			t.Fatalf("%v\n%s", err, text)
		}
		return "", err
	}
	return m.SrcURI, nil
}

// TestLikeBash runs what ebuilds do outside of functions. All of it is
// understood, and comes out as bash has it.
func TestLikeBash(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/like-bash.sh")
	if err != nil {
		t.Fatal(err)
	}
	var programs []string
	for p := range strings.SplitSeq(string(b), "\n#--\n") {
		programs = append(programs, "EAPI=8\n"+p+"\n")
	}
	for i, want := range oracle(t, programs) {
		got, err := evaluate(t, programs[i])
		switch {
		case want == nil:
			t.Errorf("bash does not run\n%s", programs[i])
		case err != nil:
			t.Errorf("refused: %v\n%s", err, programs[i])
		case got != *want:
			t.Errorf("got  %q\nwant %q\n%s", got, *want, programs[i])
		}
	}
}

// TestNeverUnlikeBash runs programs at random: what is understood must come out
// as bash has it, and enough must be understood for that to mean something.
func TestNeverUnlikeBash(t *testing.T) {
	t.Parallel()
	const n = 2000
	var programs, results []string // of those understood; others may run for ever
	for i := range n {
		g := &generator{r: rand.New(rand.NewPCG(7, uint64(i)))}
		p := "EAPI=8\n" + g.program()
		if got, err := evaluate(t, p); err == nil {
			programs, results = append(programs, p), append(results, got)
		}
	}
	t.Logf("%d of %d understood", len(programs), n)
	if len(programs) < n/4 {
		t.Errorf("only %d of %d programs are understood", len(programs), n)
	}
	for i, want := range oracle(t, programs) {
		if want == nil {
			t.Errorf("got %q, want an error\n%s", results[i], programs[i])
		} else if results[i] != *want {
			t.Errorf("got  %q\nwant %q\n%s", results[i], *want, programs[i])
		}
	}
}

// A generator makes programs of the kind that ebuilds are.
type generator struct {
	r     *rand.Rand
	depth int
}

func (g *generator) pick(s ...string) string { return s[g.r.IntN(len(s))] }

func (g *generator) program() string {
	var b strings.Builder
	for range 2 + g.r.IntN(6) {
		b.WriteString(g.stmt() + "\n")
	}
	b.WriteString(`SRC_URI+="|${a}|${b[*]}|${#b[@]}|${c}|$?"` + "\n")
	return b.String()
}

func (g *generator) name() string { return g.pick("a", "c", "PV", "PN", "SRC_URI", "x", "MY_PV") }

func (g *generator) text() string {
	return g.pick("foo", "1.2.3", "a_b-c", "x y", "", "v", "https://e.org/", ".", "_", "-", "*", "?", "[0-9]", "[!a-c]", "A", "10", "0", "7", "a:b:c", "  p  q ", "%", "#", "/")
}

func (g *generator) pattern() string {
	return g.pick("*", ".*", "*.", "?", "_", "-", "[0-9]", "[a-z]*", "o", "*_*", "*-", ".", "1", "\"*\"", "${c}", "\\*", "f*o", "[!0-9]", "'.'", "/", "#", "%", "[._]", "1.*3", "")
}

func (g *generator) expansion() string {
	if g.depth > 2 {
		return "${" + g.name() + "}"
	}
	g.depth++
	defer func() { g.depth-- }()
	n := g.name()
	switch g.r.IntN(18) {
	case 0, 1, 2:
		return "${" + n + "}"
	case 3:
		return "${" + n + g.pick("#", "##", "%", "%%") + g.pattern() + "}"
	case 4, 5:
		return "${" + n + g.pick("/", "//", "/#", "/%") + g.pattern() + "/" + g.pick("", "_", "-", "x y", "${c}", "\\/") + "}"
	case 6:
		return "${" + n + ":" + g.pick("0", "1", "2", " -1", "3", "${#c}", "") + g.pick("", ":1", ":2", ":0", ": -1") + "}"
	case 7:
		return "${" + n + g.pick(":-", "-", ":+", "+", ":=", "=") + g.word() + "}"
	case 8:
		return "${" + n + g.pick("^", "^^", ",", ",,") + "}"
	case 9:
		return "${#" + n + "}"
	case 10:
		return g.pick("${b[0]}", "${b[1]}", "${b[@]}", "${b[*]}", "${#b[@]}", "${b[-1]}", "${b[@]%.*}", "${b[@]/a/x}", "${b[@]:1}", "${b[*]:0:2}", "${!b[@]}", "${b}", "${b[2]}")
	case 11:
		return "$(" + g.pick("echo ", "echo -n ", "printf %s ", "f ") + g.word() + ")"
	case 12:
		return "$((" + g.arith() + "))"
	case 13:
		return g.pick("$1", "$#", "$*", "$@", "${2}", "${@:2}", "${#}", "${*}")
	case 14:
		return "${!d}"
	case 15:
		return g.pick("${m[k]}", "${m[j]}", "${#m[@]}")
	}
	return "$" + n
}

func (g *generator) arith() string {
	return g.pick("1", "2", "a", "${#PV}", "x", "10") + g.pick("", "+1", "*2", "-3", " % 3", " == 1", " < 5", " ? 4 : 5", " && 0", "/2")
}

func (g *generator) word() string {
	var b strings.Builder
	for range 1 + g.r.IntN(3) {
		switch g.r.IntN(7) {
		case 0:
			b.WriteString("\"" + g.expansion() + g.pick("", "foo", " ", "\\\"", "\\$", "'", "\\a") + g.expansion() + "\"")
		case 1:
			b.WriteString("'" + g.text() + "'")
		case 2, 3:
			b.WriteString(g.expansion())
		case 4:
			b.WriteString(g.pick("{a,b}", "{1..3}", "x{,y}", "\\ ", "\\*", "$'a\\nb'", "{c}", "{1,{2,3}}"))
		default:
			b.WriteString(g.pick("foo", "1.2", "a-b", "http://e/", "_", "v", "=", "+"))
		}
	}
	return b.String()
}

func (g *generator) test() string {
	switch g.r.IntN(9) {
	case 0:
		return "[[ " + g.word() + g.pick(" == ", " != ", " = ") + g.pick(g.pattern(), g.word()) + " ]]"
	case 1:
		return "[[ " + g.pick("-n ", "-z ", "! -n ", "") + g.word() + " ]]"
	case 2:
		return "[[ " + g.expansion() + g.pick(" -eq ", " -lt ", " -ge ") + g.pick("1", "5", g.expansion()) + " ]]"
	case 3:
		return "[[ " + g.word() + " =~ " + g.pick("^([a-z]+)-(.*)$", "[0-9]+", "(a|b)c", "^1\\.", "o+$", "${c}", "\"o\"", "([0-9]*)[.](.)") + " ]]"
	case 4:
		return "[ " + g.pick("-n ", "-z ", "") + "\"" + g.expansion() + "\" ]"
	case 5:
		return "[[ " + g.word() + " == " + g.pattern() + g.pick(" && ", " || ") + "-n " + g.word() + " ]]"
	case 6:
		return "(( " + g.arith() + " ))"
	case 7:
		return "has " + g.word() + " foo bar " + g.word()
	}
	return g.pick("true", "false", "f x", "[[ -v c ]]", "[[ -v zz ]]")
}

func (g *generator) stmt() string {
	if g.depth > 2 {
		return "a=" + g.word()
	}
	g.depth++
	defer func() { g.depth-- }()
	switch g.r.IntN(22) {
	case 0, 1, 2:
		return g.pick("a", "c", "SRC_URI", "x", "MY_PV") + g.pick("=", "+=") + g.word()
	case 3:
		return "b" + g.pick("=", "+=") + "( " + g.word() + " " + g.word() + " )"
	case 4:
		return "if " + g.test() + "; then " + g.stmt() + "; else " + g.stmt() + "; fi"
	case 5:
		return "case " + g.word() + " in " + g.pattern() + "|" + g.pattern() + "x) " + g.stmt() + ";; *) " + g.stmt() + ";; esac"
	case 6:
		return "for x in " + g.word() + " " + g.word() + "; do SRC_URI+=\" <$x>\"; " + g.pick("", g.test()+" && continue; ", g.test()+" && break; ") + g.stmt() + "; done"
	case 7:
		return "f() { local a=" + g.word() + "; " + g.stmt() + "; echo \"$1-$a\"; " + g.pick("", "return 1", "return") + "; }"
	case 8:
		return "f " + g.word() + " " + g.word()
	case 9:
		return g.test() + g.pick(" && ", " || ") + g.stmt()
	case 10:
		return "set -- " + g.word() + " " + g.word()
	case 11:
		return "read -r a c <<< " + g.word()
	case 12:
		return "IFS=" + g.pick(".", "_", ":", "' '", "-") + " read -r " + g.pick("a c", "a", "a c x", "-a b") + " <<< \"" + g.expansion() + g.expansion() + "\""
	case 13:
		return "printf -v a " + g.pick("'%s-%s'", "%s", "'%s\\n'", "x%s") + " " + g.word() + " " + g.word()
	case 14:
		return "d=" + g.pick("a", "c", "PV")
	case 15:
		return "declare -A m=( [k]=" + g.word() + " )"
	case 16:
		return "m[k]" + g.pick("=", "+=") + g.word()
	case 17:
		return "b[" + g.pick("0", "1", "a", "${#b[@]}") + "]=" + g.word()
	case 18:
		return "(( " + g.pick("a=3", "a++", "c+=2", "x=1") + " ))"
	case 19:
		return "unset " + g.pick("a", "b", "c", "zz")
	case 20:
		return "local_ifs=$IFS; IFS=" + g.pick(".", "_") + "; b=( " + g.expansion() + " ); IFS=$local_ifs"
	}
	i := fmt.Sprint("i", g.depth)
	return i + "=0; while [[ $" + i + " -lt 3 ]]; do " + i + "=$((" + i + "+1)); " + g.stmt() + "; done"
}

// FuzzRun checks that nothing that an ebuild says ends the program, or takes
// long, and that what is understood has no opaque value in it.
func FuzzRun(f *testing.F) {
	f.Add([]byte("EAPI=8\ninherit cargo pypi\nSRC_URI=\"${CARGO_CRATE_URIS} ${SRC_URI}\"\n"))
	b, err := os.ReadFile("testdata/like-bash.sh")
	if err != nil {
		f.Fatal(err)
	}
	for p := range strings.SplitSeq(string(b), "\n#--\n") {
		f.Add([]byte("EAPI=8\n" + p + "\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		start := time.Now()
		s, err := evaluate(t, string(text))
		if strings.Contains(s, opaque) || err != nil && s != "" {
			t.Errorf("%q, %v", s, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
