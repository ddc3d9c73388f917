package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"distkeep/catalog/digest"
)

// dist makes a distfile from its words: size=N or a digest as ALGORITHM=BYTE, a
// source with "://", !RESTRICTION, and the package that owns it.
func dist(t testing.TB, name Name, words string) *Distfile {
	t.Helper()
	d := &Distfile{Name: name, Size: -1, Kind: Gentoo}
	for w := range strings.FieldsSeq(words) {
		key, value, assigned := strings.Cut(w, "=")
		alg, isAlg := digest.ParseAlgorithm(key)
		switch {
		case key == "size":
			if _, err := fmt.Sscan(value, &d.Size); err != nil {
				t.Fatal(err)
			}
		case assigned && isAlg:
			g, err := digest.New(alg, []byte(strings.Repeat(value, alg.Size())))
			if err != nil {
				t.Fatal(err)
			}
			d.Digests, _ = digest.NewSet(append(d.Digests, g)...)
		case strings.Contains(w, "://"):
			d.Sources = append(d.Sources, Source{URI: w})
		case w[0] == '!':
			d.Restrict = Restriction(w[1:])
		default:
			d.Owners = append(d.Owners, Owner{"r", w})
		}
	}
	return d
}

// show spells a distfile as dist reads it, so that a test can compare lines.
func show(ds []*Distfile) []string {
	var out []string
	for _, d := range ds {
		s := string(d.Name) + ":"
		if d.Size >= 0 {
			s += fmt.Sprintf(" size=%d", d.Size)
		}
		for _, g := range d.Digests {
			s += fmt.Sprintf(" %s=%c", g.Alg, g.Raw()[0])
		}
		for _, u := range d.Sources {
			s += " " + u.URI
		}
		if d.Restrict != "" {
			s += " !" + string(d.Restrict)
		}
		for _, o := range d.Owners {
			s += " " + o.Package
		}
		out = append(out, s)
	}
	return out
}

func TestMerge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   []string // "name: words"
		// What becomes of them.
		open, shadowed, restricted []string
	}{
		{name: "nothing"},
		{
			name: "sorted by name",
			in:   []string{"b: SHA256=1 p", "B: SHA256=1 p", "a: SHA256=1 q"},
			open: []string{"B: SHA256=1 p", "a: SHA256=1 q", "b: SHA256=1 p"},
		},
		{
			name: "one content of several packages",
			in:   []string{"a: size=5 SHA256=1 MD5=1 u://1 u://2 p", "a: size=5 SHA256=1 SHA512=1 u://2 u://3 q"},
			open: []string{"a: size=5 SHA256=1 SHA512=1 MD5=1 u://1 u://2 u://3 p q"},
		},
		{
			name: "equal by a weak digest",
			in:   []string{"a: MD5=1 p", "a: MD5=1 SHA256=1 q"},
			open: []string{"a: SHA256=1 MD5=1 p q"},
		},
		{
			name:     "another digest",
			in:       []string{"a: size=5 SHA256=1 u://1 p", "a: size=5 SHA256=2 u://2 q", "a: SHA256=2 u://3 r", "a: SHA256=1 s"},
			open:     []string{"a: size=5 SHA256=1 u://1 p s"},
			shadowed: []string{"a: size=5 SHA256=2 u://2 u://3 q r"},
		},
		{
			name:     "another size",
			in:       []string{"a: size=5 SHA256=1 p", "a: size=6 SHA256=1 q"},
			open:     []string{"a: size=5 SHA256=1 p"},
			shadowed: []string{"a: size=6 SHA256=1 q"},
		},
		{
			name:     "three contents, and two names",
			in:       []string{"b: SHA256=1 p", "b: SHA256=2 q", "a: SHA256=1 p", "a: SHA256=2 q", "a: SHA256=3 r"},
			open:     []string{"a: SHA256=1 p", "b: SHA256=1 p"},
			shadowed: []string{"a: SHA256=2 q", "a: SHA256=3 r", "b: SHA256=2 q"},
		},
		{
			name:     "digests that cannot be compared",
			in:       []string{"a: SHA256=1 p", "a: SHA512=1 q"},
			open:     []string{"a: SHA256=1 p"},
			shadowed: []string{"a: SHA512=1 q"},
		},
		{
			name: "comparable by way of a third",
			in:   []string{"a: SHA256=1 u://1 p", "a: SHA512=1 u://2 q", "a: MD5=1 r", "a: SHA512=2 s", "a: SHA256=1 SHA512=1 t", "a: SHA512=1 MD5=1 v"},
			open: []string{"a: SHA256=1 SHA512=1 MD5=1 u://1 u://2 p t q v r"}, shadowed: []string{"a: SHA512=2 s"},
		},
		{
			name: "no digests join any",
			in:   []string{"a: u://1 p", "a: size=5 SHA256=1 q", "a: r", "a: size=5 s"},
			open: []string{"a: size=5 SHA256=1 u://1 p q r s"},
		},
		{
			name:     "no digests and another size",
			in:       []string{"a: size=5 SHA256=1 p", "a: size=6 q"},
			open:     []string{"a: size=5 SHA256=1 p"},
			shadowed: []string{"a: size=6 q"},
		},
		{
			name:       "restricted",
			in:         []string{"b: SHA256=1 u://1 !mirror p", "a: SHA256=1 !fetch p", "b: SHA256=1 u://2 !fetch q", "b: SHA256=2 !permit r"},
			restricted: []string{"a: SHA256=1 !fetch p", "b: SHA256=1 u://1 u://2 !mirror p q", "b: SHA256=2 !permit r"},
		},
		{
			name: "allowed by one",
			in:   []string{"a: SHA256=1 u://1 !mirror p", "a: SHA256=1 u://2 q"},
			open: []string{"a: SHA256=1 u://2 q"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &Scan{Repo: "r"}
			for _, line := range tc.in {
				name, words, _ := strings.Cut(line, ":")
				s.Distfiles = append(s.Distfiles, dist(t, Name(name), words))
			}
			c := Merge([]*Scan{s})
			for _, part := range []struct {
				name string
				want []string
				got  []*Distfile
			}{
				{"distfiles", tc.open, c.Distfiles}, {"shadowed", tc.shadowed, c.Shadowed}, {"restricted", tc.restricted, c.Restricted},
			} {
				if d := gocmp.Diff(part.want, show(part.got)); d != "" {
					t.Errorf("%s, -want +got:\n%s", part.name, d)
				}
			}
			if len(c.Conflicts) != len(c.Shadowed) {
				t.Fatalf("%d conflicts for %d shadowed contents", len(c.Conflicts), len(c.Shadowed))
			}
			for i, x := range c.Conflicts {
				if x.Shadowed != c.Shadowed[i] || !slices.Contains(c.Distfiles, x.Kept) || x.Kept.Name != x.Shadowed.Name {
					t.Errorf("conflict %d is between %v", i, show([]*Distfile{x.Kept, x.Shadowed}))
				}
			}
		})
	}
}

