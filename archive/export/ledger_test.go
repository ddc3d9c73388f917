package export_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/archivetest"
	"distkeep/archive/export"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// TestExportLedger: an export brings a lost ledger back with everything.
func TestExportLedger(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a.tgz", catalog.Gentoo, true, "a")
	b.Put("b.tgz", catalog.OpenBSD, false, "b")
	want := b.Records()
	var text bytes.Buffer
	b.Do(func(a *vault.Vault) {
		if err := export.Ledger(a, &text); err != nil {
			t.Fatal(err)
		}
		if _, err := export.ImportLedger(t.Context(), a, "x", bytes.NewReader(text.Bytes())); err == nil || vault.Broken(err) {
			t.Errorf("import into a ledger with records: %v", err)
		}
	})
	if err := os.RemoveAll(filepath.Join(b.State, "ledger")); err != nil {
		t.Fatal(err)
	}
	b.Do(func(a *vault.Vault) {
		if _, err := export.ImportLedger(t.Context(), a, "x", &text); err != nil {
			t.Fatal(err)
		}
	})
	if d := cmp.Diff(want, b.Records()); d != "" || len(want) != 2 {
		t.Errorf("-before +imported:\n%s", d)
	}
}

// TestExportLedgerFile: what is no regular file is written to, and what a link
// leads to is replaced.
func TestExportLedgerFile(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a", catalog.Gentoo, true, "content")
	var want bytes.Buffer
	b.Do(func(a *vault.Vault) {
		if err := export.Ledger(a, &want); err != nil {
			t.Fatal(err)
		}
	})
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	exportTo := func(name string) error {
		var err error
		b.Do(func(a *vault.Vault) { err = export.LedgerFile(a, at(name)) })
		return err
	}
	if err := errors.Join(os.WriteFile(at("file"), []byte("old"), 0o644), os.Symlink("file", at("link")), os.Symlink("nothing", at("dangling")),
		syscall.Mkfifo(at("fifo"), 0o644), os.Symlink("fifo", at("link-to-fifo"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new", "file", "link"} {
		if err := exportTo(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(at(name)); err != nil || string(text) != want.String() {
			t.Errorf("%s has %q, %v", name, text, err)
		}
	}
	read := make(chan string)
	go func() {
		text, err := os.ReadFile(at("fifo"))
		read <- fmt.Sprint(string(text), err)
	}()
	if err := exportTo("link-to-fifo"); err != nil {
		t.Fatal(err)
	}
	// The reader waits for a writer: without one, none will come.
	w, err := os.OpenFile(at("fifo"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != want.String()+"<nil>" {
		t.Errorf("the pipe got %q", got)
	}
	if err := exportTo("dangling"); err == nil || vault.Broken(err) {
		t.Errorf("a link to nothing: %v", err)
	}
	for name, mode := range map[string]os.FileMode{"file": 0, "link": os.ModeSymlink, "dangling": os.ModeSymlink, "fifo": os.ModeNamedPipe, "link-to-fifo": os.ModeSymlink} {
		if fi, err := os.Lstat(at(name)); err != nil || fi.Mode().Type() != mode {
			t.Errorf("%s has become %v, %v", name, fi.Mode(), err)
		}
	}
	if runtime.GOOS != "linux" {
		return // the device has another number
	}
	// A device such as /dev/null, in a directory where it can do no harm.
	if err := syscall.Mknod(at("null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Skipf("no right to make a device: %v", err)
	}
	if err := exportTo("null"); err != nil && !errors.Is(err, os.ErrPermission) { // mounted with nodev
		t.Error(err)
	}
	if fi, err := os.Lstat(at("null")); err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("the device has become %v, %v", fi.Mode(), err)
	}
}
