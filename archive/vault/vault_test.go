package vault_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store/storetest"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// traced makes b trace what it does on disk from now on, each file and directory
// synchronised by itself. at, if it is not 0, is the operation that fails with err.
func traced(b *archivetest.Box, at int, err error) *strings.Builder {
	trace := new(strings.Builder)
	b.Around = func(f disk.FS) disk.FS {
		return &storetest.Faulty{FS: f, Trace: trace, Each: true, At: at, Err: err}
	}
	return trace
}

// load opens b and reads what it has.
func load(t *testing.T, b *archivetest.Box, f func(v *vault.Vault)) {
	t.Helper()
	b.Do(func(v *vault.Vault) {
		if err := v.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		f(v)
	})
}

// recycle moves all that b holds to recycle.
func recycle(t *testing.T, b *archivetest.Box) {
	t.Helper()
	load(t, b, func(v *vault.Vault) {
		var ds []*ledger.Distfile
		for _, d := range v.Index.Distfiles {
			ds = append(ds, d)
		}
		gone, stay, err := v.Recycle.Put(ds)
		if err != nil || len(gone) != len(ds) || stay != nil {
			t.Fatal(gone, stay, err)
		}
	})
}

// What the ledger says must be true after a power failure: links are durable before
// they are recorded, and so are removals.
func TestDurableBeforeRecorded(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	trace := traced(b, 0, nil)
	b.Put("n", catalog.Gentoo, true, "bytes")
	recycle(t, b)
	load(t, b, func(v *vault.Vault) {
		var rs []*ledger.Recycled
		for _, r := range v.Index.Recycled {
			if r.Pending {
				t.Errorf("%s: still pending", r.Name)
			}
			rs = append(rs, r)
		}
		if err := v.Recycle.Purge(rs); err != nil || len(v.Index.Recycled) > 0 {
			t.Fatal(err, v.Index.Recycled)
		}
	})
	pending := make(map[string]string) // operations by the directory that they have changed
	links, removals, commits := 0, 0, 0
	for line := range strings.Lines(trace.String()) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		path := f[len(f)-1]
		switch f[0] {
		case "link", "rename":
			links++
			pending[filepath.Dir(path)] = line
		case "unlink":
			removals++
			if !strings.HasSuffix(path, ".part") { // nobody relies on what Release removes
				pending[filepath.Dir(path)] = line
			}
		case "rmdir":
			delete(pending, path)
			pending[filepath.Dir(path)] = line
		case "fsync-dir":
			delete(pending, path)
		case "ledger-commit":
			commits++
			for _, op := range pending {
				t.Errorf("recorded before this is durable: %s", op)
			}
			clear(pending)
		}
	}
	if links < 3 || removals < 3 || commits < 4 {
		t.Errorf("%d links, %d removals, %d commits: the test has seen too little\n%s", links, removals, commits, trace)
	}
}

// When the k-th operation fails because the disk is full, nothing is recorded that
// is not there, and what is there can be read.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for k := 1; ; k++ {
		b := archivetest.New(t)
		b.Put("kept", catalog.Gentoo, true, "kept")
		part := filepath.Join(b.State, "parts", "x.part")
		if err := os.WriteFile(part, []byte("bytes"), 0o644); err != nil {
			t.Fatal(err)
		}
		whole := b.Put("other", catalog.Gentoo, true, "other")
		traced(b, k, syscall.ENOSPC)
		err := drain(t, b)
		b.Around = nil
		load(t, b, func(v *vault.Vault) {
			for _, d := range v.Index.Distfiles {
				if text, rerr := os.ReadFile(v.Store.Path(d.CipherPaths()[0])); rerr != nil || string(text) != string(d.Name) {
					t.Errorf("operation %d: %s is recorded, and has %q, %v", k, d.Name, text, rerr)
				}
			}
			if v.Index.Distfiles.Get(whole) == nil && v.Index.Recycled[whole] == nil {
				t.Errorf("operation %d: other is neither held nor in recycle", k)
			}
		})
		if err == nil {
			if k < 5 {
				t.Errorf("only %d operations", k)
			}
			return
		}
		if !vault.Broken(err) {
			t.Errorf("operation %d: %v is not known to be trouble of the archive", k, err)
		}
	}
}

// drain recycles what b holds, as far as it comes.
func drain(t *testing.T, b *archivetest.Box) error {
	t.Helper()
	v, err := vault.Open(b.Options)
	if err != nil {
		return err
	}
	if err = v.Load(t.Context()); err == nil {
		var ds []*ledger.Distfile
		for _, d := range v.Index.Distfiles {
			ds = append(ds, d)
		}
		var stay []*vault.FileError
		if _, stay, err = v.Recycle.Put(ds); err == nil && len(stay) > 0 {
			err = stay[0]
		}
	}
	return errors.Join(err, v.Close())
}

// What was moved to recycle and killed before its links were gone is ended by Mend.
func TestMend(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	key := b.Put("n", catalog.Gentoo, true, "bytes")
	load(t, b, func(v *vault.Vault) {
		d := v.Index.Distfiles.Get(key)
		if _, _, err := v.Store.Recycle.Keep([]*layout.Content{&d.Content}); err != nil {
			t.Fatal(err)
		}
		var batch ledger.Batch
		batch.DropDistfile(key)
		batch.PutRecycled(&ledger.Recycled{Distfile: *d, Since: v.Now, Pending: true})
		if err := v.Commit(&batch); err != nil {
			t.Fatal(err)
		}
	})
	load(t, b, func(v *vault.Vault) {
		if pending, err := v.Recycle.Mend(); err != nil || pending != nil {
			t.Fatal(pending, err)
		}
		if r := v.Index.Recycled[key]; r == nil || r.Pending {
			t.Errorf("record in recycle: %+v", r)
		}
	})
	if _, err := os.Lstat(b.Path("n")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("n is still published: %v", err)
	}
}

// Two contents of one name in one call: the later one keeps the name, and the
// earlier one stays below by_cipher.
func TestPublishTwice(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	first, second := b.Put("n", catalog.Gentoo, true, "first"), b.Put("n", catalog.Gentoo, true, "second")
	b.At(archivetest.T0.Add(time.Hour))
	load(t, b, func(v *vault.Vault) {
		var adds []*vault.Addition
		for _, k := range []ledger.Key{second, first} {
			a := &vault.Addition{Entry: *v.Index.Distfiles.Get(k)}
			a.Entry.Named = true
			adds = append(adds, a)
		}
		if err := v.Publish(adds, nil); err != nil {
			t.Fatal(err)
		}
		for i, a := range adds {
			if !a.Done || a.Err != nil {
				t.Errorf("%d: done %v, %v", i, a.Done, a.Err)
			}
		}
		if d := v.Index.Named("n"); d == nil || d.Key() != first {
			t.Errorf("the name has %v", d)
		}
		for _, k := range []ledger.Key{first, second} {
			if _, err := os.Lstat(v.Store.Path(v.Index.Distfiles.Get(k).CipherPaths()[0])); err != nil {
				t.Error(err)
			}
		}
	})
	if text, err := os.ReadFile(b.Path("n")); fmt.Sprint(string(text), err) != "first<nil>" {
		t.Errorf("n has %q, %v", text, err)
	}
}
