package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

var day = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// entry is the content text under a name.
func entry(name, text string) *Entry {
	sums, _ := digest.NewSet(digest.SHA256.Sum([]byte(text)), digest.SHA512.Sum([]byte(text)))
	return &Entry{Name: catalog.Name(name), Digests: sums, Size: int64(len(text)), Owner: "cat/pkg-1::tree", Kind: catalog.Gentoo, Named: true}
}

func listOf(es ...*Entry) List {
	l := make(List)
	for _, e := range es {
		l[e.Key()] = e
	}
	return l
}

func TestDiff(t *testing.T) {
	t.Parallel()
	other := entry("a", "1")
	other.Owner = "cat/other-1::tree"
	unnamed := entry("a", "1")
	unnamed.Named = false
	for _, c := range []struct {
		what      string
		old, next List
		want      string
	}{
		{"nothing", listOf(entry("a", "1")), listOf(entry("a", "1")), ""},
		{"added", listOf(), listOf(entry("b", "2"), entry("a", "1")), "added a, added b"},
		{"removed", listOf(entry("b", "2"), entry("a", "1")), listOf(), "removed a, removed b"},
		{"moved", listOf(entry("a", "1")), listOf(entry("b", "1")), "moved b from a"},
		{"moved back", listOf(entry("b", "1")), listOf(entry("a", "1")), "moved a from b"},
		{"a second name", listOf(entry("a", "1")), listOf(entry("a", "1"), entry("b", "1")), "added b"},
		{"two names become two others", listOf(entry("a", "1"), entry("b", "1")), listOf(entry("c", "1"), entry("d", "1")), "moved c from a, moved d from b"},
		{"two names become one", listOf(entry("a", "1"), entry("b", "1")), listOf(entry("c", "1")), "removed b, moved c from a"},
		{"other bytes", listOf(entry("a", "1")), listOf(entry("a", "2")), "removed a, added a"},
		{"another owner", listOf(entry("a", "1")), listOf(other), "changed a"},
		{"no name any more", listOf(entry("a", "1")), listOf(unnamed), "changed a"},
		{"names change places", listOf(entry("a", "1"), entry("b", "2")), listOf(entry("a", "2"), entry("b", "1")), "moved a from b, moved b from a"},
	} {
		cs := Diff(c.old, c.next)
		var got []string
		for _, x := range cs {
			s := x.Do + " " + string(x.Name)
			if x.From != "" {
				s += " from " + string(x.From)
			}
			got = append(got, s)
		}
		// The digests decide the order of one name; what is asked is what happens.
		want := strings.Split(c.want, ", ")
		slices.Sort(want)
		slices.Sort(got)
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s: %q, want %q", c.what, got, want)
		}
		l := copyOf(c.old)
		if err := l.apply(cs); err != nil {
			t.Errorf("%s: %v", c.what, err)
		} else if !same(l, c.next) {
			t.Errorf("%s: the changes make %v", c.what, l.Sorted())
		}
	}
}

func copyOf(l List) List { return listOf(l.Sorted()...) }

func same(a, b List) bool { return maps.EqualFunc(a, b, (*Entry).equal) }

// TestApplyRefuses has changes that are not of the list.
func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []Change{
		{Do: Added, Entry: *entry("a", "1")},
		{Do: Removed, Entry: *entry("b", "1")},
		{Do: Changed, Entry: *entry("a", "2")},
		{Do: Moved, From: "c", Entry: *entry("b", "1")},
		{Do: Moved, From: "a", Entry: *entry("a", "1")},
	} {
		if err := listOf(entry("a", "1")).apply([]Change{c}); err == nil {
			t.Errorf("%s %s from %q was applied", c.Do, c.Name, c.From)
		}
	}
}

// A history is a feed as an archive writes it.
type history struct {
	files  map[string][]byte
	states []State // by generation
	asked  []string
}

