package main

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"
)

// In the program under test, manyVar asks for many commands, one after another, in
// one process: it would take longer to begin a process, with the race detector in it,
// than most of the commands take. The program itself does not know it.
const manyVar = "DISTKEEP_TEST_MANY"

// A suite is what go test runs.
type suite struct{ testscript.TestingM }

// Run has no race detector watch the programs that tests begin, of which most are
// killed or meet a full disk: it would take most of their time, and what they do is
// done by scripts and the model in processes with the detector as well.
func (s suite) Run() int {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		if err := withoutRace(); err != nil {
			panic(err)
		}
	}
	return s.TestingM.Run()
}

// withoutRace builds the programs in $PATH anew.
func withoutRace() error {
	built := ""
	for name := range programs {
		path, err := exec.LookPath(name)
		if err == nil && built != "" {
			err = errors.Join(os.Remove(path), os.Link(built, path))
		} else if err == nil {
			built = path
			build := exec.Command("go", "test", "-c", "-race=false", "-vet=off", "-o", path, ".")
			build.Stdout, build.Stderr = os.Stderr, os.Stderr
			err = build.Run()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A call is one command in the process of many. A race ends the process.
type call struct {
	Dir       string
	Env, Args []string
}

// An answer is how a call has ended.
type answer struct {
	Status         int
	Stdout, Stderr []byte
}

// programs are the names of the program.
var programs = map[string]func(){"distkeep": program, emirrordistName: program}

// program is the program under test.
func program() {
	if os.Getenv(manyVar) == "" {
		e := &env{args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: testClock(), around: testDisk()}
		os.Exit(e.run())
	}
	calls, answers := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		var c call
		if err := calls.Decode(&c); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			panic(err)
		}
		if err := answers.Encode(c.do()); err != nil {
			panic(err)
		}
	}
}

// do runs the command in its directory and environment.
func (c *call) do() *answer {
	if err := os.Chdir(c.Dir); err != nil {
		panic(err)
	}
	os.Clearenv()
	for _, v := range c.Env {
		name, value, _ := strings.Cut(v, "=")
		os.Setenv(name, value)
	}
	var out, errs bytes.Buffer
	e := &env{args: c.Args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: testClock(), around: testDisk()}
	return &answer{e.run(), out.Bytes(), errs.Bytes()}
}

// A process runs many commands.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	calls   *gob.Encoder
	answers *gob.Decoder
	stderr  bytes.Buffer
}

// newProcess begins a process, which close ends.
func newProcess() (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Args = []string{"distkeep"}
	p.cmd.Env = append(os.Environ(), manyVar+"=1", raceVar+"=halt_on_error=1 "+raceOptions)
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin, p.calls, p.answers = in, gob.NewEncoder(in), gob.NewDecoder(out)
	return p, p.cmd.Start()
}

// do has the process run one more command.
func (p *process) do(c *call) (*answer, error) {
	a := new(answer)
	err := p.calls.Encode(c)
	if err == nil {
		err = p.answers.Decode(a)
	}
	if err != nil {
		return nil, fmt.Errorf("the process of the program: %w, %w", err, p.close())
	}
	return a, nil
}

// close waits for the process to end.
func (p *process) close() error {
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, p.stderr.String())
	}
	return nil
}

// programKey is the key of the process that belongs to one script.
type programKey struct{}

// A scriptProgram is the program as a script uses it.
type scriptProgram struct {
	vars []string // what it may know of its environment
	*process
}

// setupProgram lets exits run the program in the process of many.
func setupProgram(e *testscript.Env) {
	p := new(scriptProgram)
	for _, v := range e.Vars {
		name, _, _ := strings.Cut(v, "=")
		p.vars = append(p.vars, name)
	}
	var ofFlags func(commands []*cli.Command)
	ofFlags = func(commands []*cli.Command) {
		for _, c := range commands {
			ofFlags(c.Subcommands)
			for _, f := range c.Flags {
				p.vars = append(p.vars, variable(f.Names()[0]))
			}
		}
	}
	ofFlags(newApp(&env{}).Commands)
	e.Values[programKey{}] = p
	e.Defer(func() {
		if p.process == nil {
			return
		}
		if err := p.close(); err != nil {
			e.T().Log(err)
			e.T().FailNow()
		}
	})
}

// run runs the program with args in the directory and environment of the script.
func (p *scriptProgram) run(ts *testscript.TestScript, args []string) (status int) {
	c := &call{Dir: ts.MkAbs("."), Args: args}
	for _, name := range p.vars {
		if value := ts.Getenv(name); value != "" {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	if p.process == nil {
		var err error
		p.process, err = newProcess()
		ts.Check(err)
	}
	a, err := p.do(c)
	if err != nil {
		p.process = nil
		ts.Fatalf("%v", err)
	}
	ts.Stdout().Write(a.Stdout)
	ts.Stderr().Write(a.Stderr)
	return a.Status
}
