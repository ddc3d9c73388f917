package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// modelVar says, as SEEDS or SEEDS@FIRST, how many seeds TestModel tries and
// which is the first. A thousand of them:
//
//	DISTKEEP_MODEL=1000 go test ./cmd/distkeep -run 'TestModel$' -timeout 0
//
// modelUserVar is set in the process of that test which is not root.
const modelVar, modelUserVar = "DISTKEEP_MODEL", "DISTKEEP_MODEL_USER"

// modelProgramVar is this program where the user of modelUserVar can run it, when
// more than the few seeds of make test are tried: those are killed as well.
const modelProgramVar = "DISTKEEP_MODEL_PROGRAM"

// modelSteps are the operations of one seed.
const modelSteps = 60

// TestModel runs random sequences of what happens to an archive in years, and
// compares what it holds after each step with a small model of what must be
// true: see model_check_test.go. A seed that fails is made as short as it gets
// and printed; as a file in testdata/model it is a test for good.
func TestModel(t *testing.T) {
	t.Parallel()
	if os.Getenv(modelVar) != "" && os.Getenv(modelProgramVar) == "" || os.Getuid() == 0 {
		again(t)
		return
	}
	files, err := filepath.Glob("../../testdata/model/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sequences: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := replay(t, operations(string(text))); err != nil {
				t.Error(err)
			}
		})
	}
	first, seeds := modelSeeds(t)
	t.Cleanup(func() {
		t.Logf("%d runs found nothing changed", modelCertified.Load())
		if modelCertified.Load() == 0 && !strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
			t.Error("no run found nothing changed")
		}
	})
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			ops := randomOps(rand.New(rand.NewPCG(seed, 0)), os.Getenv(modelProgramVar) != "")
			if err := replay(t, ops); err != nil {
				if !testing.Short() {
					ops, err = shrink(t, ops, err)
				}
				t.Errorf("%v\n\t%s", err, strings.Join(ops, "\n\t"))
			}
		})
	}
}

