package main

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Few names and few contents, most of them of one size, meet often. hB is a name
// that is spelt like the path of content B in a content-hash layout.
var (
	modelNames    = []string{"n0", "n1", "n2", "n3", "n4", "n5", "hB"}
	modelContents = []string{"A", "B", "C", "D", "E", "F"}
	modelBytes    = make(map[string][]byte)
	modelBySum    = make(map[string]string)
	modelSpecs    = map[string]layout.Layout{}
)

const modelLayouts = "flat|flat|fB4|fS4|f256|cS4|cB4"

// Delays are long, so that a few operations come in between.
const (
	modelDeletion = 10 * 24 * time.Hour
	modelRecycle  = 20 * 24 * time.Hour
	modelBefore   = 12 * 24 * time.Hour
)

func init() {
	for i, c := range append(modelContents, "Z") {
		size := 64
		if i >= 4 {
			size = 48
		}
		modelBytes[c] = randomBytes("content "+c, size)
		modelBySum[digest.SHA256.Sum(modelBytes[c]).Hex()] = c
	}
	for short, spec := range map[string]string{
		"flat": "flat", "fB4": "filename-hash BLAKE2B 4", "fS4": "filename-hash SHA512 4", "f256": "filename-hash SHA256 4",
		"cS4": "content-hash SHA512 4", "cB4": "content-hash BLAKE2B 4",
	} {
		l, err := layout.Parse(spec)
		if err != nil {
			panic(err)
		}
		modelSpecs[short] = l
	}
}

// distName is the name of a distfile as packages have it.
func distName(n string) catalog.Name {
	if n == "hB" {
		return catalog.Name(digest.SHA512.Sum(modelBytes["B"]).Hex())
	}
	return catalog.Name(n + ".tar")
}

// sumOf is the SHA-256 of a content in hex.
func sumOf(c string) string { return digest.SHA256.Sum(modelBytes[c]).Hex() }

// setOf are the digests that layouts may ask for.
func setOf(c string) digest.Set {
	return digest.Set{digest.BLAKE2B.Sum(modelBytes[c]), digest.SHA512.Sum(modelBytes[c]), digest.SHA256.Sum(modelBytes[c])}
}

// modelBegin is the clock when an archive begins. It is ahead of the times of files
// that nobody can set, so that none is too young for a stamp.
var modelBegin = time.Date(2046, 1, 2, 3, 0, 0, 0, time.UTC)

// A model is an archive, the world around it, and what must be true of it.
type model struct {
	t        *testing.T
	dir      string
	srv      *httptest.Server
	now      time.Time
	ticks    int // makes times of files that no other has
	output   string
	kill     string // the number of the operation at which the next command is killed
	disorder bool   // the clock was not always right
	broken   bool   // the tree is

	wants   map[string][]string // contents by name: the first has it, others are kept by digest
	white   map[string]bool
	drops   map[string]string
	sly     map[string]bool // the drop box has another file that looks like the one before
	layouts []string

	mu    sync.Mutex
	serve map[string]string

	beliefs
}

func newModel(t *testing.T) *model {
	t.Helper()
	dir, err := os.MkdirTemp(os.TempDir(), "model")
	if err != nil {
		t.Fatal(err)
	}
	m := &model{
		t: t, dir: dir, now: modelBegin,
		wants: make(map[string][]string), white: make(map[string]bool), drops: make(map[string]string), sly: make(map[string]bool),
		serve: make(map[string]string), layouts: []string{"flat"}, beliefs: newBeliefs(),
	}
	m.srv = httptest.NewServer(http.HandlerFunc(m.answer))
	return m
}

func (m *model) close() {
	m.srv.Close()
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Error(err)
	}
}

// answer is the upstream.
func (m *model) answer(w http.ResponseWriter, r *http.Request) {
	c := strings.TrimPrefix(r.URL.Path, "/")
	m.mu.Lock()
	how := m.serve[c]
	m.mu.Unlock()
	switch how {
	case "gone":
		http.NotFound(w, r)
	case "down":
		http.Error(w, "down", http.StatusServiceUnavailable)
	case "wrong":
		w.Write(bytes.Repeat([]byte{'x'}, len(modelBytes[c]))) // the client may go away at any time
	default:
		w.Write(modelBytes[c])
	}
}