func TestMergeRepositories(t *testing.T) {
	t.Parallel()
	c := Merge([]*Scan{
		{
			Repo: "one", Kind: Gentoo, Packages: 3, Unreferenced: 4,
			Distfiles: []*Distfile{dist(t, "a", "SHA256=1 u://1 u://2 p"), dist(t, "a", "SHA256=1 u://3 q"), dist(t, "r", "!fetch q")},
			Problems:  []Problem{{Msg: "first"}},
		},
		{
			Repo: "two", Kind: OpenBSD, Packages: 1,
			Distfiles: []*Distfile{dist(t, "a", "SHA256=2 s"), dist(t, "b", "SHA256=1 s")},
			Problems:  []Problem{{Msg: "second"}, {Msg: "third"}},
		},
		{Repo: "empty", Kind: Pacman},
	})
	want := []RepoStats{
		{Name: "one", Kind: Gentoo, Packages: 3, Distfiles: 2, URIs: 3, Unreferenced: 4, Problems: 1},
		{Name: "two", Kind: OpenBSD, Packages: 1, Distfiles: 2, Problems: 2},
		{Name: "empty", Kind: Pacman},
	}
	if d := gocmp.Diff(want, c.Repos); d != "" {
		t.Errorf("figures, -want +got:\n%s", d)
	}
	if d := gocmp.Diff([]string{"a: SHA256=2 s"}, show(c.Shadowed)); d != "" {
		t.Errorf("the later repository does not give way, -want +got:\n%s", d)
	}
	var msgs []string
	for _, p := range c.Problems {
		msgs = append(msgs, p.Msg)
	}
	if got := strings.Join(msgs, " "); got != "first second third" || c.Complete() {
		t.Errorf("problems = %s, complete = %t", got, c.Complete())
	}
	if !Merge(nil).Complete() {
		t.Error("a catalog without problems is not complete")
	}
}

type fakeRepo struct {
	Repository
	scan *Scan
	err  error
}

func (r fakeRepo) Scan(context.Context) (*Scan, error) { return r.scan, r.err }

