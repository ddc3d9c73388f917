package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lockEnv makes the test program a run that takes the lock of the directory it
// names, says so, and holds it until its input ends.
const lockEnv = "DISTKEEP_TEST_LOCK"

func TestMain(m *testing.M) {
	var err error
	if dir := os.Getenv(lockEnv); dir != "" {
		err = holdLock(dir)
	} else {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func holdLock(dir string) error {
	held, err := Lock(dir, "distkeep test", time.Unix(0, 0))
	if err != nil {
		return err
	}
	fmt.Println("locked")
	os.Stdin.Read(make([]byte, 1))
	return held.Unlock()
}

// hold starts a process that holds the lock.
func hold(t *testing.T, state string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+state)
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	buf := make([]byte, 512)
	n, _ := out.Read(buf)
	if got := string(buf[:n]); got != "locked\n" {
		t.Fatalf("child says %q", got)
	}
	return cmd
}

func TestLock(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "new", "state")
	child := hold(t, state)
	_, err := Lock(state, "distkeep mirror", time.Now())
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("error = %v, want ErrLocked", err)
	}
	for _, want := range []string{filepath.Join(state, "lock"), "distkeep test", fmt.Sprint("pid ", child.Process.Pid), "since 1970-01-01T00:00:00Z"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if who, held, err := Holder(state); !strings.HasPrefix(who, "distkeep test, pid ") || !held || err != nil {
		t.Errorf("while it is held: %q, %v, %v", who, held, err)
	}
	// A killed run leaves its name, but not its lock.
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	if who, held, err := Holder(state); !strings.HasPrefix(who, "distkeep test, pid ") || held || err != nil {
		t.Errorf("after a kill: %q, %v, %v", who, held, err)
	}
	held, err := Lock(state, "distkeep mirror", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !held.Unsynced {
		t.Error("it is not noticed that the last holder was killed")
	}
	if _, err := Lock(state, "second", time.Now()); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "distkeep mirror") {
		t.Errorf("second in this process: %v", err)
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	if held, err = Lock(state, "third", time.Now()); err != nil || !held.Unsynced {
		t.Errorf("after a holder that made nothing durable: %+v, %v", held, err)
	}
	held.Unsynced = false
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(state, "lock")); err != nil || len(b) > 0 {
		t.Errorf("after unlock the file says %q, %v", b, err)
	}
	if who, held, err := Holder(state); who != "" || held || err != nil {
		t.Errorf("when nobody holds it: %q, %v, %v", who, held, err)
	}
	if who, held, err := Holder(t.TempDir()); who != "" || held || err != nil {
		t.Errorf("before anybody did: %q, %v, %v", who, held, err)
	}
	if held, err = Lock(state, "fourth", time.Now()); err != nil || held.Unsynced {
		t.Errorf("after one that did: %+v, %v", held, err)
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	if child = hold(t, state); child.Process.Signal(syscall.SIGKILL) != nil || child.Wait() == nil {
		t.Error("the child was not killed")
	}
}

// TestLockHolder: what the lock file says is bounded and may be nothing.
func TestLockHolder(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "long": strings.Repeat("x", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir()
			held, err := Lock(state, "first", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(state, "lock"), text)
			_, err = Lock(state, "second", time.Now())
			if !errors.Is(err, ErrLocked) || !strings.HasSuffix(err.Error(), "unknown") {
				t.Errorf("error = %.100v, want that the holder is unknown", err)
			}
			if err := held.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLockIsProbed: looking who holds the lock keeps nobody from it.
func TestLockIsProbed(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	held, err := Lock(state, "killed", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	held.Unsynced = true
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, _, err := Holder(state); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 200 {
		held, err := Lock(state, "mirror", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		held.Unsynced = true
		if err := held.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-stopped
}

func TestLockFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	if _, err := Lock(filepath.Join(dir, "file", "state"), "x", time.Now()); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("below a file: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "state", "lock"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(filepath.Join(dir, "state"), "x", time.Now()); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a directory as lock: %v", err)
	}
}