// copyFile copies a program.
func copyFile(t *testing.T, dst, src string) {
	t.Helper()
	text, err := os.ReadFile(src)
	if err == nil {
		err = os.WriteFile(dst, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// modelSeeds are few in make test; make race has more.
func modelSeeds(t *testing.T) (first, seeds uint64) {
	text := os.Getenv(modelVar)
	if text == "" {
		return 1, 4
	}
	n, at, _ := strings.Cut(text, "@")
	seeds, err := strconv.ParseUint(n, 10, 32)
	if err == nil && at != "" {
		first, err = strconv.ParseUint(at, 10, 32)
	}
	if err != nil {
		t.Fatalf("%s: %v", modelVar, err)
	}
	return first, seeds
}

// again runs the test in a process of its own: as a user who can be refused a
// file, and with a program that can be killed.
func again(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := inMemory(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=TestModel$", "-test.timeout=0"}
	for _, a := range os.Args[1:] {
		// A part of it can be asked for, as in TestModel$/seed_29$.
		if a == "-test.v=true" || a == "-test.short=true" || strings.HasPrefix(a, args[0]+"/") {
			args = append(args, a)
		}
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if os.Getuid() == 0 {
		cmd.Env = append(cmd.Env, modelUserVar+"=65534")
	}
	if os.Getenv(modelVar) != "" {
		bin := filepath.Join(dir, "distkeep.test")
		copyFile(t, bin, exe)
		cmd.Env = append(cmd.Env, modelProgramVar+"="+bin)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// becomeUser makes this process, which only runs TestModel, that of another user.
func becomeUser(text string) {
	id, err := strconv.Atoi(text)
	if err == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id))
	}
	if err != nil {
		panic(err)
	}
}

// operations are the lines of a sequence that say something.
func operations(text string) (ops []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			ops = append(ops, line)
		}
	}
	return ops
}

// A modelError says which rule of the model does not hold, and after what.
type modelError struct {
	rule, detail string
	step         int
	op, output   string
}

func (e *modelError) Error() string {
	return fmt.Sprintf("after step %d, %s: %s: %s\n%s", e.step, e.op, e.rule, e.detail, e.output)
}

// replay carries out the operations in a new archive, and returns what was
// wrong first.
func replay(t *testing.T, ops []string) error {
	m := newModel(t)
	defer m.close()
	for i, op := range append([]string{"init"}, ops...) {
		if err := m.step(op); err != nil {
			err.step, err.op, err.output = i, op, m.report()
			return err
		}
	}
	if err := m.rest(); err != nil {
		err.step, err.op, err.output = len(ops), "the last one, and runs without trouble", m.report()
		return err
	}
	return nil
}

// shrink leaves out operations for as long as the same rule does not hold.
func shrink(t *testing.T, ops []string, err error) ([]string, error) {
	var failed *modelError
	if !errors.As(err, &failed) {
		return ops, err
	}
	ops = ops[:min(failed.step, len(ops))]
	end := time.Now().Add(time.Minute)
	for size := len(ops) / 2; size > 0; size /= 2 {
		for again := true; again; {
			again = false
			for i := 0; i+size <= len(ops) && time.Now().Before(end); {
				var e *modelError
				less := slices.Concat(ops[:i], ops[i+size:])
				if errors.As(replay(t, less), &e) && e.rule == failed.rule {
					ops, failed, again = less[:min(e.step, len(less))], e, size == 1
				} else {
					i += size
				}
			}
		}
	}
	return ops, failed
}

// A chance is an operation and how often it comes, against the others.
type chance struct {
	weight int
	op     func(r *rand.Rand) string
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// line makes an operation of words, in which N is a name, C a content, and a|b a
// choice.
func line(weight int, words ...string) chance {
	return chance{weight, func(r *rand.Rand) string {
		out := make([]string, len(words))
		for i, w := range words {
			switch w {
			case "N":
				out[i] = pick(r, modelNames)
			case "C":
				out[i] = pick(r, modelContents)
			default:
				out[i] = pick(r, strings.Split(w, "|"))
			}
		}
		return strings.Join(out, " ")
	}}
}

// modelChances are the operations; what each does says model_world_test.go.
var modelChances = []chance{
	line(30, "mirror"), line(40, "mirror", "delete"), line(4, "mirror", "full"), line(10, "calm"), line(10, "calm", "delete"),
	line(40, "want", "N", "C"), line(16, "unwant", "N"), line(3, "also", "N", "C"),
	line(8, "keep", "N"), line(5, "unkeep", "N"),
	line(8, "local", "N", "C"), line(2, "relocal", "N", "C"), line(3, "unlocal", "N"),
	line(4, "layout", modelLayouts), line(4, "layout", modelLayouts, modelLayouts),
	line(8, "hours", "1|5|25|49"), line(16, "days", "3|6|11|21|40"), line(1, "hours", "-30|-2"), line(1, "days", "400|-400"),
	line(8, "serve", "C", "gone|wrong|down"), line(8, "serve", "C", "ok"),
	line(3, "undo", "N"), line(3, "history"), line(4, "clean"),
	line(2, "doctor"), line(3, "doctor", "repair"), line(3, "verify"), line(2, "snapshot"), line(2, "dry-run"),
	line(2, "ledger", "lose"), line(3, "ledger", "save"), line(1, "ledger", "restore"), line(2, "ledger", "reimport"),
	line(2, "copy", "links|apart", "times|now"),
	line(2, "touch", "N"), line(2, "touch", "all"), line(2, "unreadable", "N"), line(1, "unreadable", "all"), line(3, "readable"),
	line(3, "overwrite", "N", "C"), line(2, "rot", "N"), line(3, "remove", "N"), line(2, "remove", "N", "all"), line(3, "foreign", "N", "C"),
	line(1, "tree", "broken"), line(3, "tree", "whole"),
}

// modelKills are kills, where there is a program for that. A command that changes a
// few files has some fifty operations.
var modelKills = chance{25, func(r *rand.Rand) string { return fmt.Sprint("kill ", 1+r.IntN(80)) }}

// randomOps makes the sequence of a seed.
func randomOps(r *rand.Rand, kills bool) (ops []string) {
	chances := modelChances
	if kills {
		chances = append(slices.Clone(chances), modelKills)
	}
	sum := 0
	for _, c := range chances {
		sum += c.weight
	}
	for range modelSteps {
		at := r.IntN(sum)
		for _, c := range chances {
			if at -= c.weight; at < 0 {
				ops = append(ops, c.op(r))
				break
			}
		}
	}
	return ops
}
