// Command distkeep archives the upstream sources of package trees.
package main

import (
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr, time.Now))
}

// run is the whole program: tests call it with a clock of their own.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, now func() time.Time) int {
	e := &env{args: args, stdin: stdin, stdout: stdout, stderr: stderr, now: now}
	unsetEmpty()
	ctx, stop := e.signals()
	defer stop()
	err := newApp(e).RunContext(ctx, args)
	status := exitStatus(ctx, err)
	if err != nil && !isQuiet(err) {
		e.printError(err)
	}
	return status
}

// unsetEmpty removes our variables that have no value: in a unit or a shell,
// that is how one says that an option is not set.
func unsetEmpty() {
	for _, v := range os.Environ() {
		if name, ok := strings.CutSuffix(v, "="); ok && strings.HasPrefix(name, "DISTKEEP_") {
			os.Unsetenv(name)
		}
	}
}
