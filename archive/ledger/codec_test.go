package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dgraph-io/badger/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// former is the value of r as former programs have written it.
func former(t testing.TB, r record) []byte {
	t.Helper()
	content := func(d *Distfile) wireDistfile {
		var sums []string
		for _, s := range d.Digests[1:] {
			sums = append(sums, s.Alg.String()+":"+s.Hex())
		}
		return wireDistfile{
			Size: d.Size, Digests: strings.Join(sums, " "), Named: d.Named, Owner: d.Owner, Kind: string(d.Kind), Origin: d.Origin,
			Added: d.Added.Unix(), Verified: d.Verified.Unix(), ModTime: d.ModTime.UnixNano(),
		}
	}
	var v any = r
	switch r := r.(type) {
	case *Distfile:
		v = content(r)
	case *Recycled:
		w := content(&r.Distfile)
		w.Since, w.Pending = r.Since.Unix(), r.Pending
		v = w
	case *Deletion:
		v = wireDeletion{r.Since.Unix(), r.Owner, r.Size, r.Undone}
	case *Dropped:
		f := r.File
		v = wireDropped{f.Size, f.ModTime, f.Changed, f.Dev, f.Inode, r.SHA256.Hex(), r.Since.Unix(), r.Want, r.Refused}
	case *Success:
		v = wireSuccess{Bytes: r.Bytes, Origin: r.Origin}
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{versionJSON}, text...)
}

