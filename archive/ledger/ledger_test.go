package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func content(name, text string) Key {
	h := digest.NewHasher()
	h.Write([]byte(text))
	return Key{catalog.Name(name), h.Sum().Get(digest.SHA256)}
}

func sample(name, text string) *Distfile {
	h := digest.NewHasher(digest.BLAKE2B, digest.SHA512)
	h.Write([]byte(text))
	return &Distfile{
		Content: layout.Content{Name: catalog.Name(name), Size: int64(len(text)), Digests: h.Sum(), ModTime: t0.Add(123456789), Named: true, Kind: catalog.Gentoo},
		Owner:   "app-misc/a-1::gentoo", Origin: "https://h.example/a",
		Added: t0, Verified: t0.Add(time.Hour),
	}
}

func open(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var compare = cmp.Options{cmp.AllowUnexported(digest.Digest{}), cmp.Comparer(func(a, b layout.Layout) bool { return a == b })}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	l := open(t, dir)
	names := []string{"a%2Fb@v1.zip", "x?action=y&z=1.jar", "go_modules/g/@v/v1.zip", "a", "A", strings.Repeat("n", 255)}
	want := newState()
	var b Batch
	for _, n := range names {
		d := sample(n, "one of "+n)
		b.PutDistfile(d)
		re := sample(n, "two of "+n)
		re.Named = false
		b.PutDistfile(re)
		want.Distfiles = append(want.Distfiles, d, re)
		f := &Failure{Name: catalog.Name(n), Want: "0123456789abcdef", Class: "gone", Reason: "404", First: t0, Last: t0, Next: t0, Count: 2, Answers: []Answer{{URL: "https://h.example", Class: "gone", Text: "404"}}}
		b.PutFailure(f)
		want.Failures[f.Key()] = f
		x := &Deletion{d.Key(), t0, "o", 7, true}
		b.PutDeletion(x)
		want.Deletions[x.Key] = x
		y := &Recycled{*re, t0, true}
		b.PutRecycled(y)
		want.Recycled[re.Key()] = y
		p := &Dropped{catalog.Name(n), regular.ID{Dev: 1, Inode: 2, Size: 7, ModTime: 5, Changed: 6}, d.SHA256(), t0, "0123456789abcdef", "because"}
		b.PutDropped(p)
		want.Dropped[p.Name] = p
		b.PutSuccess(&Success{d.Key(), Deleted, t0, 7, OriginLocal})
	}
	slices.SortFunc(want.Distfiles, byKey)
	want.Notes = Notes{
		Clock: t0, Hold: t0.Add(time.Hour), Changed: true, Layouts: []layout.Layout{layout.Flat()},
		Begun:        []layout.Layout{layout.Flat()},
		Leaving:      map[layout.Layout]time.Time{layout.Flat(): t0},
		Change:       &layout.Change{From: layout.Conf{layout.Flat()}, To: layout.Conf{layout.Flat()}, Due: t0},
		Repositories: []catalog.RepoStats{{Name: "r", Distfiles: 7}},
		Views:        map[string]View{"core/core.db": {Repo: "core", Suffix: ".sig", Index: map[string]IndexFile{"core/core.db": {"aa", 7, t0}}}},
		Purging:      []Key{sample("purged", "bytes").Key()},
	}
	b.PutNotes(new(Notes), &want.Notes)
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	if b.Len() != 0 {
		t.Errorf("batch holds %d changes after Commit", b.Len())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = open(t, dir)
	defer l.Close()
	got, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, d := range want.Distfiles {
		k := d.Key()
		b.DropDistfile(k)
		b.DropDeletion(k)
		b.DropRecycled(k)
	}
	for k := range want.Failures {
		b.DropFailure(k)
	}
	for k := range want.Dropped {
		b.DropDropped(k)
	}
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	empty := newState()
	empty.Notes = want.Notes
	got, err = l.Load()
	if d := cmp.Diff(empty, got, compare); d != "" || err != nil {
		t.Errorf("after dropping everything: %v\n%s", err, d)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir()+"/l")
	defer l.Close()
	var b Batch
	for i := range 5 {
		b.PutRun(&Run{t0.Add(time.Duration(i) * time.Hour), fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	runs, err := l.Runs(2)
	if err != nil || len(runs) != 2 || !bytes.Equal(runs[0].Summary, []byte(`{"n":4}`)) || !runs[1].Start.Equal(t0.Add(3*time.Hour)) {
		t.Errorf("Runs(2) = %s, %v", runs, err)
	}
}

func TestDropOldRuns(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir()+"/l")
	defer l.Close()
	var b Batch
	for i := range 5 {
		b.PutRun(&Run{t0.Add(time.Duration(i) * 30 * 24 * time.Hour), []byte("{}")})
	}
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.DropOldRuns(&b, t0.Add(keepRuns+time.Second)), l.Commit(&b, nil)); err != nil {
		t.Fatal(err)
	}
	runs, err := l.Runs(10)
	if err != nil || len(runs) != 4 || !runs[3].Start.Equal(t0.Add(30*24*time.Hour)) {
		t.Errorf("%d runs are left, %v; want 4, the first dropped", len(runs), err)
	}
}

func TestBatchLargerThanATransaction(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir()+"/l")
	defer l.Close()
	var b Batch
	const n = 3*perTxn + 1
	for i := range n {
		// Names as long as they get: the bytes of a transaction count, too.
		b.PutDistfile(sample(fmt.Sprintf("%0255d", i), fmt.Sprint(i)))
	}
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	s, err := l.Load()
	if err != nil || len(s.Distfiles) != n {
		t.Errorf("%d records, %v; want %d", len(s.Distfiles), err, n)
	}
}

func TestSecondOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/l"
	l := open(t, dir)
	defer l.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, errLocked) {
		t.Errorf("second Open: %v, want errLocked", err)
	}
}