func (m *model) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

func (m *model) published(rel string) string { return m.path("archive", "distfiles", rel) }

func (m *model) must(err error) {
	if err != nil {
		panic(err)
	}
}

// tick returns a time in the past of every run, which no file has.
func (m *model) tick() time.Time {
	m.ticks++
	return time.Date(2029, 6, 1, 0, m.ticks, 0, 0, time.UTC)
}

// What is no exit status of distkeep.
const panicked, killed = -1, -2

// program runs a command of distkeep and returns its exit status.
func (m *model) program(command string, args ...string) (status int) {
	var out bytes.Buffer
	defer func() {
		if p := recover(); p != nil {
			status, m.output = panicked, fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	args = slices.Concat([]string{"distkeep"}, strings.Fields(command), []string{"--archive", m.path("archive")}, args)
	if m.kill != "" && command != "init" && command != "failures" {
		return m.victim(args)
	}
	now := m.now
	forking.RLock()
	defer forking.RUnlock()
	status = (&env{args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &out, now: func() time.Time { return now }}).run()
	m.output = out.String()
	return status
}

// forking is held while a process begins: until it has begun, it has every lock
// that a run in this process has.
var forking sync.RWMutex

// victim runs distkeep as a process that is killed.
func (m *model) victim(args []string) int {
	bin := os.Getenv(modelProgramVar)
	cmd := exec.Command(bin)
	cmd.Args = args
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, modelUserVar+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, nowVar+"="+m.now.Format(time.RFC3339), killVar+"="+m.kill)
	m.kill = ""
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	forking.Lock()
	err := cmd.Start()
	forking.Unlock()
	if err == nil {
		err = cmd.Wait()
	}
	m.output = out.String()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		panic(err)
	}
	if !cmd.ProcessState.Exited() {
		return killed
	}
	return cmd.ProcessState.ExitCode()
}

// repo are the options of a run about its trees.
func (m *model) repo() []string {
	return []string{"--repo", "gentoo:" + m.path("tree"), "--retire-repo", "tree", "--max-delete", "100%", "--distfiles-local", m.path("drop")}
}

// mirror are the arguments of a run.
func (m *model) mirrorArgs(more ...string) []string {
	args := slices.Concat(m.repo(), []string{
		"--allow-private", "--allow-port", m.srv.URL[strings.LastIndexByte(m.srv.URL, ':')+1:], "--tries", "1",
		"--deletion-delay", modelDeletion.String(), "--recycle-delay", modelRecycle.String(), "--local-expiry", "48h",
	})
	return append(args, more...)
}

// set makes a file anew.
func (m *model) set(path string, data []byte, at time.Time) {
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.WriteFile(path+".new", data, 0o644))
	m.must(os.Chtimes(path+".new", at, at))
	m.must(os.Rename(path+".new", path))
}

// overwrite writes to a file in place.
func (m *model) overwrite(path string, data []byte, at time.Time) {
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.WriteFile(path, data, 0o644))
	m.must(os.Chtimes(path, at, at))
}

// writePackage makes the packages of a name: the first in place, with files of the size
// and, in the same hour, the time that they had, the second anew.
func (m *model) writePackage(n string) {
	at := m.now.Add(-time.Minute) // old enough for a stamp
	for i, category := range []string{"app-a", "app-b"} {
		write := m.overwrite
		if i > 0 || len(m.wants[n]) == 0 {
			m.must(os.RemoveAll(m.path("tree", category, n)))
			write = m.set
		}
		entry := m.path("tree", "metadata", "md5-cache", category, n+"-1")
		if i >= len(m.wants[n]) {
			if err := os.Remove(entry); !errors.Is(err, fs.ErrNotExist) {
				m.must(err)
			}
			continue
		}
		c := m.wants[n][i]
		data, ebuild := modelBytes[c], "# "+c+"\n"
		write(m.path("tree", category, n, "Manifest"), fmt.Appendf(nil, "DIST %s %d BLAKE2B %s SHA512 %s\n", distName(n), len(data),
			digest.BLAKE2B.Sum(data).Hex(), digest.SHA512.Sum(data).Hex()), at)
		write(m.path("tree", category, n, n+"-1.ebuild"), []byte(ebuild), at)
		write(entry, fmt.Appendf(nil, "EAPI=8\nSRC_URI=%s/%s -> %s\n_md5_=%x\n", m.srv.URL, c, distName(n), md5.Sum([]byte(ebuild))), at)
	}
}

