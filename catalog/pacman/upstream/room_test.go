package upstream

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRoom: an upstream is not staged where there is no room for it, be
// it at the start of a file, in the middle or for a signature. The scan ends,
// nothing half-written is left, and the databases of the last run stay.
func TestRoom(t *testing.T) {
	t.Parallel()
	full := errors.New("too little room")
	for name, tc := range map[string]struct {
		file, data string
		refuse     int64 // the need that there is no room for
	}{
		"start":     {"core/os/x86_64/core.db", "x", roomStep},
		"middle":    {"core/os/x86_64/core.db", strings.Repeat("x", 3*roomStep), 3 * roomStep},
		"signature": {treeDir("extra") + treeFile("n-1-1") + ".sig", goodSignature(treeFile("n-1-1")), int64(len(goodSignature(treeFile("n-1-1"))))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, o := newTree(t)
			scan(t, o)
			before := stateOf(t, o.State)
			u.files["lastupdate"] = "101"
			u.release(t, "extra", "n-1-1")
			u.files[tc.file] = tc.data
			limited := o
			limited.Room = func(need int64) error {
				if need == tc.refuse {
					return full
				}
				return nil
			}
			up, err := New(limited)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := up.Scan(t.Context()); !errors.Is(err, full) {
				t.Fatalf("error = %v", err)
			}
			after := stateOf(t, o.State)
			if before[stateFile] != after[stateFile] {
				t.Errorf("state is %s, was %s", after[stateFile], before[stateFile])
			}
			for path, text := range before {
				if after[path] != text {
					t.Errorf("%s is %q, was %q", path, after[path], text)
				}
			}
			if name == "signature" {
				return // the databases were fetched; the next scan removes them
			}
			if len(after) != len(before) {
				t.Errorf("state has %v, had %v", after, before)
			}
		})
	}
}

// TestRoomWriter: room is asked for before it is used, a step at a time.
func TestRoomWriter(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var asked, written int64
	w := &roomWriter{f: f, left: roomStep, room: func(need int64) error {
		asked += need
		return nil
	}}
	for range 50 {
		n, err := w.Write(make([]byte, 100<<10))
		if err != nil {
			t.Fatal(err)
		}
		if written += int64(n); asked+roomStep < written || asked > written+roomStep {
			t.Fatalf("asked for %d bytes and the first %d, wrote %d", asked, roomStep, written)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "x"); !errors.As(err, new(*diskError)) {
		t.Errorf("error = %v, want a *diskError", err)
	}
}

// stateOf are the contents of the files below dir.
func stateOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
