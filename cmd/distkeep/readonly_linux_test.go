package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadOnlyState: the file system of the ledger becomes read-only while a run
// goes on. The run says so and ends.
func TestReadOnlyState(t *testing.T) {
	t.Parallel()
	const name, size, half = "big.tar.xz", 1 << 20, 1 << 19
	goOn := make(chan struct{})
	s := newSite(t, map[string][]byte{name: randomBytes(name, size)}, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		w.Write(rest[:half])
		http.NewResponseController(w).Flush()
		select {
		case <-goOn:
			w.Write(rest[half:]) // it may not want the rest
		case <-ctx.Done():
		}
	})
	s.run(0, "init", "--archive", "archive")
	cmd := s.command(s.mirrorArgs("archive")...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(t.Context(), func() { cmd.Process.Kill() }) // it may have ended
	waitForPart(t, filepath.Join(s.dir, "archive", "state", "parts"), half)
	dir := filepath.Join(s.dir, "archive", "state", "ledger")
	err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		err = syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	}
	if err != nil {
		cmd.Process.Kill()
		t.Skipf("needs the right to mount: %v", err)
	}
	close(goOn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // its error is the status, below
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		<-ended
		t.Fatalf("the run did not end\n%s", out.String())
	}
	if got := cmd.ProcessState.ExitCode(); got != 5 || !strings.Contains(out.String(), "read-only file system") {
		t.Errorf("status %d, want 5 and the cause\n%s", got, out.String())
	}
}
