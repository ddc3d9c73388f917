package fetch_test

import (
	"syscall"
	"testing"

	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// TestRsyncDiskFull: a disk that is full while the program writes to it is found
// out by a write of our own.
func TestRsyncDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	data := fetchtest.Content("f", 2<<20)
	for _, script := range []string{
		`cat /dev/zero >"$d"; exit 11`,                 // nothing is left for the copy
		`echo x >"$d"; cat /dev/zero >"$d.2"; exit 11`, // nor for a byte
	} {
		program, _ := fakeRsync(t, script)
		o := options(fakeURI)
		o.RsyncProgram = program
		checkClass(t, run(t, t.Context(), fetcher(t, o), want(t, dir, "f", data, fakeURI))["f"], failure.Disk, nil)
	}
}
