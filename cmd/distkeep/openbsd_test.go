package main

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// subst FILE... replaces $WWW in files by the address of the upstream.
func cmdSubst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: subst FILE...")
	}
	for _, a := range args {
		file := ts.MkAbs(a)
		text := os.Expand(ts.ReadFile(file), func(name string) string {
			if name == "WWW" {
				return ts.Getenv(name)
			}
			return "$" + name
		})
		ts.Check(os.WriteFile(file, []byte(text), 0o644))
	}
}
