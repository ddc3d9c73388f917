package certificate

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSumMounts: what is mounted over a directory counts, be it of another device or a
// part of the same, with the same names.
func TestSumMounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, source, kind string
		flags              uintptr
	}{{"another device", "tmpfs", "tmpfs", 0}, {"the same device", "copy", "", unix.MS_BIND}} {
		g := newGarden(t)
		g.must(os.MkdirAll(g.path("copy"), 0o755), os.WriteFile(g.path("copy/c"), []byte("d/e/c"), 0o644))
		source := c.source
		if c.flags != 0 {
			source = g.path(source)
		}
		before := g.sum(g.place())
		if err := unix.Mount(source, g.path("d/e"), c.kind, c.flags, ""); err != nil {
			t.Skipf("needs the right to mount: %v", err)
		}
		during := g.sum(g.place())
		g.must(unix.Unmount(g.path("d/e"), unix.MNT_DETACH))
		if during == before {
			t.Errorf("%s: it is not seen", c.name)
		}
		if g.sum(g.place()) != before {
			t.Errorf("%s: it is seen when it has gone", c.name)
		}
	}
}
