package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

func TestAsksForWhatMayHaveChanged(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	_, s := scan(t, o)
	equal(t, "packages", names(s), []string{"a-1-1", "b-1-1", "c-1-1"})
	if len(s.Problems) > 0 || u.closed != 1 {
		t.Errorf("problems %s, closed %d times", problems(s), u.closed)
	}
	asked, got := u.requests()
	want := []string{
		"core/os/x86_64/a-1-1-any.pkg.tar.zst.sig", "core/os/x86_64/core.db", "core/os/x86_64/core.files",
		"extra/os/x86_64/extra.db", "extra/os/x86_64/extra.files", "lastupdate",
	}
	// a of extra has the content of core's; b has its signature inside; c has
	// none.
	equal(t, "sent at first", got, want)
	if !slices.Contains(asked, "extra/os/x86_64/c-1-1-any.pkg.tar.zst.sig") || slices.Contains(asked, "core/os/x86_64/b-1-1-any.pkg.tar.zst.sig") {
		t.Errorf("asked at first: %q", asked)
	}

	_, s = scan(t, o)
	asked, _ = u.requests()
	equal(t, "asked without a change", asked, []string{"lastupdate"})
	equal(t, "packages without a change", names(s), []string{"a-1-1", "b-1-1", "c-1-1"})

	for name, change := range map[string]func(*tree, *Options){
		"another time":  func(u *tree, _ *Options) { u.files["lastupdate"] = "101\n" },
		"no time":       func(u *tree, _ *Options) { delete(u.files, "lastupdate") },
		"a page":        func(u *tree, _ *Options) { u.files["lastupdate"] = "<html>" },
		"not our thing": func(u *tree, _ *Options) { u.errs["lastupdate"] = errForbidden },
	} {
		t.Run(name, func(t *testing.T) {
			u, o := newTree(t)
			scan(t, o)
			u.requests()
			change(u, &o)
			u.release(t, "extra", "c-2-1")
			up, s := scan(t, o)
			asked, got := u.requests()
			if !slices.Contains(asked, "core/os/x86_64/core.db") {
				t.Errorf("asked %q", asked)
			}
			got = slices.DeleteFunc(got, func(s string) bool { return s == "lastupdate" })
			equal(t, "sent", got, []string{"extra/os/x86_64/extra.db", "extra/os/x86_64/extra.files"})
			equal(t, "packages", names(s), []string{"a-1-1", "b-1-1", "c-2-1"})
			if up.Views()[1].Names().SHA256 != digest.SHA256.Sum([]byte(u.files["extra/os/x86_64/extra.db"])).Hex() {
				t.Error("the view has another database")
			}
		})
	}
	for name, change := range map[string]func(*Options){
		"one more repository": func(o *Options) { o.Repos = append(o.Repos, "more") },
		"without files":       func(o *Options) { o.NoFiles = true },
		"another host":        func(o *Options) { o.URLs = []string{treeBase + "/"} },
		"state lost": func(o *Options) {
			if err := os.Remove(filepath.Join(o.State, "1", "core/os/x86_64/core.db")); err != nil {
				panic(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			u, o := newTree(t)
			u.release(t, "more", "m-1-1")
			scan(t, o)
			u.requests()
			change(&o)
			up, s := scan(t, o)
			asked, _ := u.requests()
			if !slices.Contains(asked, "core/os/x86_64/core.db") || len(s.Problems) > 0 || len(up.Views()) != len(o.Repos) {
				t.Errorf("asked %q, problems %s", asked, problems(s))
			}
			for _, f := range up.Views()[0].Index {
				if data, err := os.ReadFile(f.Path); err != nil || digest.SHA256.Sum(data).Hex() != f.SHA256 || int64(len(data)) != f.Size {
					t.Errorf("%s is not what the view says: %v", f.Path, err)
				}
			}
		})
	}
}

// TestKeepsTheOld: whatever is wrong with a new database, the old one
// and all that belongs to it stay in use, and the rest is taken.
func TestKeepsTheOld(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection lost")
	const dir = "core/os/x86_64/"
	for name, c := range map[string]struct {
		change func(t *testing.T, u *tree)
		want   string
	}{
		"gone":          {func(_ *testing.T, u *tree) { delete(u.files, dir+"core.db") }, "core.db: file does not exist; the databases of the last run are used"},
		"cannot be had": {func(_ *testing.T, u *tree) { u.errs[dir+"core.db"] = broken }, "connection lost"},
		"forbidden":     {func(_ *testing.T, u *tree) { u.errs[dir+"core.db"] = fs.ErrPermission }, "permission denied"},
		"empty":         {func(_ *testing.T, u *tree) { u.files[dir+"core.db"] = "" }, "core.db: "},
		"page":          {func(_ *testing.T, u *tree) { u.files[dir+"core.db"] = "<!DOCTYPE html>" }, "is it an error page?"},
		"cut":           {func(_ *testing.T, u *tree) { u.files[dir+"core.db"] = u.files[dir+"core.db"][:100] }, "cut short"},
		"never the same": {func(_ *testing.T, u *tree) {
			db, n := u.files[dir+"core.db"], 0
			u.before = func(name string) {
				u.mu.Lock()
				defer u.mu.Unlock()
				if name == dir+"core.db" {
					n++
					u.files[name] = db + strings.Repeat(" ", n)
				}
			}
		}, "the upstream changed while its files were fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, o := newTree(t)
			up, _ := scan(t, o)
			before := up.Views()[0].Index
			u.release(t, "core", "a-1-1:beside", "b-2-1")
			u.release(t, "extra", "c-2-1")
			u.files["lastupdate"] = "101"
			c.change(t, u)
			up, s := scan(t, o)
			if got := problems(s); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "core/os/x86_64: ") || len(s.Problems) != 1 {
				t.Errorf("problems are\n%s\nwant one with %q", got, c.want)
			}
			equal(t, "packages", names(s), []string{"a-1-1", "b-1-1", "c-2-1"})
			for i, f := range up.Views()[0].Index {
				data, err := os.ReadFile(f.Path)
				if err != nil || digest.SHA256.Sum(data).Hex() != before[i].SHA256 || f.Name != before[i].Name {
					t.Errorf("%s is not what it was: %v", f.Name, err)
				}
			}
			// It is asked again, although lastupdate stays.
			u.errs, u.before = make(map[string]error), nil
			delete(u.files, dir+"core.db.sig")
			delete(u.files, dir+"core.links")
			u.release(t, "core", "a-1-1:beside", "b-3-1")
			_, s = scan(t, o)
			equal(t, "packages at last", names(s), []string{"a-1-1", "b-3-1", "c-2-1"})
			if len(s.Problems) > 0 {
				t.Errorf("problems at last: %s", problems(s))
			}
		})
	}
}

