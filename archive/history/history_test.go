package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// sum is the digest of the text, of which sha256sum -c can be convinced.
func sum(text string) digest.Digest {
	h := digest.NewHasher()
	h.Write([]byte(text))
	return h.Sum().Get(digest.SHA256)
}

func unix(sec int64) time.Time { return time.Unix(sec, 0).UTC() }

var (
	sameLine   = cmp.Comparer(func(a, b Line) bool { return a == b })
	sameRecord = cmp.Comparer(func(a, b Record) bool { return a == b })
)

const (
	hexX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	b64X = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="
)

func TestParseDistinfo(t *testing.T) {
	t.Parallel()
	x := sum("x")
	for _, tc := range []struct {
		name, in string
		want     []Line
	}{
		{"empty", "", nil},
		{"hex", "SHA256 (a) = " + hexX + "\n", []Line{{"a", x, false}}},
		{"capitals", "SHA256 (a) = " + strings.ToUpper(hexX) + "\n", []Line{{"a", x, false}}},
		{"base64", "SHA256 (go/a@v1.zip) = " + b64X + "\n", []Line{{"go/a@v1.zip", x, true}}},
		{
			"ports", "$OpenBSD$\n# c\n\nMD5 (a) = 1\nRMD160 (a) = 2\nSHA1 (a) = 3\nSHA256 (a) = " + b64X +
				"\nSIZE (a) = 5\nTIMESTAMP = 6\nSHA3-256 (a) = 7\nBLAKE2s (a) = 8\nSize (a) = 9 bytes\n", []Line{{"a", x, true}},
		},
		{"blanks", "SHA256\t(a) = " + hexX + " \r\nSHA256(b) = " + hexX, []Line{{"a", x, false}, {"b", x, false}}},
		{
			"odd names", "SHA256 (a) = (b) = c) = " + hexX + "\nSHA256 ( (x ) = " + hexX + "\nSHA256 (a\\b) = " + hexX + "\n",
			[]Line{{"a) = (b) = c", x, false}, {" (x ", x, false}, {`a\b`, x, false}},
		},
		{"escaped", `\SHA256 (a\\b\\\\n) = ` + hexX + "\n", []Line{{`a\b\\n`, x, false}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseDistinfo("f", strings.NewReader(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got, sameLine); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestParseHistory(t *testing.T) {
	t.Parallel()
	in := "0 SHA256 (a) = " + hexX + "\n\n253402300799\tSHA256 (b/c\\d) = " + b64X + "\n"
	want := []Record{{unix(0), Line{"a", sum("x"), false}}, {unix(253402300799), Line{`b/c\d`, sum("x"), true}}}
	got, err := ParseHistory("f", strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameRecord); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	good := "SHA256 (good) = " + hexX + "\n"
	for _, tc := range []struct{ name, in, want string }{
		{"other text", "hello\n", "want SHA256 (file) = digest"},
		{"history", "1 SHA256 (a) = " + hexX + "\n", "want SHA256 (file) = digest"},
		{"html", "<html> = \n", "want SHA256 (file) = digest"},
		{"no name", "SHA256 = " + hexX + "\n", "want SHA256 (file) = digest"},
		{"no end of the name", "SHA256 (a = " + hexX + "\n", "want SHA256 (file) = digest"},
		{"torn", "SHA256 (a) = 2d7116", "digest has 6 characters"},
		{"no digest", "SHA256 (a) = \n", "want SHA256 (file) = digest"},
		{"not hex", "SHA256 (a) = x" + hexX[1:] + "\n", "not hexadecimal"},
		{"not base64", "SHA256 (a) = ?" + b64X[1:] + "\n", "not base64"},
		{"another base64", "SHA256 (a) = " + b64X[:42] + "F=\n", "not base64"},
		{"empty name", "SHA256 () = " + hexX + "\n", "bad distfile name"},
		{"bad name", "SHA256 (../a) = " + hexX + "\n", "bad distfile name"},
		{"control byte", "SHA256 (a\x01) = " + hexX + "\n", "bad distfile name"},
		{"bad escape", `\SHA256 (a\t) = ` + hexX + "\n", "bad escape"},
		{"open escape", `\SHA256 (a\) = ` + hexX + "\n", "bad escape"},
		{"escaped newline", `\SHA256 (a\n) = ` + hexX + "\n", "bad distfile name"},
		{"long line", "SHA256 (" + strings.Repeat("a", maxLine) + ") = " + hexX + "\n", "line is longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var se *SyntaxError
			ls, err := ParseDistinfo("f", strings.NewReader(good+tc.in))
			if !errors.As(err, &se) || !strings.HasPrefix(err.Error(), "f:2: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("distinfo: %v, %v, want an error with %q", ls, err, tc.want)
			}
			rs, err := ParseHistory("f", strings.NewReader("1 "+good+"1 "+tc.in))
			if !errors.As(err, &se) || !strings.HasPrefix(err.Error(), "f:2: ") {
				t.Errorf("history: %v, %v, want an error", rs, err)
			}
		})
	}
}

func TestParseHistoryErrors(t *testing.T) {
	t.Parallel()
	line := "SHA256 (a) = " + hexX + "\n"
	for _, tc := range []struct{ in, want string }{
		{line, "bad time"},
		{"-1 " + line, "bad time"},
		{"+1 " + line, "bad time"},
		{"x " + line, "bad time"},
		{"253402300800 " + line, "bad time"},
		{"99999999999999999999 " + line, "bad time"},
		{"1" + line, "want UNIXTIME"},
		{"1", "want UNIXTIME"},
		{"# c\n", "bad time"},
		{"1 SIZE (a) = 5\n", "want SHA256"},
		{`1 \` + line, "not escaped"},
	} {
		if rs, err := ParseHistory("f", strings.NewReader(tc.in)); err == nil || !strings.HasPrefix(err.Error(), "f:1: ") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, %v, want an error with %q", tc.in, rs, err, tc.want)
		}
	}
}

func TestScanLimits(t *testing.T) {
	t.Parallel()
	nothing := func(string) error { return nil }
	if err := scan("f", strings.NewReader("12\n45\n"), 6, nil, nothing); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := scan("f", strings.NewReader("12\n45\n\n"), 6, nil, nothing); err == nil || err.Error() != "f:3: file is longer than 6 bytes" {
		t.Errorf("above the limit: %v", err)
	}
	err := scan("f", iotest.ErrReader(io.ErrUnexpectedEOF), 6, nil, nothing)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "read f: ") {
		t.Errorf("error of the reader: %v", err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if ls, err := LoadDistinfo(filepath.Join(dir, "distinfo")); ls != nil || err != nil {
		t.Errorf("no distinfo: %v, %v", ls, err)
	}
	if rs, err := LoadHistory(filepath.Join(dir, "history")); rs != nil || err != nil {
		t.Errorf("no history: %v, %v", rs, err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("1 SHA256 (a) = "+hexX+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if rs, err := LoadHistory(file); err != nil || len(rs) != 1 {
		t.Errorf("got %v, %v", rs, err)
	}
	if ls, err := LoadDistinfo(file); err == nil || !strings.HasPrefix(err.Error(), file+":1: ") {
		t.Errorf("got %v, %v, want an error at %s:1", ls, err, file)
	}
	if ls, err := LoadDistinfo(filepath.Join(file, "distinfo")); err == nil {
		t.Errorf("below a file: %v, want an error", ls)
	}
}

func TestWriteDistinfo(t *testing.T) {
	t.Parallel()
	x, y := sum("x"), sum("y")
	in := []Line{{"b", x, true}, {`a\n`, x, false}, {"a", y, false}, {`a\n`, x, true}, {"b", x, false}, {`c\`, x, true}, {"a", x, false}}
	var out bytes.Buffer
	if err := WriteDistinfo(&out, in); err != nil {
		t.Fatal(err)
	}
	want := "SHA256 (a) = " + hexX + "\n" +
		"SHA256 (a) = " + y.Hex() + "\n" +
		`\SHA256 (a\\n) = ` + hexX + "\n" +
		"SHA256 (b) = " + b64X + "\n" +
		`SHA256 (c\) = ` + b64X + "\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if in[0].Name != "b" || in[1].Name != `a\n` {
		t.Errorf("the argument became %v", in)
	}
}

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	other, err := digest.New(digest.BLAKE2S, sum("x").Raw())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []Line{{Name: "a"}, {Name: "a", SHA256: other}, {Name: "a\nb", SHA256: sum("x")}} {
		if err := WriteDistinfo(io.Discard, []Line{l}); err == nil {
			t.Errorf("WriteDistinfo(%v) succeeded", l)
		}
		if err := WriteHistory(io.Discard, []Record{{unix(1), l}}); err == nil {
			t.Errorf("WriteHistory(%v) succeeded", l)
		}
	}
	good := Line{"a", sum("x"), false}
	for _, at := range []time.Time{{}, unix(maxTime + 1)} {
		if err := WriteHistory(io.Discard, []Record{{at, good}}); err == nil {
			t.Errorf("WriteHistory at %v succeeded", at)
		}
	}
	full := errors.New("full")
	w := writerFunc(func([]byte) (int, error) { return 0, full })
	if err := WriteDistinfo(w, []Line{good}); !errors.Is(err, full) {
		t.Errorf("WriteDistinfo = %v, want the error of the writer", err)
	}
	if err := WriteHistory(w, []Record{{unix(1), good}}); !errors.Is(err, full) {
		t.Errorf("WriteHistory = %v, want the error of the writer", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestDistinfoKnown: of a distinfo all lines are told that are not known, however it is
// written, and of one that WriteDistinfo has made of what is known, none is.
func TestDistinfoKnown(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "distinfo")
	for step := range 300 {
		var known, lines []Line
		for range r.IntN(20) {
			l := Line{catalog.Name(fmt.Sprintf(`a\%c`, 'a'+r.IntN(8))), sum(fmt.Sprint(r.IntN(3))), r.IntN(2) == 0}
			if r.IntN(4) > 0 {
				known = append(known, l)
			}
			if r.IntN(4) > 0 {
				lines = append(lines, l)
			}
		}
		var text bytes.Buffer
		if step%3 == 0 {
			lines = known
		}
		if err := WriteDistinfo(&text, lines); err != nil {
			t.Fatal(err)
		}
		if step%3 == 1 { // somebody has written it in another way
			text.Reset()
			for _, l := range lines {
				fmt.Fprintf(&text, "SHA256 (%s) = %s \n", l.Name, strings.ToUpper(l.SHA256.Hex()))
			}
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		all, err := LoadDistinfo(path)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[Line]bool)
		for l, err := range Distinfo(path, known) {
			if err != nil || !slices.Contains(all, l) {
				t.Fatalf("%v, %v", l, err)
			}
			got[l.kept()] = true
		}
		for _, l := range all {
			if !got[l] && !slices.ContainsFunc(known, func(k Line) bool { return compare(k, l) == 0 }) {
				t.Errorf("of %q, with %v known, %v is not told", text.String(), known, l)
			}
		}
		if step%3 == 0 && len(got) > 0 {
			t.Errorf("of %q, which is known, %v are told", text.String(), got)
		}
	}
	if err := os.WriteFile(path, []byte("SHA256 (a) = "+hexX+"\ngarbage\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range Distinfo(path, []Line{{"a", sum("x"), false}}) {
		if err == nil || !strings.Contains(err.Error(), "distinfo:2:") {
			t.Errorf("%v, want an error of line 2", err)
		}
	}
}

// TestSha256sum lets coreutils judge a distinfo.
func TestSha256sum(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var lines []Line
	for i, n := range []catalog.Name{
		"plain", `back\slash`, `\`, `\n`, `end\`, "a (b) c", ")", "(", "a) = b", "x = y", " led", "trailed ", "*star", "#hash",
		"go/a%2Fb@v1.zip", "{P}.tar.gz", "x?a=y&z=1.jar", "é\xff", "-1.zip",
	} {
		text := fmt.Sprint(i)
		p := filepath.Join(dir, string(n))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, Line{n, sum(text), false})
	}
	var out bytes.Buffer
	if err := WriteDistinfo(&out, lines); err != nil {
		t.Fatal(err)
	}
	check := func() (string, error) {
		c := exec.CommandContext(t.Context(), tool, "--check", "--strict")
		c.Dir, c.Stdin = dir, bytes.NewReader(out.Bytes())
		b, err := c.CombinedOutput()
		return string(b), err
	}
	report, err := check()
	if ok := strings.Count(report, ": OK\n"); err != nil || ok != len(lines) {
		t.Errorf("%d of %d files are OK, %v:\n%s\n%s", ok, len(lines), err, report, out.String())
	}
	if err := os.WriteFile(filepath.Join(dir, `end\`), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if report, err := check(); err == nil {
		t.Errorf("a changed file is not noticed:\n%s", report)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	x, y := sum("x"), sum("y")
	gone := func(names ...catalog.Name) func(catalog.Name, digest.Digest) bool {
		return func(n catalog.Name, d digest.Digest) bool {
			for _, g := range names {
				if n == g {
					return d == y // the new content is still wanted
				}
			}
			return true
		}
	}
	known := []Line{{"c", x, true}, {"a", x, false}, {"b", x, false}, {"b", y, false}}

	first := Update(nil, known, gone("c"), time.Unix(100, 999))
	want := []Record{{unix(100), Line{"c", x, true}}}
	if d := cmp.Diff(want, first, sameRecord); d != "" {
		t.Errorf("one goes, -want +got:\n%s", d)
	}

	// c keeps its time and its spelling; a and b come behind it by name.
	again := append([]Line{{"c", x, false}}, known...)
	second := Update(first, again, gone("c", "b", "a"), unix(200))
	want = append(want, Record{unix(200), Line{"a", x, false}}, Record{unix(200), Line{"b", x, false}})
	if d := cmp.Diff(want, second, sameRecord); d != "" {
		t.Errorf("more go, -want +got:\n%s", d)
	}

	// a is wanted again; c has left the archive and is remembered.
	third := Update(second, known[1:], gone("c", "b"), unix(300))
	want = []Record{want[0], want[2]}
	if d := cmp.Diff(want, third, sameRecord); d != "" {
		t.Errorf("one comes back, -want +got:\n%s", d)
	}

	// When a goes once more, that is another absence.
	fourth := Update(third, known, gone("c", "b", "a"), unix(400))
	want = append(want, Record{unix(400), Line{"a", x, false}})
	if d := cmp.Diff(want, fourth, sameRecord); d != "" {
		t.Errorf("it goes again, -want +got:\n%s", d)
	}
	if d := cmp.Diff(fourth, Update(fourth, known, gone("c", "b", "a"), unix(500)), sameRecord); d != "" {
		t.Errorf("nothing new, -want +got:\n%s", d)
	}
}

func TestUpdateJoinsDuplicates(t *testing.T) {
	t.Parallel()
	x := sum("x")
	never := func(catalog.Name, digest.Digest) bool { return false }
	old := []Record{{unix(5), Line{"a", x, true}}, {unix(7), Line{"b", x, true}}, {unix(3), Line{"a", x, false}}}
	want := []Record{{unix(3), Line{"a", x, true}}, {unix(7), Line{"b", x, true}}}
	if d := cmp.Diff(want, Update(old, nil, never, unix(9)), sameRecord); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if !old[0].Time.Equal(unix(5)) {
		t.Error("the argument was changed")
	}
}

func FuzzParseDistinfo(f *testing.F) {
	f.Add([]byte("SHA256 (a) = " + hexX + "\nSIZE (a) = 1\n"))
	f.Add([]byte("\\SHA256 (a\\\\b) = b) = " + hexX + "\nSHA256(x) = " + b64X))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := ParseDistinfo("in", bytes.NewReader(in))
		if err != nil {
			t.Skip()
		}
		var once, twice bytes.Buffer
		if err := WriteDistinfo(&once, first); err != nil {
			t.Fatal(err)
		}
		second, err := ParseDistinfo("once", bytes.NewReader(once.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		have := make(map[Line]bool)
		for _, l := range first {
			have[l] = true
		}
		for _, l := range second {
			if !have[l] {
				t.Fatalf("%v appeared", l)
			}
			delete(have, l)
			delete(have, Line{l.Name, l.SHA256, !l.Base64})
		}
		if len(have) != 0 {
			t.Fatalf("lost %v", have)
		}
		if err := WriteDistinfo(&twice, second); err != nil || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("%v: write(parse(x)) = %q, x = %q", err, twice.Bytes(), once.Bytes())
		}
	})
}

func FuzzParseHistory(f *testing.F) {
	f.Add([]byte("12 SHA256 (a) = " + hexX + "\n\n0012\tSHA256 (a\\) = b) = " + b64X))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := ParseHistory("in", bytes.NewReader(in))
		if err != nil {
			t.Skip()
		}
		var out bytes.Buffer
		if err := WriteHistory(&out, first); err != nil {
			t.Fatal(err)
		}
		again, err := ParseHistory("again", &out)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(first, again, sameRecord); d != "" {
			t.Fatalf("-first +again:\n%s", d)
		}
	})
}
