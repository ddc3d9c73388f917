package demand

import (
	"errors"
	"testing"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

func distfile(name, text string) *catalog.Distfile {
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(text)))
	return &catalog.Distfile{Name: catalog.Name(name), Size: int64(len(text)), Digests: sums, Sources: []catalog.Source{{URI: "https://h.example/" + name}}}
}

// TestState: what followers see of a file, as it is told.
func TestState(t *testing.T) {
	t.Parallel()
	d := NewDesk(time.Now)
	f, err := d.Ask(distfile("a", "text"), true)
	if again, _ := d.Ask(distfile("other name", "text"), false); err != nil || again != f {
		t.Errorf("%v, %v", again, err)
	}
	sums, _ := digest.NewSet(digest.SHA256.Sum([]byte("text")))
	for i, c := range []struct {
		tell func()
		want State
	}{
		{func() { d.Grown("p", 1) }, State{}}, // nobody's
		{func() { d.Arrives(f, "p") }, State{}},
		{func() { d.Grown("p", 2) }, State{Part: "p", Have: 2, Edition: 1}}, // continued
		{func() { d.Grown("p", 3) }, State{Part: "p", Have: 3, Edition: 1}},
		{func() { d.Grown("p", 0) }, State{Part: "p", Edition: 2}},
		{func() { d.Grown("p", 4) }, State{Part: "p", Have: 4, Edition: 2}},
		{func() { d.Whole(f, "p", 4, sums) }, State{Part: "p", Have: 4, Edition: 2, Whole: true, SHA256: sums[0]}},
		{func() { d.Grown("p", 0) }, State{Part: "p", Have: 4, Edition: 2, Whole: true, SHA256: sums[0]}},
		{func() { d.Held(f.Distfile, sums[0]) }, State{Part: "p", Have: 4, Edition: 2, Whole: true, Held: true, SHA256: sums[0]}},
		{func() { d.Fail(f, failure.Gone) }, State{Part: "p", Have: 4, Edition: 2, Whole: true, Held: true, SHA256: sums[0]}},
	} {
		before, changed := f.State()
		c.tell()
		if got, _ := f.State(); got != c.want {
			t.Errorf("%d: %+v, want %+v", i, got, c.want)
		}
		select {
		case <-changed:
		default:
			if before != c.want {
				t.Errorf("%d: nobody is told", i)
			}
		}
	}
	d.Forget(func(digest.Digest) bool { return false })
	if again, _ := d.Ask(f.Distfile, true); again != f {
		t.Error("forgotten")
	}
	d.Forget(func(sum digest.Digest) bool { return sum == sums[0] })
	if again, _ := d.Ask(f.Distfile, true); again == f {
		t.Error("not forgotten")
	}
}

// TestRefused: what could not be had is refused for as long as a run would leave it alone,
// but not when it is to be had from elsewhere.
func TestRefused(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	d := NewDesk(func() time.Time { return now })
	for _, c := range []struct {
		class failure.Class
		pause time.Duration
	}{
		{failure.Stalled, time.Minute}, {failure.Gone, 55 * time.Minute}, {failure.Gone, 115 * time.Minute}, {failure.Server, time.Minute},
	} {
		x := distfile("a", "text")
		f, err := d.Ask(x, true)
		if err != nil {
			t.Fatal(err)
		}
		d.Arrives(f, "p")
		d.Fail(f, c.class)
		refused := (*Refused)(nil)
		if _, err := d.Ask(x, true); !errors.As(err, &refused) || refused.Until != now.Add(c.pause) || refused.Class != c.class {
			t.Errorf("%s: %v, want %v", c.class, err, c.pause)
		}
		if is, _ := f.State(); is.Err != error(refused) {
			t.Errorf("%s: %v", c.class, is.Err)
		}
		moved := distfile("a", "text")
		moved.Sources[0].URI += "?new"
		if f, err = d.Ask(moved, true); err != nil {
			t.Errorf("from elsewhere: %v", err)
		}
		d.Drop(f, errors.New("locked"))
		now = now.Add(c.pause)
	}
	if len(d.Take()) != 8 || len(d.files)+len(d.parts) > 0 {
		t.Errorf("%v, %v", d.files, d.parts)
	}
}

// TestRefusedAnew: what is to be had from elsewhere begins with the shortest pause, and
// what came in another way is not refused.
func TestRefusedAnew(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	d := NewDesk(func() time.Time { return now })
	x, moved := distfile("a", "text"), distfile("a", "text")
	moved.Sources[0].URI += "?new"
	for _, y := range []*catalog.Distfile{x, moved} {
		f, err := d.Ask(y, true)
		if err != nil {
			t.Fatal(err)
		}
		d.Fail(f, failure.Gone)
		if is, _ := f.State(); is.Err.(*Refused).Until != now.Add(55*time.Minute) {
			t.Errorf("%s: %v", y.Sources[0].URI, is.Err)
		}
	}
	d.Held(x, digest.SHA256.Sum([]byte("text")))
	if _, err := d.Ask(moved, true); err != nil {
		t.Errorf("the archive has it: %v", err)
	}
}

// TestKey: contents are the same by their digests, and without any by their names.
func TestKey(t *testing.T) {
	t.Parallel()
	bare := func(name string) *catalog.Distfile { return &catalog.Distfile{Name: catalog.Name(name)} }
	for _, c := range []struct {
		a, b *catalog.Distfile
		same bool
	}{
		{distfile("a", "x"), distfile("b", "x"), true},
		{distfile("a", "x"), distfile("a", "y"), false},
		{bare("a"), bare("a"), true},
		{bare("a"), bare("b"), false},
		{bare("a"), distfile("a", "x"), false},
	} {
		if same := Key(c.a) == Key(c.b); same != c.same {
			t.Errorf("%s and %s: %v", Key(c.a), Key(c.b), same)
		}
	}
}

// TestReturn: what was taken is left to others, unless it has come to its end.
func TestReturn(t *testing.T) {
	t.Parallel()
	d := NewDesk(time.Now)
	sum := digest.SHA256.Sum([]byte("text"))
	for name, c := range map[string]struct {
		end  func(f *File)
		left int
	}{
		"under way": {func(*File) {}, 1},
		"whole":     {func(f *File) { d.Whole(f, "p", 4, digest.Set{sum}) }, 1},
		"held":      {func(f *File) { d.Held(f.Distfile, sum) }, 0},
		"failed":    {func(f *File) { d.Fail(f, failure.Gone) }, 0},
	} {
		f, err := d.Ask(distfile(name, name), true)
		if err != nil || len(d.Take()) != 1 {
			t.Fatal(err)
		}
		c.end(f)
		d.Return(f)
		if left := d.Take(); len(left) != c.left {
			t.Errorf("%s: %d files are left to others, want %d", name, len(left), c.left)
		}
	}
}

// TestOtherPart: bytes that come whole in another part are another edition.
func TestOtherPart(t *testing.T) {
	t.Parallel()
	d := NewDesk(time.Now)
	f, err := d.Ask(distfile("a", "text"), true)
	if err != nil {
		t.Fatal(err)
	}
	d.Arrives(f, "p")
	d.Grown("p", 2)
	d.Whole(f, "q", 4, nil)
	if is, _ := f.State(); is.Part != "q" || is.Edition != 2 {
		t.Errorf("%+v", is)
	}
}
