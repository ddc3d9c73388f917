package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/store/storetest"
	"distkeep/catalog"
)

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
	Trace("ledger-commit")
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
			it := &Item{Content: c.content(), Part: r.store.PartPath(c.name, "w")}
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
		if err := errors.Join(r.store.Commit(items[:half], items[half:]), r.store.Commit(items[half:], nil)); err != nil {
			return err
		}
		for _, it := range items {
			if it.Err != nil {
				return it.Err
			}
		}
		return nil
	})
	return errors.Join(err, r.store.Release(items))
}

func (r *run) remove(name string, cs ...stored) error {
	err := r.step("recycle-"+name, func() error {
		for _, c := range cs {
			c := c.content()
			if missing, _, err := r.store.Recycle([]*layout.Content{&c}); err != nil || len(missing) > 0 {
				return fmt.Errorf("%d missing: %w", len(missing), err)
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
			if err := r.store.Unpublish(&c, none); err != nil {
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
			if err := r.store.Purge(&c); err != nil {
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

// pass takes the archive in dir from wherever it is to where it has to be.
func pass(dir string) error {
	hashed, err := layout.Parse("content-hash SHA512 8")
	if err != nil {
		return err
	}
	s, err := Open(filepath.Join(dir, "distfiles"), filepath.Join(dir, "state"), layout.Conf{layout.Flat(), hashed})
	if err != nil {
		return err
	}
	defer s.Close()
	r := &run{dir, s}
	if _, err := s.SweepParts(time.Now()); err != nil {
		return err
	}
	return errors.Join(
		r.add("few", oldA, oldB),
		r.add("many", many...),
		r.view("view", many[:8]...),
		r.add("replace", newA),
		r.view("view-anew", many[4:64]...),
		r.step("withdraw", func() error {
			return errors.Join(s.Withdraw("view/"+string(many[0].name), "view/"+string(many[1].name)), s.SyncRemoved())
		}),
		r.remove("b", oldB),
		r.add("b-again", oldB),
		r.step("recycled-early", func() error {
			c := oldB.content()
			_, _, err := s.Recycle([]*layout.Content{&c})
			return err
		}),
		r.add("b-anew", oldB), // another inode than the one in recycle
		r.remove("b-anew", oldB),
		r.step("quarantine", func() error {
			c := oldA.content()
			path := s.Path(c.CipherPaths()[0])
			fi, err := os.Lstat(path)
			if errors.Is(err, fs.ErrNotExist) {
				// The pass that was killed has left the directory at most.
				s.Prune(filepath.Dir(path))
				return s.SyncRemoved()
			} else if err != nil {
				return err
			}
			_, err = s.SetAside("changed", fi, []string{path})
			return errors.Join(err, s.SyncRemoved())
		}),
	)
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

// TestFailpointNames: the list is what the crash tests go by.
func TestFailpointNames(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source", err)
	}
	var called []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Failpoint\("([^"]*)"\)`).FindAllSubmatch(text, -1) {
			called = append(called, string(m[1]))
		}
	}
	slices.Sort(called)
	if want := slices.Sorted(slices.Values(Failpoints)); !slices.Equal(called, want) {
		t.Errorf("called are %q, listed %q", called, want)
	}
}

// TestCrash kills a pass at every failpoint, at its first, second, fourth …
// time, and lets another pass go on.
func TestCrash(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds this test once more")
	}
	prog := filepath.Join(t.TempDir(), "store.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "failpoint", "-o", prog, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	passIn := func(dir string, env ...string) error {
		cmd := exec.Command(prog)
		cmd.Env = slices.Concat(os.Environ(), []string{runEnv + "=" + dir, "DISTKEEP_TRACE=" + filepath.Join(dir, "trace")}, env)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
		}
		return err
	}
	// One trace for all passes in a directory: what a killed one has linked
	// is not durable because another one begins.
	ordered := func(t *testing.T, dir string) (trace string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, "trace"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := storetest.CheckOrder(bytes.NewReader(b), filepath.Join(dir, "state", "parts")); err != nil || n == 0 {
			t.Errorf("after %d ledger commits: %v", n, err)
		}
		return string(b)
	}
	undisturbed := t.TempDir()
	if err := passIn(undisturbed); err != nil {
		t.Fatal(err)
	}
	check(t, undisturbed)
	want := tree(t, filepath.Join(undisturbed, "distfiles"))
	if trace := ordered(t, undisturbed); !strings.Contains(trace, "\nfsync\t") {
		t.Error("a small batch was not synchronised file by file")
	}
	each := t.TempDir()
	if err := passIn(each, "DISTKEEP_SYNC_EACH=1"); err != nil {
		t.Fatal(err)
	}
	if trace := ordered(t, each); strings.Contains(trace, "\nsyncfs\n") {
		t.Error("syncfs was called where it is not known to work")
	}

	for _, name := range Failpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n *= 2 {
				dir := t.TempDir()
				err := passIn(dir, fmt.Sprint("DISTKEEP_FAILPOINT=", name, ":", n))
				if err == nil && n > 1 {
					return // not reached as often as that
				}
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("time %d: not killed: %v", n, err)
				}
				check(t, dir)
				if err := passIn(dir); err != nil {
					t.Fatalf("time %d: the next pass: %v", n, err)
				}
				check(t, dir)
				ordered(t, dir)
				if got := tree(t, filepath.Join(dir, "distfiles")); got != want {
					t.Errorf("time %d: published tree is\n%s\nwant\n%s", n, got, want)
				}
				if t.Failed() {
					t.Fatalf("time %d", n)
				}
			}
		})
	}
}
