// Command distkeep archives the upstream sources of package trees.
package main

import (
	"os"
	"time"
)

func main() {
	e := &env{args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: time.Now}
	os.Exit(e.run())
}

// run is the whole program.
func (e *env) run() int {
	e.args = asEmirrordist(e.args)
	ctx, stop := e.signals()
	defer stop()
	err := newApp(e).RunContext(ctx, e.args)
	status := exitStatus(ctx, err)
	if err != nil && !isQuiet(err) {
		e.printError(err)
	}
	return status
}