func TestCollect(t *testing.T) {
	t.Parallel()
	good := fakeRepo{scan: &Scan{Repo: "good", Distfiles: []*Distfile{dist(t, "a", "p")}}}
	also := fakeRepo{scan: &Scan{Repo: "also"}}
	c, err := Collect(t.Context(), []Repository{good, also})
	if err != nil || len(c.Repos) != 2 || c.Repos[0].Name != "good" || len(c.Distfiles) != 1 {
		t.Errorf("Collect = %+v, %v", c, err)
	}
	missing := errors.New("no such tree")
	if c, err := Collect(t.Context(), []Repository{good, fakeRepo{err: missing}, also}); !errors.Is(err, missing) || c != nil {
		t.Errorf("Collect = %v, %v, want the error of the repository", c, err)
	}
}

// A stampedRepo has another URI once everything is read.
type stampedRepo struct {
	fakeRepo
	scan func(uri string) *Scan
}

func (r stampedRepo) Scan(context.Context) (*Scan, error) {
	s := r.scan("u://1")
	s.Stamped = 2
	return s, nil
}

func (r stampedRepo) FullScan(context.Context) (*Scan, error) { return r.scan("u://4"), r.err }

// TestFullScan: a repository that can be scanned once only says the same in the catalog
// of the full scans of the others, which merging has not changed.
func TestFullScan(t *testing.T) {
	t.Parallel()
	scan := func(uri string) *Scan {
		return &Scan{Repo: "stamped", Distfiles: []*Distfile{dist(t, "a", "MD5=1 SHA256=1 p "+uri), dist(t, "b", "p")}}
	}
	once := func() *Scan {
		s := &Scan{Repo: "once", Distfiles: []*Distfile{dist(t, "a", "SHA256=1 q u://2"), dist(t, "a", "SHA256=1 SHA512=1 r u://3"), dist(t, "c", "q")}}
		for _, d := range s.Distfiles { // as one that was appended to
			d.Sources, d.Owners = slices.Grow(d.Sources, 9), slices.Grow(d.Owners, 9)
		}
		return s
	}
	for name, c := range map[string]struct {
		repos []Repository
		want  string
	}{
		"the stamped one first": {[]Repository{stampedRepo{scan: scan}, fakeRepo{scan: once()}},
			"[a: SHA256=1 SHA512=1 MD5=1 u://1 u://2 u://3 p q r b: p c: q]"},
		"the other one first": {[]Repository{fakeRepo{scan: once()}, stampedRepo{scan: scan}},
			"[a: SHA256=1 SHA512=1 MD5=1 u://2 u://3 u://1 q r p b: p c: q]"},
	} {
		stamped, err := Collect(t.Context(), c.repos)
		if err != nil || stamped.Stamped != 2 || fmt.Sprint(show(stamped.Distfiles)) != c.want {
			t.Fatalf("%s: %d packages stamped, %v, %v", name, stamped.Stamped, err, show(stamped.Distfiles))
		}
		read, err := stamped.FullScan(t.Context())
		if err != nil || read.Stamped != 0 || fmt.Sprint(show(read.Distfiles)) != strings.ReplaceAll(c.want, "u://1", "u://4") || fmt.Sprint(show(stamped.Distfiles)) != c.want {
			t.Errorf("%s: %v, %v; and the first %v", name, err, show(read.Distfiles), show(stamped.Distfiles))
		}
	}
	missing := errors.New("no such tree")
	c, err := Collect(t.Context(), []Repository{stampedRepo{fakeRepo{err: missing}, scan}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.FullScan(t.Context()); !errors.Is(err, missing) {
		t.Errorf("a full scan that fails: %v", err)
	}
}

func TestProblemError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		p    Problem
		want string
	}{
		{Problem{Msg: "m"}, "m"},
		{Problem{Msg: "m", Package: "c/p"}, "c/p: m"},
		{Problem{Msg: "m", File: "f"}, "f: m"},
		{Problem{Msg: "m", File: "f", Line: 3, Package: "c/p", Repo: "r"}, "f:3: c/p: m"},
		{Problem{Msg: "m", Line: 3}, "m"},
	} {
		if got := tc.p.Error(); got != tc.want {
			t.Errorf("Error() = %q, want %q", got, tc.want)
		}
	}
	if got := (Owner{"gentoo", "c/p-1"}).String(); got != "c/p-1::gentoo" {
		t.Errorf("owner = %q", got)
	}
}

