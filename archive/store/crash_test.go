package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/archive/store/storetest"
	"distkeep/catalog"
)

// A faulty file system keeps its trace.
type faulty struct {
	*storetest.Faulty
	trace *strings.Builder
}

// newFaulty returns one whose operation at fails with err.
func newFaulty(at int, err error) *faulty {
	var trace strings.Builder
	return &faulty{&storetest.Faulty{At: at, Err: err, Trace: &trace}, &trace}
}

// around is for Open.
func (f *faulty) around(under disk.FS) disk.FS {
	f.FS = under
	return f
}

// A run of the crash test: what a mirror does to a store, with a file in the
// place of the ledger.
type run struct {
	dir   string
	store *Store
}

// recorded reports whether an earlier pass has got beyond step.
func (r *run) recorded(step string) bool {
	b, _ := os.ReadFile(filepath.Join(r.dir, "recorded"))
	return slices.Contains(strings.Fields(string(b)), step)
}

func (r *run) record(step string) error {
	if err := r.store.StateRoom(0); err != nil { // as before each change of the ledger
		return err
	}
	f, err := os.OpenFile(filepath.Join(r.dir, "recorded"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, step)
	return errors.Join(err, f.Close())
}

// step does what has not been recorded as done.
func (r *run) step(name string, do func() error) error {
	if r.recorded(name) {
		return nil
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return r.record(name)
}

func (r *run) add(name string, cs ...stored) error {
	var items []*Item
	err := r.step(name, func() error {
		for _, c := range cs {
			it := &Item{Content: c.content(), Part: r.store.Parts.Path(c.name, "w")}
			src := filepath.Join(r.dir, "src")
			if err := os.WriteFile(src, []byte(c.data), 0o644); err != nil {
				return err
			}
			if _, _, err := importFrom(context.Background(), r.store, src, it.Part); err != nil {
				return err
			}
			items = append(items, it)
		}
		// In two batches, the second of which is synchronised with the first.
		half := len(items) / 2
		if err := errors.Join(r.store.Tree.Commit(items[:half], items[half:]), r.store.Tree.Commit(items[half:], nil)); err != nil {
			return err
		}
		for _, it := range items {
			if it.Err != nil {
				return it.Err
			}
		}
		return nil
	})
	return errors.Join(err, r.store.Parts.Release(items))
}

func (r *run) remove(name string, cs ...stored) error {
	err := r.step("recycle-"+name, func() error {
		for _, c := range cs {
			c := c.content()
			if err := r.recycle(&c, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = r.step("unpublish-"+name, func() error {
		for _, c := range cs {
			c := c.content()
			if err := r.store.Recycle.Unpublish(&c, none); err != nil {
				return err
			}
		}
		return r.store.SyncRemoved()
	})
	if err != nil {
		return err
	}
	// That it will be gone is recorded first: no record promises what is not.
	if err := r.step("purge-"+name, func() error { return nil }); err != nil {
		return err
	}
	return r.step("purged-"+name, func() error {
		for _, c := range cs {
			c := c.content()
			if err := r.store.Recycle.Purge(&c); err != nil {
				return err
			}
		}
		return r.store.SyncRemoved()
	})
}

// stored is a content of the crash test.
type stored struct {
	name catalog.Name
	data string
	kind catalog.Kind
}

func (c stored) content() layout.Content {
	k := content(c.name, c.data)
	k.Kind = c.kind
	return k
}

var (
	oldA = stored{"a", "a as it was", catalog.Gentoo}
	newA = stored{"a", "a as it is", catalog.Gentoo}
	oldB = stored{"sub/b", "b goes", catalog.OpenBSD}
	many = func() (cs []stored) {
		for i := range 2 * syncEachDir {
			cs = append(cs, stored{catalog.Name(fmt.Sprint("file", i)), fmt.Sprint("content ", i), catalog.Gentoo})
		}
		return cs
	}()
)

// pass takes the archive in dir from wherever it is to where it has to be. It ends
// with the first error.
func pass(dir string, f *faulty, each bool) error {
	hashed, err := layout.Parse("content-hash SHA512 8")
	if err != nil {
		return err
	}
	f.Each = each
	s, err := Open(filepath.Join(dir, "distfiles"), filepath.Join(dir, "state"), layout.Conf{layout.Flat(), hashed}, f.around)
	if err != nil {
		return err
	}
	defer s.Close()
	r := &run{dir, s}
	for _, do := range []func() error{
		func() error { _, err := s.Parts.Sweep(time.Now()); return err },
		func() error { return r.add("few", oldA, oldB) },
		func() error { return r.add("many", many...) },
		func() error { return r.view("view", many[:8]...) },
		func() error { return r.add("replace", newA) },
		func() error { return r.view("view-anew", many[4:64]...) },
		func() error { return r.step("withdraw", r.withdraw) },
		func() error { return r.remove("b", oldB) },
		func() error { return r.add("b-again", oldB) },
		func() error {
			return r.step("recycled-early", func() error {
				c := oldB.content()
				return r.recycle(&c, false)
			})
		},
		func() error { return r.add("b-anew", oldB) }, // another inode than the one in recycle
		func() error { return r.remove("b-anew", oldB) },
		func() error { return r.step("quarantine", r.quarantine) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// recycle puts a content into recycle, which must still be published if there says so.
func (r *run) recycle(c *layout.Content, there bool) error {
	missing, stuck, err := r.store.Recycle.Keep([]*layout.Content{c})
	if there && len(missing) > 0 {
		err = errors.Join(err, fmt.Errorf("%s is missing", c.Name))
	}
	return errors.Join(err, stuck[c])
}

func (r *run) withdraw() error {
	var rels []string
	for _, in := range []string{"linked/os/", "view/"} {
		rels = append(rels, in+string(many[0].name), in+string(many[1].name))
	}
	return errors.Join(r.store.Views.Withdraw(rels...), r.store.SyncRemoved())
}

func (r *run) quarantine() error {
	c := oldA.content()
	path := r.store.Path(c.CipherPaths()[0])
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		// The pass that was killed has left the directory at most.
		r.store.Prune(filepath.Dir(path))
		return r.store.SyncRemoved()
	} else if err != nil {
		return err
	}
	_, err = r.store.Quarantine.SetAside("changed", fi, []string{path})
	return errors.Join(err, r.store.SyncRemoved())
}

// check looks at an archive that a pass was killed in, or has finished: what is
// visible is whole, and what is recorded is there until its end is recorded.
func check(t *testing.T, dir string) {
	t.Helper()
	lives := []struct {
		stored
		from, to string
	}{{oldA, "few", "replace"}, {newA, "replace", ""}, {oldB, "few", "purge-b"}, {oldB, "b-again", "purge-b-anew"}}
	for _, c := range many {
		lives = append(lives, struct {
			stored
			from, to string
		}{c, "many", ""})
	}
	published, recycled := tree(t, filepath.Join(dir, "distfiles")), tree(t, filepath.Join(dir, "state", "recycle"))
	whole := make(map[string]bool)
	r := &run{dir: dir}
	for _, l := range lives {
		whole[l.data] = true
		c := l.content()
		line := c.SHA256().Hex() + "/" + l.name.Base() + "=" + l.data
		if r.recorded(l.from) && !r.recorded(l.to) && !strings.Contains(published, line) && !strings.Contains(recycled, line) {
			t.Errorf("%s is recorded and gone", l.name)
		}
	}
	whole["signature"], whole[checkView(t, dir)] = true, true
	for line := range strings.SplitSeq(published, "\n") {
		if data := line[strings.LastIndexByte(line, '=')+1:]; !strings.HasSuffix(line, "/") && line != "" && !whole[data] {
			t.Errorf("visible is %q", line)
		}
	}
}

// sweepVar is the environment variable with which a test comes by every operation,
// and not by a sample of them.
const sweepVar = "DISTKEEP_SWEEP"

// sweep calls f, in parallel, with the numbers of the operations to fail among n.
func sweep(t *testing.T, n int, f func(t *testing.T, k int)) {
	t.Helper()
	step := 1
	if os.Getenv(sweepVar) == "" {
		step = n/12 + 1
	}
	for k := 1; k <= n; k += step {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			t.Parallel()
			f(t, k)
		})
	}
}

// undisturbed makes a pass that nothing disturbs. It returns the number of its
// operations and what is published in the end.
func undisturbed(t *testing.T, each bool) (ops int, published string) {
	t.Helper()
	dir := t.TempDir()
	f := newFaulty(0, nil)
	if err := pass(dir, f, each); err != nil {
		t.Fatal(err)
	}
	check(t, dir)
	ordered(t, dir, f)
	if trace := f.trace.String(); !strings.Contains(trace, "\nfsync\t") {
		t.Error("a small batch was not synchronised file by file")
	} else if each && strings.Contains(trace, "\nsyncfs\n") {
		t.Error("syncfs was called where it is not known to work")
	}
	return f.N(), tree(t, filepath.Join(dir, "distfiles"))
}

// ordered checks that at no moment of the passes in dir, which fs have seen one
// after the other, a power failure could have done harm: what a killed one has
// linked is not durable because another one begins.
func ordered(t *testing.T, dir string, fs ...*faulty) {
	t.Helper()
	var trace strings.Builder
	for _, f := range fs {
		trace.WriteString(f.trace.String())
	}
	if n, err := storetest.CheckOrder(strings.NewReader(trace.String()), filepath.Join(dir, "state", "parts")); err != nil || n == 0 {
		t.Errorf("after %d ledger commits: %v", n, err)
	}
}

// disturbed makes a pass whose kth operation fails, and another one that goes on
// from there to where the archive has to be.
func disturbed(t *testing.T, k int, with error, each bool, want string) {
	dir := t.TempDir()
	f, next := newFaulty(k, with), newFaulty(0, nil)
	err := pass(dir, f, each)
	if with == storetest.ErrKilled && !errors.Is(err, storetest.ErrKilled) {
		t.Fatalf("error = %v, want that it was killed", err)
	}
	if err == nil && strings.HasPrefix(f.Failed(), "fsync") || err == nil && f.Failed() == "syncfs" {
		t.Errorf("%s failed, and nobody was told", f.Failed())
	}
	for _, made := range []string{"distfiles", "state/recycle"} { // perhaps not yet
		if err := os.MkdirAll(filepath.Join(dir, made), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	check(t, dir)
	if err := pass(dir, next, each); err != nil {
		t.Fatalf("the next pass: %v", err)
	}
	check(t, dir)
	ordered(t, dir, f, next)
	if got := tree(t, filepath.Join(dir, "distfiles")); got != want {
		t.Errorf("published tree is\n%s\nwant\n%s", got, want)
	}
}

// TestCrash kills a pass at each of its operations, and lets another pass go on.
func TestCrash(t *testing.T) {
	t.Parallel()
	for name, each := range map[string]bool{"file system": false, "file by file": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ops, want := undisturbed(t, each)
			t.Logf("%d operations", ops)
			sweep(t, ops, func(t *testing.T, k int) { disturbed(t, k, storetest.ErrKilled, each, want) })
		})
	}
}

// TestFaults lets each operation of a pass fail once. What has failed to become
// durable is not recorded, and the next pass makes everything good.
func TestFaults(t *testing.T) {
	t.Parallel()
	ops, want := undisturbed(t, false)
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EDQUOT, syscall.EMFILE} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			sweep(t, ops, func(t *testing.T, k int) { disturbed(t, k, errno, false, want) })
		})
	}
}