// publish adds the generation l.
func (h *history) publish(t *testing.T, l List) {
	t.Helper()
	if len(h.states) == 0 {
		h.files, h.states = make(map[string][]byte), []State{{List: make(List)}}
	}
	old := h.states[len(h.states)-1]
	g := &Generation{Header: Header{Generation: old.Generation + 1, Time: day, Prev: old.SHA256}, Changes: Diff(old.List, l)}
	next := State{Latest: Latest{Generation: g.Generation, Time: day, Full: old.Full}, List: l}
	if g.Generation%FullEvery == 0 {
		next.Full = g.Generation
		g.Full = h.add(t, FullFile(g.Generation), Full(g.Generation, day, old.Past, l))
	}
	next.SHA256 = h.add(t, File(g.Generation), g)
	next.Past = append(slices.Clone(old.Past), next.SHA256)
	h.states = append(h.states, next)
}

func (h *history) add(t *testing.T, name string, g *Generation) string {
	t.Helper()
	data, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	h.files[name] = data
	return Sum(data)
}

func (h *history) get(file string) ([]byte, error) {
	h.asked = append(h.asked, file)
	if data, ok := h.files[file]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// random publishes n generations.
func random(t *testing.T, n int, seed uint64) *history {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	h := new(history)
	l := make(List)
	for range n {
		l = copyOf(l)
		for range 1 + r.IntN(3) {
			e := entry(fmt.Sprint("f", r.IntN(20)), fmt.Sprint(r.IntN(20)))
			if l[e.Key()] == nil {
				l[e.Key()] = e
			} else {
				delete(l, e.Key())
			}
		}
		h.publish(t, l)
	}
	return h
}

// TestFollow reads a history from nothing and from every generation of it.
func TestFollow(t *testing.T) {
	t.Parallel()
	h := random(t, 3*FullEvery+5, 1)
	last := int64(len(h.states) - 1)
	for _, from := range []int64{0, 1, 2*FullEvery - 1, 2 * FullEvery, 3 * FullEvery, last - 1, last} {
		var have *State
		if from > 0 {
			have = &State{Latest: h.states[from].Latest, List: copyOf(h.states[from].List)}
		}
		h.asked = nil
		got, err := Follow(h.states[last].Latest, have, h.get)
		if err != nil {
			t.Errorf("from %d: %v", from, err)
			continue
		}
		if !same(got.List, h.states[last].List) {
			t.Errorf("from %d: the list is not that of the newest generation", from)
		}
		if from == 0 && !slices.Equal(got.Past, h.states[last].Past) {
			t.Errorf("the digests of %d generations are known, of %d", len(got.Past), last)
		}
		if have != nil && !same(have.List, h.states[from].List) {
			t.Errorf("from %d: what the reader had was changed", from)
		}
		want := last - from
		if from < 2*FullEvery {
			want = last - 3*FullEvery + 2 // until the full list, and that
		}
		if int64(len(h.asked)) != want {
			t.Errorf("from %d: %d files were read, want %d", from, len(h.asked), want)
		}
	}
}

// TestRewritten shows histories to a reader who has seen another one.
func TestRewritten(t *testing.T) {
	t.Parallel()
	mine, other := random(t, 3*FullEvery+5, 1), random(t, 3*FullEvery+5, 2)
	last := int64(len(other.states) - 1)
	for _, seen := range []int64{1, FullEvery, 2 * FullEvery, 2*FullEvery + 1, last - 1, last} {
		if _, err := Follow(other.states[last].Latest, &mine.states[seen], other.get); !errors.Is(err, ErrRewritten) {
			t.Errorf("generation %d of another history was seen: %v", seen, err)
		}
	}
	if _, err := Follow(mine.states[last-1].Latest, &mine.states[last], mine.get); !errors.Is(err, ErrRewritten) {
		t.Errorf("a newer generation was seen: %v", err)
	}
}

// TestFollowRefuses changes single files of a history.
func TestFollowRefuses(t *testing.T) {
	t.Parallel()
	const n = FullEvery + 3
	whole := random(t, n, 3)
	for _, c := range []struct {
		what   string
		change func(h *history, l *Latest)
	}{
		{"a file of another generation", func(h *history, _ *Latest) { h.files[File(n-1)] = h.files[File(n-2)] }},
		{"a damaged file", func(h *history, _ *Latest) { h.files[File(n)] = append([]byte{'x'}, h.files[File(n)]...) }},
		{"another full list", func(h *history, _ *Latest) { h.files[FullFile(FullEvery)] = h.files[File(n)] }},
		{"no full list", func(h *history, _ *Latest) { delete(h.files, FullFile(FullEvery)) }},
		{"a full list that is none", func(_ *history, l *Latest) { l.Full = n - 1 }},
		{"a full list of nothing", func(_ *history, l *Latest) { l.Generation, l.Full = 1, 1 }},
		{"another digest", func(h *history, l *Latest) { l.SHA256 = h.states[n-1].SHA256 }},
		{"a newer generation", func(_ *history, l *Latest) { l.Generation++ }},
	} {
		h := &history{files: maps.Clone(whole.files), states: whole.states}
		l := h.states[n].Latest
		c.change(h, &l)
		if _, err := Follow(l, nil, h.get); err == nil {
			t.Errorf("%s was believed", c.what)
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "upstream")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	keys := note.VerifierList(verifier)
	want := Latest{Generation: 12, Time: day, SHA256: Sum(nil), Full: 3}
	plain, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := want.Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		data []byte
		keys note.Verifiers
		ok   bool
	}{
		{"plain", plain, nil, true},
		{"signed", signed, keys, true},
		{"signed, and nobody asks", signed, nil, true},
		{"not signed", plain, keys, false},
		{"another text", bytes.Replace(signed, []byte("12"), []byte("13"), 1), keys, false},
		{"signed by another", signed, note.VerifierList(), false},
		{"another file", []byte("404 not found\n"), nil, false},
		{"nothing", nil, nil, false},
		{"generation 0", bytes.Replace(plain, []byte("12"), []byte("0"), 1), nil, false},
		{"a full list too far back", bytes.Replace(plain, []byte("12"), []byte("104"), 1), nil, false},
		{"a full list ahead", bytes.Replace(plain, []byte("12"), []byte("2"), 1), nil, false},
		{"no number", bytes.Replace(plain, []byte("12"), []byte("x"), 1), nil, false},
		{"a newer line", append(slices.Clone(plain), "more 1\n"...), nil, true},
	} {
		got, err := ParseLatest(c.data, c.keys)
		if (err == nil) != c.ok || c.ok && got != want {
			t.Errorf("%s: %v, %v", c.what, got, err)
		}
	}
	if len(signed) > 600 {
		t.Errorf("it has %d bytes", len(signed))
	}
}

// pack packs text as files are.
func pack(t *testing.T, text []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(text, nil)
}

// FuzzDecode reads what somebody else has written: what is understood can be written
// and read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"generation":1,"time":"2026-01-02T03:00:00Z"}` + "\n" + `{"do":"added","name":"a","sha256":"` + Sum(nil) + `","digests":{"md5":"d41d8cd98f00b204e9800998ecf8427e"}}` + "\n"))
	f.Add([]byte(`{"generation":2}` + "\n" + `{"do":"past","sha256":"` + Sum(nil) + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := Decode(pack(t, text))
		if err != nil {
			return
		}
		data, err := g.Encode()
		if err != nil {
			t.Skip(err) // a year that JSON cannot have
		}
		again, err := Decode(data)
		if err != nil || !slices.EqualFunc(g.Changes, again.Changes, func(a, b Change) bool {
			return a.Do == b.Do && a.From == b.From && a.equal(&b.Entry)
		}) || !slices.Equal(g.Past, again.Past) {
			t.Fatalf("%v\n%v\n%v", err, g, again)
		}
		for _, c := range g.Changes {
			if _, err := catalog.ParsePath(string(c.Name)); err != nil {
				t.Error(err)
			}
		}
	})
}
