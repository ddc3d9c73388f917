package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain is the process that TestKilled kills when the variable is set.
func TestMain(m *testing.M) {
	if at := os.Getenv("DISTKEEP_TEST_KILL"); at != "" {
		os.Exit(createAndDie(at))
	}
	os.Exit(m.Run())
}

// createAndDie makes a snapshot of distfiles in the working directory and kills
// itself at the n-th piece of a directory.
func createAndDie(at string) int {
	var n int
	if _, err := fmt.Sscan(at, &n); err != nil {
		return 2
	}
	d, err := Open("snapshots", func() time.Time { return time.Date(2026, 1, 2, 5, 0, 0, 0, time.UTC) })
	if err != nil {
		return 3
	}
	_, err = d.Create(context.Background(), "distfiles", CreateOptions{Room: hook(func(i int) {
		if i == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})})
	if err != nil {
		return 4
	}
	return 0
}

// TestKilled kills a process at each step of making a snapshot: nothing of it is
// seen, and the next command removes what is left.
func TestKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	w.publish("sub/b", "b")
	w.write("distinfo", "x\n", 0o644)
	one := w.create(CreateOptions{})
	tree, view := sums(t, w.tree), sums(t, w.view(one))
	kills, left := 0, 0
	for n := 1; ; n++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Dir, cmd.Env = filepath.Dir(w.tree), append(os.Environ(), fmt.Sprint("DISTKEEP_TEST_KILL=", n))
		err := cmd.Run()
		if err == nil {
			break
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("kill %d: %v", n, err)
		}
		kills++
		left += len(listDir(t, w.dir)) - 3
		if list, err := w.d.List(); err != nil || len(list) != 1 || list[0].Name != one.Name {
			t.Fatalf("kill %d: %v, %v", n, list, err)
		}
		if target, err := os.Readlink(filepath.Join(w.dir, "latest")); target != one.Name {
			t.Fatalf("kill %d: latest -> %q, %v", n, target, err)
		}
		if _, _, err := w.d.Prune(t.Context(), Policy{Last: 1}); err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		if diff := cmp.Diff([]string{one.Name, "latest", "lock"}, listDir(t, w.dir)); diff != "" {
			t.Fatalf("kill %d: left:\n%s", n, diff)
		}
	}
	if kills < 5 || left != kills {
		t.Errorf("%d kills have left %d hidden snapshots", kills, left)
	}
	if diff := cmp.Diff(tree, sums(t, w.tree)); diff != "" {
		t.Errorf("tree:\n%s", diff)
	}
	if diff := cmp.Diff(view, sums(t, w.view(one))); diff != "" {
		t.Errorf("snapshot:\n%s", diff)
	}
	if list, err := w.d.List(); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}