// TestMoves changes the upstream between two of its files: what is
// taken belongs together.
func TestMoves(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		for _, at := range []string{"core.db.sig", "core.files", "core.links"} {
			t.Run(fmt.Sprint(at, plain), func(t *testing.T) {
				t.Parallel()
				u, o := newTree(t)
				u.plain = plain
				once := sync.OnceFunc(func() { u.release(t, "core", "new-1-1", "newer-1-1") })
				u.before = func(name string) {
					if strings.HasSuffix(name, at) {
						once()
					}
				}
				_, s := scan(t, o)
				if plain && at != "core.files" {
					// Without validators only what the files say counts.
					return
				}
				equal(t, "packages", names(s), []string{"new-1-1", "newer-1-1", "a-1-1", "c-1-1"})
				if len(s.Problems) > 0 {
					t.Error(problems(s))
				}
			})
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	u.errs["lastupdate"] = errors.New("connection refused")
	up, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := up.Scan(t.Context()); err != nil || problems(s) != "connection refused" || len(s.Distfiles) > 0 || len(up.Views()) > 0 {
		t.Errorf("before the first databases: %+v, %v", s, err)
	}
	u.errs = make(map[string]error)
	scan(t, o)
	u.requests()
	u.errs["lastupdate"] = errors.New("connection refused")
	_, s := scan(t, o)
	asked, _ := u.requests()
	equal(t, "asked", asked, []string{"lastupdate"})
	if want := "connection refused; the databases of the last run are used"; problems(s) != want {
		t.Errorf("problems are %q, want %q", problems(s), want)
	}
	equal(t, "packages", names(s), []string{"a-1-1", "b-1-1", "c-1-1"})

	o.Offline = true
	_, s = scan(t, o)
	if asked, _ := u.requests(); len(asked) > 0 || len(s.Problems) > 0 {
		t.Errorf("offline: asked %q, problems %s", asked, problems(s))
	}
	o.Offline, o.Dry = false, true
	u.errs = make(map[string]error)
	u.files["lastupdate"] = "102"
	u.release(t, "extra", "d-1-1")
	_, s = scan(t, o)
	equal(t, "packages of a dry run", names(s), []string{"a-1-1", "b-1-1", "d-1-1"})
	o.Dry, o.Offline = false, true
	_, s = scan(t, o)
	equal(t, "packages after a dry run", names(s), []string{"a-1-1", "b-1-1", "c-1-1"})
	entries, err := os.ReadDir(o.State)
	if err != nil || len(entries) != 3 {
		t.Errorf("state has %v, %v", entries, err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	scan(t, o)
	// What a killed run has left is removed by the next that changes anything.
	if err := os.MkdirAll(filepath.Join(o.State, "7", "core"), 0o755); err != nil {
		t.Fatal(err)
	}
	u.files["lastupdate"] = "101"
	u.release(t, "extra", "d-1-1")
	scan(t, o)
	entries, err := os.ReadDir(o.State)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	equal(t, "state", left, []string{"2", "signatures", "state.json"})
	for text, want := range map[string]string{
		"{":                 "remove " + o.State,
		`{"dir":"../../x"}`: "no directory of databases",
	} {
		if err := os.WriteFile(filepath.Join(o.State, stateFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		up, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.Scan(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want one with %q", text, err, want)
		}
	}
}

func TestView(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	o.At = "at"
	u.files["core/os/x86_64/core.db.sig"] = goodSignature("whatever")
	u.files["core/os/x86_64/core.files.sig"] = goodSignature("whatever")
	u.files["core/os/x86_64/core.links"] = u.files["core/os/x86_64/core.db"]
	u.files["core/os/x86_64/core.links.sig"] = goodSignature("whatever")
	entries := []txtar.File{{Name: "good-1-1/desc", Data: []byte(treeDesc("good-1-1"))}, {Name: "bad-1-1/desc", Data: []byte("%NAME%\nbad\n")}}
	u.files["extra/os/x86_64/extra.db"] = database(t, entries)
	delete(u.files, "extra/os/x86_64/extra.files")
	up, s := scan(t, o)
	if len(s.Problems) != 1 {
		t.Errorf("problems are\n%s", problems(s))
	}
	vs := up.Views()
	core, extra := vs[0], vs[1]
	var index []string
	for _, f := range core.Index {
		index = append(index, string(f.Name))
		if data, err := os.ReadFile(f.Path); err != nil || string(data) != u.files["core/os/x86_64/"+string(f.Name)] || f.SHA256 != digest.SHA256.Sum(data).Hex() || f.ModTime.IsZero() {
			t.Errorf("%s: %+v, %v", f.Name, f, err)
		}
	}
	equal(t, "index", index, []string{"core.links.sig", "core.links", "core.files.sig", "core.files", "core.db.sig", "core.db"})
	if core.Dir != "at/core/os/x86_64" || core.Suffix != ".sig" || core.Blocked != "" || core.CheckID != "" {
		t.Errorf("view is %+v", core)
	}
	if extra.Blocked != "1 of its 2 entries cannot be understood" || len(extra.Index) != 1 {
		t.Errorf("view of a database with a bad entry is %+v", extra)
	}
	for _, l := range core.Links {
		name := strings.TrimSuffix(string(l.Name), "-any.pkg.tar.zst")
		sig := l.Beside.Data
		if l.Beside.Path != "" {
			var err error
			if sig, err = os.ReadFile(l.Beside.Path); err != nil {
				t.Error(err)
			}
		}
		if string(sig) != goodSignature(name) || l.Check != nil || l.Owners[0].String() != name+"::arch" {
			t.Errorf("%s has the signature %q and the owners %v", l.Name, sig, l.Owners)
		}
	}
	ds, err := up.Named(core.Names().Path)
	if err != nil || len(ds) != 2 || ds[0].Name != treeName("a-1-1") || ds[1].Digests.Get(digest.SHA256) != digest.SHA256.Sum([]byte("b-1-1")) {
		t.Errorf("named are %v, %v", ds, err)
	}
	if _, err := up.Named(core.Index[0].Path); err == nil {
		t.Error("a signature names something")
	}
}

func treeName(p string) catalog.Name { return catalog.Name(treeFile(p)) }

func TestCancelled(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	for _, at := range []string{"lastupdate", "core.db", "core.files", ".sig"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the end")
		u.before = func(name string) {
			if strings.HasSuffix(name, at) {
				cancel(why)
			}
		}
		up, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.Scan(ctx); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error = %v", at, err)
		}
	}
	u.before = nil
	if _, s := scan(t, o); len(s.Problems) > 0 {
		t.Error(problems(s))
	}
}

func FuzzLoadState(f *testing.F) {
	f.Add([]byte(`{"base":"http://h","dir":"1","files":{"core/core.db":{"size":1,"sha256":"ab"}}}`))
	f.Add([]byte(`{"files":null,"dir":"999999999999999999999"}`))
	f.Add([]byte(`{"files":{"../../x":{}},"unsigned":{"a":{"count":-5}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), text, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := loadState(dir, true)
		if err != nil {
			return
		}
		for _, n := range s.Unsigned {
			n.due(time.Now())
		}
		if _, err := s.successor(dir); err != nil {
			t.Error(err)
		}
	})
}
