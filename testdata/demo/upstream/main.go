// Command upstream serves a directory on a free port of the loopback interface
// while another command runs, which finds the address in $UPSTREAM and the port
// in $UPSTREAM_PORT. It exits with that command's status.
//
//	upstream DIR COMMAND [ARG...]
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: upstream DIR COMMAND [ARG...]")
		os.Exit(2)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(2)
	}
	go func() {
		err := http.Serve(l, http.FileServer(http.Dir(os.Args[1])))
		fmt.Fprintln(os.Stderr, "upstream:", err)
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(2)
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Env = append(os.Environ(), "UPSTREAM=http://"+l.Addr().String(), "UPSTREAM_PORT="+port)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(2)
	}
}
