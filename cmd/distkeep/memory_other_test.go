//go:build !linux

package main

import "testing"

// inMemory makes a directory. Only on Linux it is known to be in memory.
func inMemory(t testing.TB) string { return t.TempDir() }
