package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestOwnerOfThreads: every thread of the process is that of the owner, those that
// were there before and those that come, and none can go back.
func TestOwnerOfThreads(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	if os.Getenv("DISTKEEP_TEST_THREADS") == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestOwnerOfThreads$", "-test.v")
		cmd.Env = append(os.Environ(), "DISTKEEP_TEST_THREADS=yes", "TMPDIR="+t.TempDir())
		// Its status is of no use: it may not remove what it made as root.
		if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), "--- PASS: ") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var threads sync.WaitGroup
	stop := make(chan struct{})
	hold := func() {
		for range 8 {
			started := make(chan struct{})
			threads.Go(func() {
				runtime.LockOSThread()
				close(started)
				<-stop
			})
			<-started
		}
	}
	hold()
	if err := become(&syscall.Stat_t{Uid: 12345, Gid: 12346}); err != nil {
		t.Fatal(err)
	}
	hold()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) < 16 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range []string{"\nUid:\t12345\t12345\t12345\t12345\n", "\nGid:\t12346\t12346\t12346\t12346\n", "\nGroups:\t \n", "\nCapEff:\t0000000000000000\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", f, want, text)
			}
		}
	}
	if syscall.Setuid(0) == nil {
		t.Error("it is root again")
	}
	close(stop)
	threads.Wait()
}
