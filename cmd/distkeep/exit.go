package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/term"

	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// The exit statuses. Help texts are made of the same table.
const (
	exitOK         = 0
	exitNew        = 1
	exitUsage      = 2
	exitGuard      = 3
	exitIncomplete = 4
	exitBroken     = 5
	exitLocked     = 75
)

const exitHelp = `EXIT STATUS:
   0    all is well, or only failures that were known before
   1    new failures in this run (--fail-on)
   2    wrong usage or configuration
   3    a deletion guard stopped the deletions
   4    the scan was not complete; nothing was scheduled or deleted
   5    the archive itself is damaged or its disk is full
   75   another run holds the lock
   129  interrupted by SIGHUP, 130 by SIGINT, 143 by SIGTERM; partial work is
        kept. Where no terminal is, mirror goes on after SIGHUP`

// A status is an outcome that was reported already: it decides the exit status
// and prints nothing.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func isQuiet(err error) bool {
	var s status
	return errors.As(err, &s) || errors.Is(err, context.Canceled)
}

// usageError marks wrong usage.
type usageError struct{ error }

// Error quotes what the operator wrote, but no password.
func (u usageError) Error() string { return catalog.Redact(u.error.Error()) }
func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus is the only mapping from errors to statuses.
func exitStatus(ctx context.Context, err error) int {
	var s status
	var sig *signalError
	switch {
	case err == nil:
		return exitOK
	case errors.As(context.Cause(ctx), &sig):
		return 128 + int(sig.sig)
	case errors.As(err, &s):
		return int(s)
	case errors.Is(err, vault.ErrLocked):
		return exitLocked
	case vault.Broken(err):
		return exitBroken // the disk that standard output or a list is on may be full as well
	}
	// Everything else is for the operator to put right: usage, configuration,
	// a missing tree, no run yet.
	return exitUsage
}

// A signalError is the cause of a context that a signal ended.
type signalError struct{ sig syscall.Signal }

func (e *signalError) Error() string { return "interrupted by " + e.sig.String() }

// Is makes the cause look like any other cancellation to libraries.
func (e *signalError) Is(target error) bool { return target == context.Canceled }

// signals returns a context that the first SIGHUP, SIGINT or SIGTERM ends. A
// second one ends the process at once. What goes on after SIGHUP sets e.outlives.
func (e *env) signals() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup, where it stays so
		signal.Notify(ch, syscall.SIGHUP)
	}
	e.outlives = new(atomic.Bool)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-ch:
				if s == syscall.SIGHUP && e.outlives.Load() {
					continue
				}
				signal.Stop(ch) // the next one has its usual effect
				fmt.Fprintln(e.stderr, "distkeep: interrupted: finishing what is under way; again to stop at once")
				cancel(&signalError{s.(syscall.Signal)})
			case <-done:
			}
			return
		}
	}()
	return ctx, func() { signal.Stop(ch); close(done); cancel(nil) }
}

// attended reports whether a person may be at the keyboard: then SIGHUP says that the
// session is lost.
func (e *env) attended() bool {
	stdin, ok := e.stdin.(*os.File)
	return width(e.stderr) > 0 || width(e.stdout) > 0 || ok && term.IsTerminal(int(stdin.Fd()))
}

// hint returns advice for the person at the keyboard, or "".
func (e *env) hint(err error) string {
	var h hinted
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, vault.ErrNoArchive):
		return "if it should be there, is its disk mounted? a new archive is made by: distkeep init --archive DIR"
	case errors.Is(err, report.ErrNoRun):
		return "run distkeep mirror first"
	}
	return e.ownership(err)
}

// A hinted error carries advice.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }
