package main

import (
	"bytes"
	"testing"
)

// TestWarner: a message is one line, whatever the names in it are.
func TestWarner(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := &env{stderr: &out}
	e.warner()("drop/a\ndistkeep: all is well\x1b[2J: not a file")
	if want := "distkeep: warn: drop/a distkeep: all is well [2J: not a file\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