// do carries out an operation that is not a command of the program.
func (m *model) do(words []string) {
	n, c := "", ""
	for _, w := range words[1:] {
		if slices.Contains(modelNames, w) {
			n = w
		} else if modelBytes[w] != nil {
			c = w
		}
	}
	switch words[0] {
	case "want": // N C: a package wants C as N, and no other content
		m.wants[n] = []string{c}
		m.writePackage(n)
	case "also": // N C: a second package wants C as N
		if len(m.wants[n]) == 1 && m.wants[n][0] != c {
			m.wants[n] = append(m.wants[n], c)
			m.writePackage(n)
		}
	case "unwant": // N
		delete(m.wants, n)
		m.writePackage(n)
	case "tree": // broken|whole
		m.broken = words[1] == "broken"
		m.set(m.path("tree", "app-a", "base", "Manifest"), map[bool][]byte{true: []byte("DIST base.tar\n")}[m.broken], m.now)
		if !m.broken {
			m.wants["base"] = []string{"Z"}
			m.writePackage("base")
		}
	case "keep", "unkeep": // N: the whitelist
		m.white[n] = words[0] == "keep"
		var list strings.Builder
		for n, is := range m.white {
			if is {
				fmt.Fprintln(&list, distName(n))
			}
		}
		m.set(m.path("archive", "state", "whitelist"), []byte(list.String()), m.now)
	case "local": // N C: the drop box gets C as N
		m.set(m.path("drop", string(distName(n))), modelBytes[c], m.tick())
		m.drops[n] = c
		delete(m.sly, n)
	case "relocal": // N C: the same, in a file of the same time
		if fi, err := os.Stat(m.path("drop", string(distName(n)))); err == nil && m.drops[n] != c {
			m.set(m.path("drop", string(distName(n))), modelBytes[c], fi.ModTime())
			m.drops[n], m.sly[n] = c, true
		}
	case "unlocal": // N
		if err := os.Remove(m.path("drop", string(distName(n)))); !errors.Is(err, fs.ErrNotExist) {
			m.must(err)
		}
		delete(m.drops, n)
		delete(m.sly, n)
	case "hours", "days": // K
		k, err := strconv.Atoi(words[1])
		m.must(err)
		d := time.Duration(k) * time.Hour
		if words[0] == "days" {
			d *= 24
		}
		m.now = m.now.Add(d)
		m.disorder = m.disorder || d < 0 || d > 100*24*time.Hour
	case "serve": // C ok|gone|wrong|down
		m.mu.Lock()
		m.serve[c] = words[2]
		m.mu.Unlock()
	default:
		m.toArchive(words, n, c)
	}
}

// toArchive carries out an operation on the archive itself.
func (m *model) toArchive(words []string, n, c string) {
	all := words[len(words)-1] == "all"
	switch words[0] {
	case "layout": // LAYOUT...
		m.layouts, m.relaid = nil, true
		conf := "[structure]\n"
		for _, l := range words[1:] {
			if !slices.Contains(m.layouts, l) {
				conf += fmt.Sprintf("%d=%s\n", len(m.layouts), modelSpecs[l])
				m.layouts = append(m.layouts, l)
			}
		}
		m.set(m.published("layout.conf"), []byte(conf), m.now)
	case "kill": // K: the next command is killed at its operation K
		if os.Getenv(modelProgramVar) != "" {
			m.kill = words[1]
		}
	case "ledger": // lose|save|restore
		m.ledgerOp(words[1])
	case "copy": // links|apart times|now: the archive is replaced by a copy of it
		m.spoilt = m.spoilt || words[1] != "links" // doctor tells
		m.replaceByCopy(words[1] == "links", words[2] == "times")
	case "touch", "unreadable", "overwrite", "rot", "remove", "foreign":
		m.byHand(words[0], n, c, all)
	case "readable":
		m.makeReadable()
	default:
		panic("no such operation: " + words[0])
	}
}