// FuzzMerge checks what must hold for any tree: names are unique and sorted,
// and no owner gets lost, but for restricted ones that are allowed elsewhere.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("a11a12b00a10"))
	f.Add([]byte("00017\xc41$71C7")) // equal by way of a third
	f.Fuzz(func(t *testing.T, in []byte) {
		scans := []*Scan{{Repo: "one"}, {Repo: "two"}}
		owners := make(map[string]Name)
		allowed := make(map[Name]bool)
		for i := 0; i+2 < len(in) && i < 300; i += 3 {
			name := Name([]string{"a", "b", "c"}[in[i]%3])
			words := fmt.Sprintf("p%d", i)
			if b := in[i+1] % 4; b > 0 {
				words += fmt.Sprintf(" SHA256=%d", b)
			}
			if b := in[i+1] / 4 % 4; b > 0 {
				words += fmt.Sprintf(" MD5=%d", b)
			}
			if b := in[i+2] % 4; b > 0 {
				words += fmt.Sprintf(" size=%d", b)
			}
			if in[i+2]/4%4 == 0 {
				words += " !mirror"
			} else {
				allowed[name] = true
			}
			owners[fmt.Sprintf("p%d", i)] = name
			s := scans[in[i+2]>>7]
			s.Distfiles = append(s.Distfiles, dist(t, name, words))
		}
		c := Merge(scans)
		if !slices.IsSortedFunc(c.Distfiles, func(a, b *Distfile) int { return cmp.Or(cmp.Compare(a.Name, b.Name), 1) }) {
			t.Fatalf("not sorted or not unique: %q", show(c.Distfiles))
		}
		for _, d := range slices.Concat(c.Distfiles, c.Shadowed, c.Restricted) {
			for _, o := range d.Owners {
				if owners[o.Package] != d.Name {
					t.Fatalf("%s owns %s", o.Package, d.Name)
				}
				delete(owners, o.Package)
			}
		}
		for o, name := range owners {
			if !allowed[name] {
				t.Fatalf("%s was lost", o)
			}
		}
		for _, d := range c.Restricted {
			if allowed[d.Name] {
				t.Fatalf("%s is restricted and allowed", d.Name)
			}
		}
		for _, x := range c.Conflicts {
			if r := x.Kept.Same(x.Shadowed); r == digest.Same && x.Kept.Size == x.Shadowed.Size {
				t.Fatalf("equal contents are in conflict: %q", show([]*Distfile{x.Kept, x.Shadowed}))
			}
		}
	})
}

// TestMergeUnnamed: what nobody asks for by name takes none, and makes no
// conflict; a name that has the content has its sources, too.
func TestMergeUnnamed(t *testing.T) {
	t.Parallel()
	file := func(text, uri string, unnamed bool) *Distfile {
		return &Distfile{
			Name: "v1.tar.gz", Unnamed: unnamed, Size: -1, Digests: digest.Set{digest.SHA256.Sum([]byte(text))},
			Sources: []Source{{URI: uri}}, Owners: []Owner{{"r", uri}},
		}
	}
	c := Merge([]*Scan{
		{Repo: "list", Notes: []string{"3 left out"}, Distfiles: []*Distfile{file("a", "list/a", true), file("b", "list/b", true), file("c", "list/c", true)}},
		{Repo: "other", Distfiles: []*Distfile{file("b", "other/b", true)}},
		{Repo: "tree", Distfiles: []*Distfile{file("a", "tree/a", false)}},
	})
	show := func(ds []*Distfile) (s []string) {
		for _, d := range ds {
			var uris []string
			for _, u := range d.Sources {
				uris = append(uris, u.URI)
			}
			s = append(s, strings.Join(uris, " "))
		}
		return s
	}
	if got, want := show(c.Distfiles), []string{"tree/a list/a"}; !slices.Equal(got, want) {
		t.Errorf("named: %q, want %q", got, want)
	}
	if got, want := show(c.Shadowed), []string{"list/b other/b", "list/c"}; !slices.Equal(got, want) {
		t.Errorf("by content: %q, want %q", got, want)
	}
	if len(c.Conflicts) > 0 || c.Repos[0].Distfiles != 3 || !slices.Equal(c.Notes, []string{"list: 3 left out"}) {
		t.Errorf("%d conflicts, %d distfiles, notes %q", len(c.Conflicts), c.Repos[0].Distfiles, c.Notes)
	}
}

// TestReadAgain: a catalog is as old as the oldest of what was not read for it.
func TestReadAgain(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	c := Merge([]*Scan{{Repo: "read"}, {Repo: "a", Stamped: 1, ReadAgain: at(7)}, {Repo: "b", Stamped: 2, ReadAgain: at(5)}, {Repo: "c", Stamped: 1, ReadAgain: at(6)}})
	if c.Stamped != 4 || !c.ReadAgain.Equal(at(5)) {
		t.Errorf("%d stamped, read again at %v", c.Stamped, c.ReadAgain)
	}
	if c := Merge([]*Scan{{Repo: "read"}}); !c.ReadAgain.IsZero() {
		t.Errorf("all was read, and is read again at %v", c.ReadAgain)
	}
}
