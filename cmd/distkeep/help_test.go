package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// helpDir has the help of each command, as a user sees it. UPDATE=1 writes it
// anew.
const helpDir = "../../testdata/help"

// everyCommand calls f with each command and its full name, such as "whitelist
// add".
func everyCommand(commands []*cli.Command, above string, f func(name string, c *cli.Command)) {
	for _, c := range commands {
		name := strings.TrimSpace(above + " " + c.Name)
		f(name, c)
		everyCommand(c.Subcommands, name, f)
	}
}

// TestHelp compares the help of the program and of every command with the files
// in helpDir, so that a change of what users see is seen in a review. It is not
// parallel: the flag library keeps global state.
func TestHelp(t *testing.T) {
	app := newApp(&env{now: time.Now})
	files := map[string][]string{"distkeep.txt": nil}
	everyCommand(app.Commands, "", func(name string, _ *cli.Command) {
		words := strings.Fields(name)
		files[strings.Join(words, "-")+".txt"] = words
	})
	for file, words := range files {
		t.Run(strings.TrimSuffix(file, ".txt"), func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append(append([]string{"distkeep"}, words...), "--help")
			if status := (&env{args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: time.Now}).run(); status != 0 || errs.Len() > 0 {
				t.Fatalf("%v: status %d\n%s", args, status, errs.String())
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(line) - 1; n > helpWidth && !strings.HasPrefix(line, "   distkeep ") {
					t.Errorf("a line is %d wide: %s", n, line)
				}
			}
			path := filepath.Join(helpDir, file)
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v: UPDATE=1 go test ./cmd/distkeep -run TestHelp writes it", err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("help of %v (-%s +got):\n%s", words, path, diff)
			}
		})
	}
	old, err := filepath.Glob(filepath.Join(helpDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if _, ok := files[filepath.Base(path)]; !ok {
			t.Errorf("%s is the help of no command: remove it", path)
		}
	}
}

// TestHelpIsComplete checks that every command and every option says what it is
// for, that every option can be set by the environment, and that no default
// depends on the machine.
func TestHelpIsComplete(t *testing.T) {
	app := newApp(&env{now: time.Now})
	everyCommand(app.Commands, "", func(name string, c *cli.Command) {
		switch {
		case c.Usage == "":
			t.Errorf("%s has no usage", name)
		case strings.HasSuffix(c.Usage, "."):
			t.Errorf("%s: the usage ends with a full stop", name)
		case !strings.HasPrefix(c.UsageText, "distkeep "+name):
			t.Errorf("%s: the usage text is %q", name, c.UsageText)
		case c.Description == "":
			t.Errorf("%s has no description", name)
		case len(c.Subcommands) == 0 && name != emirrordistName && strings.Count(c.Description, "\n   distkeep "+name+" ") < 2:
			t.Errorf("%s has less than two examples: see examples.go", name)
		}
		for _, f := range c.Flags {
			checkFlag(t, name, f)
			if name == "mirror" && groupOf(f.Names()[0]) < 0 {
				t.Errorf("mirror --%s is in no group: see help.go", f.Names()[0])
			}
		}
	})
}

func checkFlag(t *testing.T, command string, f cli.Flag) {
	t.Helper()
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		t.Fatalf("%s: %T cannot say what it is for", command, f)
	}
	name := f.Names()[0]
	switch {
	case name == "help":
		return
	case d.GetUsage() == "":
		t.Errorf("%s --%s has no usage", command, name)
	case d.TakesValue() && strings.Count(d.GetUsage(), "`") != 2:
		t.Errorf("%s --%s does not name its value in back quotes: %s", command, name, d.GetUsage())
	case strings.HasSuffix(d.GetUsage(), "."):
		t.Errorf("%s --%s: the usage ends with a full stop", command, name)
	}
}
