package generations

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/feed"
)

// numbered is the record of a content under a name of that number.
func numbered(n int) *ledger.Distfile {
	sums, _ := digest.NewSet(digest.SHA256.Sum(fmt.Append(nil, n)), digest.SHA512.Sum(fmt.Append(nil, n)))
	return &ledger.Distfile{
		Content: layout.Content{Name: catalog.Name(fmt.Sprint("f", n)), Digests: sums, Size: int64(n), Named: true, Kind: catalog.Gentoo},
		Owner:   "p::r", Added: archivetest.T0, Verified: archivetest.T0,
	}
}

// change records what change does as a run would.
func change(t *testing.T, v *vault.Vault, change func(b *ledger.Batch)) {
	t.Helper()
	var b ledger.Batch
	change(&b)
	v.Changed = true
	if err := v.Commit(&b); err != nil {
		t.Fatal(err)
	}
	if err := Publish(v); err != nil {
		t.Fatal(err)
	}
}

// TestPublish publishes more generations than there are between two full lists. What
// stays is enough for whoever has seen none of them, or one within reach, and bounded.
func TestPublish(t *testing.T) {
	t.Parallel()
	const last = 3*feed.FullEvery + 2
	box := archivetest.New(t)
	dir := filepath.Join(box.Distfiles, layout.GenerationsDir)
	box.Do(func(v *vault.Vault) {
		if err := v.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var near *feed.State
		for n := 1; n <= last; n++ {
			change(t, v, func(b *ledger.Batch) {
				b.PutDistfile(numbered(n))
				if n > 5 {
					b.DropDistfile(numbered(n - 5).Key())
				}
			})
			if n == 2*feed.FullEvery+1 {
				near = newest(t, v, nil)
			}
		}
		for _, have := range []*feed.State{nil, near} {
			s := newest(t, v, have)
			if s.Generation != last || len(s.List) != 5 || s.List[feed.Key(numbered(last).Key())] == nil {
				t.Errorf("generation %d has %v", s.Generation, s.List.Sorted())
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(entries); n > 2*feed.FullEvery+10 {
			t.Errorf("%d files are left", n)
		}
	})
}

// newest reads the newest generation.
func newest(t *testing.T, v *vault.Vault, have *feed.State) *feed.State {
	t.Helper()
	get := func(file string) ([]byte, error) { return read(v, file) }
	data, err := get(feed.LatestFile)
	if err != nil {
		t.Fatal(err)
	}
	latest, err := feed.ParseLatest(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := feed.Follow(latest, have, get)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNothingToTell writes nothing when nothing has changed, or when a record says
// only what no generation has.
func TestNothingToTell(t *testing.T) {
	t.Parallel()
	box := archivetest.New(t)
	publish := func(do func(v *vault.Vault)) int64 {
		var n int64
		box.Do(func(v *vault.Vault) {
			if err := v.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			do(v)
			if err := Publish(v); err != nil {
				t.Fatal(err)
			}
			if v.Index.Notes.Untold {
				t.Error("the ledger still has something to tell")
			}
			n = newest(t, v, nil).Generation
		})
		return n
	}
	verified := numbered(1)
	verified.Verified = archivetest.T0.Add(time.Hour)
	other := numbered(1)
	other.Owner = "q::r"
	put := func(d *ledger.Distfile, untold bool) func(v *vault.Vault) {
		return func(v *vault.Vault) {
			var b ledger.Batch
			b.PutDistfile(d)
			v.Changed = untold
			if err := v.Commit(&b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		what string
		do   func(v *vault.Vault)
		want int64
	}{
		{"an empty archive", func(*vault.Vault) {}, 1},
		{"a content", put(numbered(1), true), 2},
		{"nothing", func(*vault.Vault) {}, 2},
		{"a content that was read", put(verified, false), 2},
		{"another owner", put(other, false), 3},
	} {
		if n := publish(step.do); n != step.want {
			t.Errorf("after %s: generation %d, want %d", step.what, n, step.want)
		}
	}
}

// TestUnreadable leaves a feed alone that somebody has damaged, and says so: what
// would follow, downstreams could not tell from a rewritten history.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, file := range []string{feed.LatestFile, feed.File(1)} {
		box := archivetest.New(t)
		var warnings []string
		box.Events.Warn = func(msg string) { warnings = append(warnings, msg) }
		path := box.Path(layout.GenerationsDir, file)
		box.Do(func(v *vault.Vault) {
			if err := v.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			change(t, v, func(b *ledger.Batch) { b.PutDistfile(numbered(1)) })
			if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			change(t, v, func(b *ledger.Batch) { b.PutDistfile(numbered(2)) })
		})
		if data, err := os.ReadFile(path); err != nil || string(data) != "x" {
			t.Errorf("%s is %q now, %v", file, data, err)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "no generation is published") {
			t.Errorf("%s: %q", file, warnings)
		}
	}
}