// TestNewerRecord: a record of a later version is an error, not a guess.
func TestNewerRecord(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir()+"/l")
	defer l.Close()
	k := contentKey(prefixDistfile, content("a", "a"))
	if err := l.Commit(&Batch{ops: []op{{key: k, value: []byte("\x02{}")}}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(); !errors.Is(err, errRecord) || !strings.Contains(err.Error(), "d/a/") {
		t.Errorf("Load = %v, want an error that names the record", err)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(dir string) error{
		"garbage manifest": func(dir string) error { return os.WriteFile(dir+"/MANIFEST", []byte("garbage"), 0o644) },
		"empty manifest":   func(dir string) error { return os.Truncate(dir+"/MANIFEST", 0) },
		"garbage tables": func(dir string) error {
			tables, _ := filepath.Glob(dir + "/*.sst")
			if len(tables) == 0 {
				return errors.New("no tables to damage")
			}
			for _, f := range tables {
				if err := os.WriteFile(f, bytes.Repeat([]byte("x"), 4096), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		"lost table": func(dir string) error {
			tables, _ := filepath.Glob(dir + "/*.sst")
			return os.Remove(tables[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir() + "/l"
			l := open(t, dir)
			var b Batch
			b.PutDistfile(sample("a", "a"))
			if err := errors.Join(l.Commit(&b, nil), l.Close(), damage(dir)); err != nil {
				t.Fatal(err)
			}
			l, err := Open(dir, Options{})
			if err == nil {
				defer l.Close()
				_, err = l.Load()
			}
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("error = %v, want ErrDamaged", err)
			}
		})
	}
}

const childDir = "DISTKEEP_LEDGER_TEST_DIR"

// TestEmptyLogs has what badger leaves when it is killed between the creation of
// a log and its first byte.
func TestEmptyLogs(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"00001.mem", "00009.mem", "000000.vlog", "000009.vlog"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "ledger")
			l := open(t, dir)
			var b Batch
			d := sample("a", "content")
			b.PutDistfile(d)
			if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			l = open(t, dir)
			s, err := l.Load()
			if err != nil || s.Distfiles.Get(d.Key()) == nil {
				t.Errorf("record is lost, %v", err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "ledger")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00001.mem"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Close(); err != nil { // the very first one was killed
		t.Error(err)
	}
}

// TestManifestGone has a ledger whose MANIFEST is gone: nothing of it is changed,
// whatever else is left of it, and with nothing left it is a new ledger.
func TestManifestGone(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"SEAL", "*.sst", "*.vlog", "*"} {
		t.Run("without "+gone, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "ledger")
			l := open(t, dir)
			var b Batch
			b.PutDistfile(sample("a", "content"))
			if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
				t.Fatal(err)
			}
			others, err := filepath.Glob(filepath.Join(dir, gone))
			if err != nil || len(others) == 0 {
				t.Fatalf("no %s: %v", gone, err)
			}
			for _, f := range append(others, filepath.Join(dir, manifestName)) {
				if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			if gone == "*" {
				// What is left of a process that was killed over the first MANIFEST.
				if err := os.WriteFile(filepath.Join(dir, "MANIFEST-REWRITE"), []byte("Bdgr"), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := open(t, dir).Close(); err != nil {
					t.Error(err)
				}
				return
			}
			before := listing(t, dir)
			if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) {
				t.Errorf("error = %v, want ErrDamaged", err)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Errorf("the directory was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func listing(t *testing.T, dir string) (lines []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		fi, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(f.Name(), fi.Size(), fi.ModTime()))
	}
	return lines
}

// TestTableReplaced has what a killed process may leave: the number of a table of
// the seal belongs to another one, as the MANIFEST says.
func TestTableReplaced(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	l := open(t, dir)
	var b Batch
	d := sample("a", "content")
	b.PutDistfile(d)
	if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
		t.Fatal(err)
	}
	seal, err := os.ReadFile(filepath.Join(dir, sealName))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // other tables, and an old seal that names one of them
		l = open(t, dir)
		b.PutDistfile(sample("b", "other"))
		if err := errors.Join(l.Commit(&b, nil), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	seal = append(seal, fmt.Sprintf("%s %s\n", strings.Repeat("0", 64), filepath.Base(tables[0]))...)
	if err := os.WriteFile(filepath.Join(dir, sealName), seal, 0o644); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	if s, err := l.Load(); err != nil || s.Distfiles.Get(d.Key()) == nil {
		t.Errorf("record is lost, %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestKill: what Commit returned for is there after SIGKILL.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		l := open(t, dir)
		var b Batch
		for i := range 1000 {
			b.PutDistfile(sample(fmt.Sprint("f", i), fmt.Sprint(i)))
		}
		if err := l.Commit(&b, nil); err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		p.Kill()
		select {}
	}
	t.Parallel()
	dir := t.TempDir() + "/l"
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("child: %v\n%s", err, out)
	}
	l := open(t, dir)
	defer l.Close()
	s, err := l.Load()
	if err != nil || len(s.Distfiles) != 1000 {
		t.Errorf("%d records, %v; want 1000", len(s.Distfiles), err)
	}
}

// TestOpenCompressed: former programs had badger compress its tables.
func TestOpenCompressed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/l"
	db, err := badger.Open(badgerOptions(dir, new(badgerLog)).WithCompression(options.Snappy).WithBlockCacheSize(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	former := &Ledger{dir: dir, db: db, seal: new(seal)}
	var b Batch
	for i := range 1000 {
		b.PutDistfile(sample(fmt.Sprint(i), fmt.Sprint(i)))
	}
	if err := errors.Join(former.Commit(&b, nil), db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from a table of this program
		l := open(t, dir)
		s, err := l.loadAll()
		b.PutDistfile(sample("0", "0"))
		if err := errors.Join(err, l.Commit(&b, nil), l.Close()); err != nil || len(s.Distfiles) != 1000 {
			t.Fatalf("%d records, %v", len(s.Distfiles), err)
		}
	}
}
