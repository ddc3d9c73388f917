package report

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"distkeep/catalog/digest"
)

// same fails unless the line of a record is that of encoding/json.
func same[T any](t *testing.T, record *T) {
	t.Helper()
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	werr := e.Encode(record)
	got, err := AppendLine([]byte("before"), record)
	if (err != nil) != (werr != nil) {
		t.Fatalf("error %v, want %v", err, werr)
	}
	if err == nil && string(got) != "before"+want.String() {
		t.Errorf("got  %s\nwant before%s", got, want.String())
	}
}

// TestAppendLine: a line is what encoding/json makes of it, with each of the fields
// alone, so that none can be added to the struct only.
func TestAppendLine(t *testing.T) {
	t.Parallel()
	eachField(t, func(d *Distfile) { same(t, d) })
	eachField(t, func(f *Failure) { same(t, f) })
	eachField(t, func(a *Answer) { same(t, &Failure{Answers: []Answer{{}, *a}}) })
	eachField(t, func(d *Deletion) { same(t, d) })
}

// TestContent: the line of a content is that of the distfile with its digests spelled.
func TestContent(t *testing.T) {
	t.Parallel()
	d := Distfile{Name: "a", Size: 1, Added: day, Verified: day, Recycled: true}
	for _, algs := range [][]digest.Algorithm{nil, {digest.BLAKE2B, digest.SHA512}, {digest.SHA1, digest.SHA512, digest.MD5, digest.BLAKE2B}} {
		h := digest.NewHasher(algs...)
		c, spelled := Content{d, h.Sum()}, d
		spelled.SHA256, spelled.Digests = c.Sums.Get(digest.SHA256).Hex(), make(map[string]string)
		for _, sum := range c.Sums {
			if sum.Alg != digest.SHA256 {
				spelled.Digests[sum.Alg.String()] = sum.Hex()
			}
		}
		got, err := AppendLine(nil, &c)
		want, werr := AppendLine(nil, &spelled)
		if err != nil || werr != nil || string(got) != string(want) || len(spelled.Digests) != len(algs) {
			t.Errorf("%s, %v\nwant %s, %v", got, err, want, werr)
		}
	}
}

// eachField calls f with records of which one field is not zero.
func eachField[T any](t *testing.T, f func(*T)) {
	t.Helper()
	f(new(T))
	zone := time.FixedZone("", 2*3600+30*60)
	values := map[reflect.Type][]any{
		reflect.TypeFor[string]():   {"a-1.0.tar.xz", "", `"\`, "a<b>&c", "ä\u2028\u2029", "\x00\x1f\x7f\t\n\b", "\xff\xc3", "🙂"},
		reflect.TypeFor[[]string](): {[]string{}, []string{""}, []string{"a", `"`, "ä"}},
		reflect.TypeFor[int]():      {7, -1},
		reflect.TypeFor[int64]():    {int64(7), int64(-1), int64(1) << 62},
		reflect.TypeFor[bool]():     {true},
		reflect.TypeFor[time.Time](): {
			day, day.Add(123456789), day.Add(120), day.In(zone), time.Unix(0, 0).UTC(),
			time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), day.In(time.FixedZone("", 24*3600)),
		},
		reflect.TypeFor[map[string]string](): {
			map[string]string{}, map[string]string{"SHA512": "ff", "BLAKE2B": "0a", "MD5": "", `"`: "ä"},
		},
		reflect.TypeFor[[]Answer](): {[]Answer{}, []Answer{{}}, []Answer{{URL: "a"}, {Host: "b"}}},
	}
	for i := range reflect.TypeFor[T]().NumField() {
		field := reflect.TypeFor[T]().Field(i)
		if len(values[field.Type]) == 0 {
			t.Errorf("%s is of a type of which nothing is tried", field.Name)
		}
		for _, v := range values[field.Type] {
			record := new(T)
			reflect.ValueOf(record).Elem().Field(i).Set(reflect.ValueOf(v))
			f(record)
		}
	}
}

func FuzzAppendFailure(f *testing.F) {
	f.Add("a", "gone", "c/p::r", int64(1), int64(0), 0, true)
	f.Add("\xff", "<", "", int64(-1), int64(1)<<60, 86400, false)
	f.Fuzz(func(t *testing.T, name, text, owner string, n, secs int64, zone int, fresh bool) {
		at := time.Unix(secs, n)
		same(t, &Failure{
			Name: name, Class: text, Reason: text, Hint: owner, Owner: owner, Owners: []string{owner, name}, Maintainers: []string{text}, Size: n, New: fresh,
			First: at, Last: at.UTC(), Next: at.In(time.FixedZone("", zone)), Count: zone, Answers: []Answer{{URL: text, Host: name, Class: owner}, {Text: text}},
		})
	})
}

func FuzzAppendDistfile(f *testing.F) {
	f.Add("a", "0a", int64(1), "SHA512", "ff", "c/p::r", int64(0), int64(1), 0, true, false)
	f.Add("\xff", "<", int64(-1), "", "", "", int64(1)<<60, int64(-1)<<60, 86400, false, true)
	f.Fuzz(func(t *testing.T, name, sum string, size int64, alg, hex, owner string, secs, nanos int64, zone int, named, recycled bool) {
		at := time.Unix(secs, nanos)
		d := &Distfile{
			Name: name, SHA256: sum, Size: size, Modified: at, Named: named, Owner: owner, Kind: alg, Origin: hex,
			Added: at.UTC(), Verified: at.In(time.FixedZone("", zone)), Recycled: recycled, Undone: time.Unix(nanos, 0),
		}
		if alg != "" {
			d.Digests = map[string]string{alg: hex, "BLAKE2B": sum}
		}
		same(t, d)
	})
}

// BenchmarkDistfiles encodes what an archive of 60,000 exports, beside what
// encoding/json takes for it. Two virtual cores, with much other work on them: 42 ms and 1
// KiB, 220 ms and 19 MiB.
func BenchmarkDistfiles(b *testing.B) {
	d := &Distfile{
		Name: "package00001-part0-1.0.tar.xz", SHA256: strings.Repeat("0a", 32), Size: 1 << 20, Modified: day.Add(123456789), Named: true,
		Owner: "app-c001/package00001-1.0::generated", Kind: "gentoo", Origin: "http://127.0.0.1:8080/pub/package00001-part0-1.0.tar.xz", Added: day, Verified: day,
		Digests: map[string]string{"BLAKE2B": strings.Repeat("0b", 64), "SHA512": strings.Repeat("0c", 64)},
	}
	for name, write := range map[string]func(io.Writer) error{
		"append": func(w io.Writer) error {
			var line []byte
			var err error
			for range 60000 {
				if line, err = AppendLine(line[:0], d); err != nil {
					return err
				}
				if _, err := w.Write(line); err != nil {
					return err
				}
			}
			return nil
		},
		"json": func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetEscapeHTML(false)
			for range 60000 {
				if err := e.Encode(d); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