// pairs are the keys of l with their values.
func pairs(t testing.TB, l *Ledger) (ops []op) {
	t.Helper()
	err := l.view(func(txn *badger.Txn) error {
		return each(txn, nil, func(k, v []byte) error {
			ops = append(ops, op{key: slices.Clone(k), value: slices.Clone(v)})
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ops
}

// formerly gives every record of l the form that former programs have written.
func formerly(t testing.TB, l *Ledger) {
	t.Helper()
	ops := pairs(t, l)
	for i, o := range ops {
		if isText(o.key) {
			continue
		}
		r, err := read(o.key, o.value, nil)
		if err != nil {
			t.Fatal(err)
		}
		ops[i].value = former(t, r)
	}
	if err := l.Commit(&Batch{ops: ops}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestFormerRecords: the ledger of a former program means the same, and is not
// rewritten by being read.
func TestFormerRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/l"
	l := open(t, dir)
	full(t, l)
	want, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	text := exported(t, l)
	formerly(t, l)
	got, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("-binary +JSON:\n%s", diff)
	}
	if diff := cmp.Diff(text, exported(t, l)); diff != "" {
		t.Errorf("export: -binary +JSON:\n%s", diff)
	}
	for _, o := range pairs(t, l) {
		if o.value[0] != versionJSON {
			t.Errorf("%q was rewritten", o.key)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	defer l.Close()
	if got, err = l.Load(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" || l.db != nil {
		t.Errorf("flat files: badger %v, -binary +JSON:\n%s", l.db, diff)
	}
}

// TestBinaryForm pins what is on disk: it is read for as long as there are archives.
func TestBinaryForm(t *testing.T) {
	t.Parallel()
	d := sample("a", "text")
	d.Owner, d.Origin, d.Digests = "o", "u", d.Digests[:1]
	md5 := digest.MD5.Sum([]byte("text"))
	d.Digests, _ = digest.NewSet(d.SHA256(), md5)
	for _, c := range []struct {
		r    record
		want string
	}{
		{d, "020801016f0667656e746f6f0175cad6b9950dea8eba950daafc8fbfc4bce5863101071cb251ec0d568de6a929b520c4aed8d1"},
		{&Recycled{*d, t0, true}, "020801016f0667656e746f6f0175cad6b9950dea8eba950daafc8fbfc4bce5863101071cb251ec0d568de6a929b520c4aed8d1cad6b9950d01"},
		{&Deletion{d.Key(), t0, "o", 7, true}, "02cad6b9950d016f0e01"},
		{&Dropped{"a", regular.ID{Dev: 1, Inode: 2, Size: 7, ModTime: 5, Changed: 6}, d.SHA256(), t0, "w", "r"}, "0201020e0a0c982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1cad6b9950d01770172"},
		{&Failure{
			Name: "a", Want: "w", Class: "c", Reason: "r", Hint: "h", Owner: "o", Owners: []string{"o", "p"}, Maintainers: []string{"m"}, Size: 7,
			First: t0, Last: t0.Add(1), Count: 2, Asked: "q", Answers: []Answer{{"u", "h", "c", "t"}},
		}, "020177016301720168016f02016f017001016d0ecad6b9950d00cad6b9950d01ffdb8ff9ce0300040171010175016801630174"},
		{&Success{Bytes: 7, Origin: "u"}, "020e0175"},
	} {
		if got := hex.EncodeToString(write(c.r)); got != c.want {
			t.Errorf("%T is\n%s, was\n%s", c.r, got, c.want)
		}
	}
	for a := digest.SHA512; a.Size() > 0; a++ {
		if int(a) >= len(marks) || marks[a] == 0 || algorithms[marks[a]] != a {
			t.Errorf("%s has no mark", a)
		}
	}
}

// TestHostileValues: what no program has written is refused, and makes nothing large.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	k := contentKey(prefixDistfile, sample("a", "text").Key())
	good := write(sample("a", "text"))
	huge := bytes.Repeat([]byte{0xff}, 8)
	failure := write(&Failure{Name: "a", Want: "0123456789abcdef"})
	for name, c := range map[string]struct{ key, value []byte }{
		"nothing":       {k, nil},
		"no fields":     {k, good[:1]},
		"cut off":       {k, good[:len(good)-1]},
		"more":          {k, append(slices.Clone(good), 0)},
		"a newer form":  {k, append([]byte{versionBinary + 1}, good[1:]...)},
		"a long text":   {k, append([]byte{versionBinary, 0, 1}, append(huge, 1)...)},
		"many digests":  {k, append(slices.Clone(good[:len(good)-2*65-1]), 0x7f)},
		"very many":     {k, append(slices.Clone(good[:len(good)-2*65-1]), append(huge, 1)...)},
		"digest twice":  {k, append(slices.Clone(good[:len(good)-65]), good[len(good)-2*65:len(good)-65]...)},
		"unknown mark":  {k, append(slices.Clone(good[:len(good)-65]), append([]byte{0xee}, good[len(good)-64:]...)...)},
		"bad bool":      {k, slices.Concat(good[:2], []byte{2}, good[3:])},
		"a long list":   {failureKey(FailureKey{"a", ""}), append(slices.Clone(failure[:len(failure)-1]), append(huge, 1)...)},
		"a bad name":    {failureKey(FailureKey{"../a", ""}), failure},
		"a late time":   {failureKey(FailureKey{"a", ""}), write(&Failure{Name: "a", First: time.Unix(1<<40, 0)})},
		"key too short": {[]byte("d/"), good},
		"no digest":     {[]byte("d/a"), good},
		"of no kind":    {append([]byte{'q'}, k[1:]...), good},
	} {
		if r, err := read(c.key, c.value, new(pool)); !errors.Is(err, errRecord) {
			t.Errorf("%s: %+v, %v; want an unreadable record", name, r, err)
		}
	}
}

var same = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(digest.Digest{}, layout.Layout{})}

// FuzzRecord: a record of the database is understood or refused, and means the same
// when it is written in the binary form, and in the JSON of former programs.
func FuzzRecord(f *testing.F) {
	l := open(f, f.TempDir()+"/l")
	full(f, l)
	for _, o := range pairs(f, l) {
		f.Add(o.key, o.value)
	}
	formerly(f, l)
	for _, o := range pairs(f, l) {
		f.Add(o.key, o.value)
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if len(k) > 0 && isText(k) {
			return // see FuzzNotes
		}
		first, err := read(k, v, nil)
		if err != nil {
			return
		}
		second, err := read(k, write(first), new(pool))
		if err != nil {
			t.Fatalf("%q: %+v is not understood any more: %v", k, first, err)
		}
		if diff := cmp.Diff(first, second, same); diff != "" {
			t.Fatalf("-first +second:\n%s", diff)
		}
		if s, ok := first.(*Success); ok && !bytes.HasPrefix(k, successStart) {
			t.Skip(s) // it is given a key of the present form
		}
		if !utf8.ValidString(texts(first)) {
			t.Skip("JSON has no such text")
		}
		third, err := read(k, former(t, first), nil)
		if err != nil {
			t.Fatalf("%q: %+v cannot have been JSON: %v", k, first, err)
		}
		if diff := cmp.Diff(first, third, same); diff != "" {
			t.Fatalf("-binary +JSON:\n%s", diff)
		}
	})
}

// texts are those of a record.
func texts(r record) string {
	switch r := r.(type) {
	case *Distfile:
		return r.Owner + string(r.Kind) + r.Origin
	case *Recycled:
		return r.Owner + string(r.Kind) + r.Origin
	case *Deletion:
		return r.Owner
	case *Dropped:
		return r.Want + r.Refused
	case *Success:
		return r.Origin
	case *Failure:
		all := slices.Concat(r.Owners, r.Maintainers, []string{r.Want, r.Class, r.Reason, r.Hint, r.Owner, r.Asked})
		for _, a := range r.Answers {
			all = append(all, a.URL, a.Host, a.Class, a.Text)
		}
		return strings.Join(all, "")
	}
	return ""
}
