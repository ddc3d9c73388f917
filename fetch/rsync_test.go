package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// fakeRsync is a program that does what script says with "$d", the file that it
// is to write. What the script finds beside itself is in the directory "$at".
func fakeRsync(t *testing.T, script string) (program, at string) {
	t.Helper()
	at = t.TempDir()
	program = filepath.Join(at, "rsync")
	text := "#!/bin/sh\nfor d; do :; done\nat='" + at + "'\n" + script + "\n"
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, at
}

// over writes the file called name over the beginning of the file, as rsync
// --inplace does.
func over(name string) string {
	return fmt.Sprintf("dd if=\"$at/%s\" of=\"$d\" conv=notrunc bs=64k 2>/dev/null\n", name)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// alone checks that a directory has no file but those named.
func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if strings.Join(left, " ") != strings.Join(names, " ") {
		t.Errorf("%v is left, want %v", left, names)
	}
}

const fakeURI = "rsync://127.0.0.1:9/m/f.tar"

// TestRsyncInBetween has a failing rsync between what was left of an earlier run
// and a server that has the file: rows that belong to TestPartMatrix.
func TestRsyncInBetween(t *testing.T) {
	t.Parallel()
	const size, half, most = 300_000, 150_000, 250_000
	data := fetchtest.Content("f.tar", size)
	evil := fetchtest.Content("evil", size)
	for _, c := range []struct {
		name           string
		before, writes []byte
		exit           int
		// continued is what the http server was not asked for.
		continued int64
	}{
		{"nothing, breaks at once", nil, nil, 12, 0},
		{"nothing, breaks", nil, data[:half], 12, half},
		{"nothing, breaks with other bytes", nil, evil[:half], 12, 0},
		{"nothing, other bytes", nil, evil, 0, 0},
		{"nothing, shorter", nil, evil[:half], 0, 0},
		{"short, breaks at once", data[:half], nil, 12, half},
		{"short, breaks early with other bytes", data[:half], evil[:half-1000], 12, half},
		{"short, breaks late with other bytes", data[:half], evil[:most], 12, 0},
		{"short, breaks late", data[:half], data[:most], 30, most},
		{"short but wrong, breaks late", evil[:half], data[:most], 23, most},
		{"short, other bytes", data[:half], evil, 0, half},
		{"short but wrong, with the other bytes", evil[:half], evil, 0, 0},
		{"short but wrong, shorter", evil[:half], evil[:most], 0, 0},
		{"short, nothing happens", data[:half], nil, 0, half},
		{"short, complete with other bytes but fails", data[:half], evil, 23, half},
		{"short, complete but fails", data[:half], data, 23, size},
		{"short, complete", data[:half], data, 0, size},
		{"short, too long", data[:half], append(bytes.Clone(data), 'x'), 0, half},
		{"short, gone", data[:half], nil, 23, half},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := upstream(t, "127.0.0.1:0")
			u.Add("f.tar", data)
			program, at := fakeRsync(t, over("writes")+fmt.Sprint("echo trouble; exit ", c.exit))
			write(t, filepath.Join(at, "writes"), c.writes)
			dir := t.TempDir()
			o := options(u.URL, fakeURI)
			o.RsyncProgram = program
			o.Retries = -1
			r := want(t, dir, "f.tar", data, fakeURI, u.URL+"/ok/f.tar")
			if c.before != nil {
				write(t, r.Part, c.before)
			}
			res := run(t, t.Context(), fetcher(t, o), r)["f.tar"]
			checkClass(t, res, "", data)
			alone(t, dir, "f.tar.part")
			last := res.Attempts[len(res.Attempts)-1]
			if c.continued == size {
				if u.Total() != 0 {
					t.Error("a whole file was asked for again")
				}
			} else if last.Offset != c.continued {
				t.Errorf("continued at %d, want %d", last.Offset, c.continued)
			}
			fi, err := os.Stat(r.Part)
			if err != nil || fi.Mode().Perm()&0o400 == 0 {
				t.Errorf("%v, %v", fi, err)
			}
		})
	}
}

