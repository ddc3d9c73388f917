package snapshot

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// bindMount mounts dir at the directory at until the test ends.
func bindMount(t *testing.T, dir, at string) {
	t.Helper()
	if err := unix.Mount(dir, at, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	// What is removed has a new name by then: unmount it by its inode.
	fd, err := unix.Open(at, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		path := "/proc/self/fd/" + strconv.Itoa(fd)
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
		unix.Close(fd)
	})
}
