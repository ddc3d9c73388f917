package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSignal interrupts a run whose upstream hangs. It ends within five seconds
// and with the status of the signal, and the next run goes on where it was.
func TestSignal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		t.Run(tc.signal.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(tc.signal) {
				t.Skip("the tests were started with this signal ignored")
			}
			testSignal(t, tc.signal, tc.status)
		})
	}
}

func testSignal(t *testing.T, signal syscall.Signal, status int) {
	const name, size, half = "big.tar.xz", 1 << 20, 1 << 19
	var hang atomic.Bool
	hang.Store(true)
	files := map[string][]byte{name: randomBytes(name, size)}
	s := newSite(t, files, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		if !hang.Load() {
			w.Write(rest) // a client that is gone shows below
			return
		}
		w.Write(rest[:half])
		http.NewResponseController(w).Flush()
		<-ctx.Done()
	})
	s.run(0, "init", "--archive", "archive")
	cmd := s.command(s.mirrorArgs("archive")...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // its error is the status, below
	}()
	part := waitForPart(t, filepath.Join(s.dir, "archive", "state", "parts"), half)
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		cmd.Process.Kill()
		<-ended
		t.Fatalf("the run did not end within five seconds\n%s", out.String())
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("status %d, want %d\n%s", got, status, out.String())
	}
	fi, err := os.Stat(part)
	if err != nil || fi.Size() != half {
		t.Fatalf("the part was not kept: %v, %v", fi, err)
	}
	s.up.take()
	hang.Store(false)
	s.run(0, s.mirrorArgs("archive")...)
	if got := s.up.take(); len(got) != 1 || got[0].from != half {
		t.Errorf("requests of the next run: %v, want one from byte %d", got, half)
	}
}

// TestSignalIgnored: what nohup starts outlives the terminal.
func TestSignalIgnored(t *testing.T) {
	t.Parallel()
	nohup, err := exec.LookPath("nohup")
	if err != nil {
		t.Skip(err)
	}
	const name, size, half = "big.tar.xz", 1 << 20, 1 << 19
	goOn := make(chan struct{})
	s := newSite(t, map[string][]byte{name: randomBytes(name, size)}, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		w.Write(rest[:half])
		http.NewResponseController(w).Flush()
		select {
		case <-goOn:
			w.Write(rest[half:]) // a client that is gone shows below
		case <-ctx.Done():
		}
	})
	s.run(0, "init", "--archive", "archive")
	cmd := s.command(s.mirrorArgs("archive")...)
	cmd.Path, cmd.Args = nohup, append([]string{nohup}, cmd.Args...)
	cmd.Args[1] = s.command().Path
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitForPart(t, filepath.Join(s.dir, "archive", "state", "parts"), half)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// waitForPart returns the path of the only part when it has so many bytes.
func waitForPart(t *testing.T, dir string, size int64) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range int(time.Minute / (5 * time.Millisecond)) {
		parts, err := filepath.Glob(filepath.Join(dir, "*.part"))
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) == 1 {
			if fi, err := os.Stat(parts[0]); err == nil && fi.Size() == size {
				return parts[0]
			}
		}
		<-tick.C
	}
	t.Fatalf("no part of %d bytes in a minute", size)
	return ""
}