// TestRsyncOutlives has a part of the program go on writing when the program has
// ended: what was verified does not change.
func TestRsyncOutlives(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 100_000)
	program, at := fakeRsync(t, over("data")+`echo "$d" >"$at/name"
exec 3<>"$d"
(
	cat "$at/go"
	echo junk junk junk >&3
	: >"$at/done"
) >/dev/null 2>&1 &
exit 0`)
	for _, pipe := range []string{"go", "done"} {
		if err := syscall.Mkfifo(filepath.Join(at, pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(at, "data"), data)
	dir := t.TempDir()
	o := options(fakeURI)
	o.RsyncProgram = program
	r := want(t, dir, "f", data, fakeURI)
	res := run(t, t.Context(), fetcher(t, o), r)["f"]
	checkClass(t, res, "", data)
	alone(t, dir, "f.part")
	write(t, filepath.Join(at, "go"), nil)
	if _, err := os.ReadFile(filepath.Join(at, "done")); err != nil {
		t.Error(err)
	}
	checkClass(t, res, "", data)
	// What a killed run leaves of such a file, the next one sweeps.
	name, err := os.ReadFile(filepath.Join(at, "name"))
	base := filepath.Base(strings.TrimSpace(string(name)))
	if err != nil || !strings.HasPrefix(base, "link.") || strings.HasSuffix(base, ".part") {
		t.Errorf("the program wrote to %q (%v)", base, err)
	}
}

// TestRsyncEndless has a program that writes more than it was asked for.
func TestRsyncEndless(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1, -1} {
		// A child of the program writes, as in rsync, which has it when the server
		// has answered: when the program has its limit.
		program, _ := fakeRsync(t, "while [ \"$(uname) $(ulimit -f)\" = 'Linux unlimited' ]; do sleep 0.01; done\nhead -c 3000000000 /dev/zero >\"$d\" & wait")
		o := options(fakeURI)
		o.RsyncProgram = program
		o.MaxSize = 100_000
		var room atomic.Int64
		o.Room = func(_ string, need int64) error { room.Store(max(need, room.Load())); return nil }
		dir := t.TempDir()
		r := want(t, dir, "f", []byte("x"), fakeURI)
		r.Size = size
		res := run(t, t.Context(), fetcher(t, o), r)["f"]
		checkClass(t, res, failure.Size, nil)
		alone(t, dir)
		most := size + 1
		if size < 0 {
			most = o.MaxSize + 1
		}
		if runtime.GOOS == "linux" && res.Received > most || res.Received > 2<<30 {
			t.Errorf("%d bytes were written", res.Received)
		}
		if size > 0 && room.Load() < 2*size {
			t.Errorf("room was asked for %d bytes", room.Load())
		}
	}
}

// TestRsyncNoRoom: the file is written twice. Where there is room for it only
// once, other sources are asked; where there is none, the run ends.
func TestRsyncNoRoom(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	data := fetchtest.Content("f", 100)
	u.Add("f", data)
	program, _ := fakeRsync(t, "exit 0")
	o := options(u.URL, fakeURI)
	o.RsyncProgram = program
	var full atomic.Bool
	o.Room = func(_ string, need int64) error {
		if need > 150 || full.Load() {
			return errors.New("no room")
		}
		return nil
	}
	f := fetcher(t, o)
	res := run(t, t.Context(), f, want(t, t.TempDir(), "f", data, fakeURI, u.URL+"/ok/f"))["f"]
	checkClass(t, res, "", data)
	if len(res.Attempts) != 2 || !errors.Is(res.Attempts[0].Err, fetch.ErrRoom) {
		t.Errorf("attempts %+v", res.Attempts)
	}
	full.Store(true)
	res = run(t, t.Context(), f, want(t, t.TempDir(), "f", data, fakeURI))["f"]
	checkClass(t, res, failure.Disk, nil)
}

// TestRsyncSaysDisk: that the program, which may only repeat what the server
// says, blames our disk, ends neither the run nor the file.
func TestRsyncSaysDisk(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		"exit 11", "echo 'write failed: No space left on device (28)'; exit 11", "exit 3", "exit 99",
		`chmod 000 "$d"; exit 23`, `rm "$d"; mkdir "$d"; exit 0`, `rm "$d"; exit 0`,
	} {
		u := upstream(t, "127.0.0.1:0")
		program, _ := fakeRsync(t, script)
		o := options(u.URL, fakeURI)
		o.RsyncProgram = program
		o.Retries = -1
		dir := t.TempDir()
		data := []byte("x")
		reqs := []*fetch.Request{want(t, dir, "f", data, fakeURI)}
		for i := range 50 {
			u.Add(fmt.Sprint(i), data)
			reqs = append(reqs, want(t, dir, fmt.Sprint(i), data, fmt.Sprint(u.URL, "/ok/", i)))
		}
		for name, res := range run(t, t.Context(), fetcher(t, o), reqs...) {
			if name != "f" {
				checkClass(t, res, "", data)
				continue
			}
			class := fetch.Classify(res.Err)
			if class == "" || class == failure.Disk || strings.HasSuffix(strings.TrimSpace(res.Err.Error()), ":") {
				t.Errorf("%s: %v", script, res.Err)
			}
			if strings.HasPrefix(script, "exit") && !strings.Contains(res.Err.Error(), "exit status") {
				t.Errorf("%s: no reason in %v", script, res.Err)
			}
		}
	}
}

