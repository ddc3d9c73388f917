package main

import (
	"runtime/debug"
	"testing"

	"distkeep/archive/vault"
)

// TestBoundMemory: only transfers of many files bound the memory, above what is in use,
// until the end, and only where the operator has not.
func TestBoundMemory(t *testing.T) {
	for name, c := range map[string]struct {
		phase    string
		files    int
		variable string
		bounded  bool
	}{
		"many":        {"fetch", worthBounding, "", true},
		"few":         {"fetch", worthBounding - 1, "", false},
		"no transfer": {"read", worthBounding, "", false},
		"set":         {"fetch", worthBounding, "8GiB", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", c.variable)
			former := debug.SetMemoryLimit(-1)
			told := 0
			ev := vault.Events{Phase: func(string, int, int64) { told++ }}
			end := boundMemory(&ev)
			ev.Phase(c.phase, c.files, 1)
			limit := debug.SetMemoryLimit(-1)
			if end(); debug.SetMemoryLimit(-1) != former || told != 1 {
				t.Errorf("it is told %d times, and the limit stays", told)
			}
			if bounded := limit != former; bounded != c.bounded || bounded && limit < besides+perFile*worthBounding {
				t.Errorf("the limit is %d", limit)
			}
		})
	}
	if got := memoryLimit(100<<20, 1<<20); got != 200<<20+1<<30+besides {
		t.Errorf("%d", got)
	}
}
