package imported

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/history"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

var (
	sameDigest = cmp.Comparer(func(a, b digest.Digest) bool { return a == b })
	sameError  = cmp.Comparer(func(a, b error) bool { return a == b })
)

// parse reads text, which must be right.
func parse(t *testing.T, text string) *Facts {
	t.Helper()
	f := new(Facts)
	if err := f.Read("export", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return f
}

// lines are f as Write writes it.
func lines(t testing.TB, f *Facts) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadLines(t *testing.T) {
	t.Parallel()
	sum := digest.SHA256.Sum([]byte("x"))
	f := parse(t, "deletion\ta.tar.gz\t1700000000.999999\n"+
		"owner\ta.tar.gz\tapp-misc/a-1.0\n"+
		"recycle\tb%2F.tar.gz\t12\t1700000001\n"+
		"content\tc.tar.gz\tROT13=00 SHA256="+sum.Hex()+"\tWHIRLPOOLX=00\n"+
		"history\tdir/d.tar.gz\t"+sum.Hex()+"\t5\n"+
		"deletion\t../e\t1\n"+
		"end\t6\n")
	want := &Facts{
		Unwanted: map[catalog.Name]time.Time{"a.tar.gz": time.Unix(1700000000, 0).UTC()},
		Owners:   map[catalog.Name]string{"a.tar.gz": "app-misc/a-1.0"},
		Recycled: map[catalog.Name]Recycled{"b%2F.tar.gz": {12, time.Unix(1700000001, 0).UTC()}},
		Contents: map[catalog.Name][]digest.Set{"c.tar.gz": {{sum}}},
		History:  []history.Record{{Time: time.Unix(5, 0).UTC(), Line: history.Line{Name: "dir/d.tar.gz", SHA256: sum}}},
		Skipped:  f.Skipped,
	}
	if diff := cmp.Diff(want, f, sameDigest, sameError); diff != "" || len(f.Skipped) != 1 {
		t.Errorf("%d skipped (-want +got):\n%s", len(f.Skipped), diff)
	}
	f.Skipped = nil
	if diff := cmp.Diff(f, parse(t, lines(t, f)), sameDigest); diff != "" {
		t.Errorf("what was written reads otherwise (-want +got):\n%s", diff)
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "export: it is empty"},
		{"cut off", "deletion\ta\t1\n", "export:1: the end is missing"},
		{"lines lost", "deletion\ta\t1\nend\t2\n", "export:2: there are 1 lines, not 2"},
		{"more behind", "end\t0\ndeletion\ta\t1\n", "export:2: there is something behind the end"},
		{"unknown kind", "what\ta\t1\nend\t1\n", `export:1: a line of kind "what" and 3 fields is not known`},
		{"no time", "deletion\ta\tsoon\nend\t1\n", `"soon" is no time`},
		{"before all time", "deletion\ta\t-1\nend\t1\n", `"-1" is no time`},
		{"not a number", "deletion\ta\tNaN\nend\t1\n", `"NaN" is no time`},
		{"no size", "recycle\ta\t-5\t1\nend\t1\n", `"-5" is no size`},
		{"no package", "owner\ta\tb c\nend\t1\n", `"b c" is no package`},
		{"bad digest", "content\ta\tSHA256=00\nend\t1\n", "export:1: "},
		{"one algorithm twice", "content\ta\tMD5=" + strings.Repeat("0", 32) + " MD5=" + strings.Repeat("1", 32) + "\nend\t1\n", "has one algorithm twice"},
		{"too few", "deletion\ta\nend\t1\n", "too few fields"},
		{"an empty line first", "\nx\n", "export:2: "},
		{"no list at all", "<html>\n", "export:1: "},
		{"a pickle that is cut off", "\x80\x04\x95", "export: pickle 1: EOF"},
		{"a pickle that calls", "\x80\x02cos\nsystem\nU\x02id\x85R.", "export: pickle 1: " + errPickle.Error()},
		{"a pickle of something else", "\x80\x02K\x01.", "it is no key with a value"},
		{"a pickle without end", "\x80\x02" + strings.Repeat("(", 4*maxPickle+1), "it is too large"},
		{"a long string", "\x80\x02X\xff\xff\xff\x7f", "its strings are too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := new(Facts).Read("export", strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

// The pickles are what Python 2.7 and 3.11 wrote in the way of shelve-utils dump.
func TestReadPickles(t *testing.T) {
	t.Parallel()
	numbers := func(k string) string { return strings.Repeat(k, 64) }
	const old = "deletion\ta-1.tar.gz\t1700000000\ndeletion\tb.tar.gz\t1700000000\nowner\tc.tar.gz\tapp-misc/c-1.0\n" +
		"recycle\td.tar.gz\t1234567\t1700000000\nrecycle\te.tar.gz\t5\t1700000000\n"
	contents := "content\tf.tar.gz\tSHA512=" + numbers("cd") + " BLAKE2B=" + numbers("ab") + "\n"
	for _, file := range []string{"python2", "protocol2", "protocol3", "protocol4", "protocol5"} {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("../../testdata/imported", file+".pickle"))
			if err != nil {
				t.Fatal(err)
			}
			f := parse(t, string(data))
			two := f.Contents["g.tar.gz"]
			delete(f.Contents, "g.tar.gz")
			want := old + "end\t5\n"
			if file != "python2" {
				want = old + contents + "end\t6\n"
				if len(two) != 2 || two[0][0] == two[1][0] {
					t.Errorf("g.tar.gz has the contents %v, want two", two)
				}
			}
			if got := lines(t, f); got != want {
				t.Errorf("it says:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestReadDPB(t *testing.T) {
	t.Parallel()
	sum := digest.SHA256.Sum([]byte("x"))
	f := parse(t, "1300000000 SHA256 (sub/a.tgz) = "+sum.Base64()+"\n1200000000 SHA256 (sub/a.tgz) = "+sum.Hex()+"\n")
	if err := f.Read("distinfo", strings.NewReader("SHA256 (b.tgz) = "+sum.Base64()+"\n")); err != nil {
		t.Fatal(err)
	}
	if len(f.History) != 2 || len(f.Distinfo) != 1 || f.Distinfo[0].Name != "b.tgz" {
		t.Errorf("history is %v, distinfo %v", f.History, f.Distinfo)
	}
	clock := f.Clock()
	if got := clock("sub/a.tgz", sum); got.Unix() != 1200000000 {
		t.Errorf("sub/a.tgz is unwanted since %v", got)
	}
	if got := clock("sub/a.tgz", digest.SHA256.Sum([]byte("y"))); !got.IsZero() {
		t.Errorf("another content is unwanted since %v", got)
	}
	f.Merge(parse(t, "deletion\tsub/a.tgz\t1100000000\nend\t1\n"))
	if got := f.Clock()("sub/a.tgz", sum); got.Unix() != 1100000000 {
		t.Errorf("sub/a.tgz is unwanted since %v after a merge", got)
	}
}

// Whatever is read, what comes of it can be written and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte("deletion\ta.tar.gz\t1700000000.5\nowner\ta\tb/c-1\nrecycle\ta\t1\t2\nend\t3\n"))
	f.Add([]byte("5 SHA256 (a) = 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\n"))
	for _, file := range []string{"python2", "protocol3", "protocol4"} {
		data, err := os.ReadFile(filepath.Join("../../testdata/imported", file+".pickle"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x := new(Facts)
		if x.Read("f", bytes.NewReader(data)) != nil {
			return
		}
		x.Skipped, x.Distinfo = nil, nil
		for i := range x.History {
			x.History[i].Base64 = false
		}
		again := parse(t, lines(t, x))
		if diff := cmp.Diff(x, again, sameDigest); diff != "" {
			t.Errorf("what was written reads otherwise (-want +got):\n%s", diff)
		}
	})
}