// TestRsyncMissing: without the program, only what needs it fails.
func TestRsyncMissing(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	o := options(u.URL, fakeURI)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	write(t, plain, []byte("no program"))
	for _, program := range []string{"/nonexistent/rsync", "no-such-rsync", plain, dir} {
		o.RsyncProgram = program
		dir := t.TempDir()
		var reqs []*fetch.Request
		for i := range 50 {
			name := fmt.Sprint(i)
			u.Add(name, []byte(name))
			reqs = append(reqs, want(t, dir, name, []byte(name), fakeURI, u.URL+"/ok/"+name))
		}
		only := want(t, dir, "only", []byte("x"), fakeURI)
		for name, res := range run(t, t.Context(), fetcher(t, o), append(reqs, only)...) {
			if name != "only" {
				checkClass(t, res, "", []byte(name))
				continue
			}
			checkClass(t, res, failure.Policy, nil)
			if res.Err == nil || !strings.Contains(res.Err.Error(), "the program rsync") || !strings.Contains(res.Err.Error(), program) {
				t.Errorf("%v does not tell what is missing", res.Err)
			}
		}
	}
}

// TestRsyncFallback: archives are not asked by rsync, not even when they say so.
func TestRsyncFallback(t *testing.T) {
	_, err := fetch.New(fetch.Options{Fallbacks: []string{"rsync://example.org/distfiles"}})
	if err == nil || !strings.Contains(err.Error(), "rsync") {
		t.Errorf("fallback: %v", err)
	}
	cwd := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(cwd, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(cwd)
	program, at := fakeRsync(t, `: >"$at/called"`)
	data := []byte("x")
	other := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/layout.conf" {
			w.Header().Set("Location", fakeURI)
			w.WriteHeader(http.StatusFound)
			return
		}
		w.Write(data)
	})
	o := options(fakeURI)
	o.RsyncProgram = program
	o.Fallbacks = []string{other}
	checkClass(t, run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", data))["f"], "", data)
	if _, err := os.Stat(filepath.Join(at, "called")); err == nil {
		t.Error("the program was run for a layout.conf")
	}
	alone(t, cwd)
}

// TestRsyncURIs are those that no program is run for.
func TestRsyncURIs(t *testing.T) {
	t.Parallel()
	program, at := fakeRsync(t, `: >"$at/called"`)
	o := options(fakeURI)
	o.RsyncProgram = program
	const host = "rsync://127.0.0.1:9"
	for _, uri := range []string{host, host + "/", host + "/m", host + "/m/", host + "/m//", host + "/m/dir/", host + "/m/a%0Ab", host + "/m%00/f",
		"rsync://a%40b:c@127.0.0.1:9/m/f", "rsync://a:%00@127.0.0.1:9/m/f"} {
		r := want(t, t.TempDir(), "f", nil, uri)
		checkClass(t, run(t, t.Context(), fetcher(t, o), r)["f"], failure.BadURI, nil)
	}
	if _, err := os.Stat(filepath.Join(at, "called")); err == nil {
		t.Error("the program was run")
	}
}

// TestRsyncInterrupted ends a run whose program does not want to end. What has
// come is kept.
func TestRsyncInterrupted(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 200_000)
	program, at := fakeRsync(t, "trap '' TERM INT HUP\n"+over("half")+"sleep 100 & wait; sleep 100")
	write(t, filepath.Join(at, "half"), data[:100_000])
	o := options(fakeURI)
	o.RsyncProgram = program
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Events.Bytes = func(catalog.Name, int) { cancel() }
	dir := t.TempDir()
	r := want(t, dir, "f", data, fakeURI)
	began := time.Now()
	res := run(t, ctx, fetcher(t, o), r)["f"]
	checkClass(t, res, failure.Interrupted, nil)
	if took := time.Since(began); took > time.Minute { // the patience with the program, and less than its sleep
		t.Errorf("it took %v", took)
	}
	alone(t, dir, "f.part")
	if left, err := os.ReadFile(r.Part); err != nil || !bytes.Equal(left, data[:len(left)]) || len(left) == 0 {
		t.Errorf("%d bytes are left (%v)", len(left), err)
	}
}

// rsyncd serves dir as module m by the real program.
func rsyncd(t *testing.T, dir string) string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	port := program(t, "rsync", func(port int) []string {
		write(t, conf, fmt.Appendf(nil, "use chroot = no\nuid = %d\ngid = %d\nport = %d\naddress = 127.0.0.1\nlog file = %s.log\n[m]\npath = %s\n",
			os.Getuid(), os.Getgid(), port, conf, dir))
		return []string{"--daemon", "--no-detach", "--config=" + conf}
	})
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// cutting forwards connections to addr. most says how many bytes from there the
// next connection lets pass; negative is all.
func cutting(t *testing.T, addr string, most func() int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	forward := func(c net.Conn, n int64) {
		defer c.Close()
		s, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer s.Close()
		go io.Copy(s, c)
		if n < 0 {
			io.Copy(c, s)
		} else {
			io.CopyN(c, s, n)
		}
	}
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go forward(c, most())
		}
	}()
	return l.Addr().String()
}

// TestRsyncReal asks the real program for what a broken server sends.
func TestRsyncReal(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	data, evil := fetchtest.Content("f", size), fetchtest.Content("evil", size)
	module := t.TempDir()
	for name, b := range map[string][]byte{"f": data, "evil": evil, "long": append(bytes.Clone(data), 'x'), "short": data[:size-1], "closed": data} {
		write(t, filepath.Join(module, name), b)
	}
	if err := os.Chmod(filepath.Join(module, "closed"), 0o001); err != nil {
		t.Fatal(err)
	}
	addr := rsyncd(t, module)
	all := cutting(t, addr, func() int64 { return -1 })
	cut := cutting(t, addr, func() int64 { return 3 << 20 })
	web := served(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "f", time.Unix(1e9, 0), bytes.NewReader(data))
	})
	for _, c := range []struct {
		name     string
		before   []byte
		uri      string
		web      bool
		class    failure.Class
		attempts int
		received int64
	}{
		{name: "breaks, and goes on", uri: cut + "/m/f", attempts: 3, received: size},
		{name: "breaks over other bytes", before: data[:4<<20], uri: cut + "/m/evil", web: true, attempts: 2, received: size - 4<<20},
		{name: "breaks late with other bytes", before: data[:1<<20], uri: cut + "/m/evil", web: true},
		{name: "too long", before: data[:4<<20], uri: all + "/m/long", class: failure.Size, attempts: 1},
		{name: "too short", before: data[:4<<20], uri: all + "/m/short", class: failure.Size, attempts: 1, received: size - 1 - 4<<20},
		{name: "other bytes", before: data[:4<<20], uri: all + "/m/evil", web: true, attempts: 2, received: size},
		{name: "a directory", uri: all + "/m/.", class: failure.Gone, attempts: 1},
		{name: "the mode of strangers", uri: all + "/m/closed", attempts: 1, received: size},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if strings.HasSuffix(c.uri, "closed") && os.Getuid() != 0 {
				t.Skip("only root can read the file")
			}
			uri := "rsync://" + c.uri
			o := options(web, uri)
			o.Stall = 5 * time.Second // rsync knows whole seconds only
			dir := t.TempDir()
			sources := []string{uri}
			if c.web {
				sources = append(sources, web+"/f")
			}
			r := want(t, dir, "f", data, sources...)
			if c.before != nil {
				write(t, r.Part, c.before)
			}
			res := run(t, t.Context(), fetcher(t, o), r)["f"]
			checkClass(t, res, c.class, data)
			for _, a := range res.Attempts {
				t.Logf("%s: at %d, received %d: %v", a.URL, a.Offset, a.Received, a.Err)
			}
			if c.attempts > 0 && (len(res.Attempts) != c.attempts || res.Received != c.received) {
				t.Errorf("%d attempts, %d received, want %d and %d", len(res.Attempts), res.Received, c.attempts, c.received)
			}
			if c.class != "" && c.before != nil {
				if left, err := os.ReadFile(r.Part); !bytes.Equal(left, c.before) {
					t.Errorf("%d bytes are left (%v), want %d", len(left), err, len(c.before))
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "link.*")); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}
