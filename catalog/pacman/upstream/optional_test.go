package upstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"distkeep/catalog/pacman"
)

// index are the names of the files of the first view.
func index(u *Repository) (names []string) {
	for _, f := range u.Views()[0].Index {
		names = append(names, string(f.Name))
	}
	return names
}

// TestOptional: what a repository need not have can be missing in any way, and
// the rest is taken.
func TestOptional(t *testing.T) {
	t.Parallel()
	const dir = "core/os/x86_64/"
	for _, file := range []string{"lastupdate", dir + "core.db.sig", dir + "core.files", dir + "core.files.sig", dir + "core.links"} {
		for name, tc := range map[string]struct {
			err  error
			text string
			note string // where it was there before
		}{
			"gone":      {errGone, "", "file does not exist"},
			"forbidden": {errForbidden, "", "permission denied"},
			"trouble":   {errTrouble, "", "trouble"},
			"page":      {nil, "<!DOCTYPE html>", "the upstream does not give the file"},
			"empty":     {nil, "", "the upstream does not give the file"},
			"large":     {nil, "\x89" + strings.Repeat("<!DOCTYPE html>", 5000), ""},
			"lost":      {errLost, "", "connection lost"},
		} {
			if file == "lastupdate" && name == "lost" {
				continue // the upstream cannot be reached at all
			}
			t.Run(file[strings.LastIndexByte(file, '/')+1:]+" "+name, func(t *testing.T) {
				t.Parallel()
				for _, before := range []bool{false, true} {
					u, o := newTree(t)
					for _, f := range []string{"core.db.sig", "core.files.sig"} {
						u.files[dir+f] = goodSignature("whatever")
					}
					u.files[dir+"core.links"] = u.files[dir+"core.files"]
					if before {
						scan(t, o)
						u.release(t, "core", "b-2-1")
						u.files[dir+"core.links"] = u.files[dir+"core.files"]
						u.files["lastupdate"] = "101"
					}
					u.errs[file], u.files[file] = tc.err, tc.text
					up, s := scan(t, o)
					if len(s.Problems) > 0 {
						t.Fatalf("problems: %s", problems(s))
					}
					if got := names(s); before != slices.Contains(got, "b-2-1") {
						t.Errorf("packages: %q", got)
					}
					left := strings.TrimPrefix(file, dir)
					if got := index(up); slices.Contains(got, left) || !slices.Contains(got, "core.db") {
						t.Errorf("index: %q", got)
					}
					told := len(s.Notes) == 1 && strings.HasPrefix(s.Notes[0], "core/os/x86_64: without "+left+": ") && strings.Contains(s.Notes[0], tc.note)
					if want := file != "lastupdate" && (before || name == "lost"); told != want || !want && len(s.Notes) > 0 {
						t.Errorf("before %v: notes: %q", before, s.Notes)
					}
				}
			})
		}
	}
}

// TestOptionalMismatch: a .files database that names other packages than the
// database, whenever it is asked for, is left out; while the database stays, so
// does what belonged to it.
func TestOptionalMismatch(t *testing.T) {
	t.Parallel()
	const dir = "core/os/x86_64/"
	u, o := newTree(t)
	up, _ := scan(t, o)
	old := up.Views()[0].Index[0].SHA256
	db := u.files[dir+"core.db"]
	u.release(t, "core", "a-1-1:beside", "new-1-1")
	u.files[dir+"core.db"], u.files["lastupdate"] = db, "101"
	up, s := scan(t, o)
	if ix := up.Views()[0].Index; len(s.Problems) > 0 || ix[0].Name != "core.files" || ix[0].SHA256 != old {
		t.Errorf("the same database: %s, %v", problems(s), ix)
	}
	files := u.files[dir+"core.files"]
	u.release(t, "core", "a-1-1:beside")
	u.files[dir+"core.files"], u.files["lastupdate"] = files, "102"
	up, s = scan(t, o)
	equal(t, "index", index(up), []string{"core.db"})
	equal(t, "notes", s.Notes, []string{"core/os/x86_64: without core.files: core.files names new-1-1-any.pkg.tar.zst, which core.db does not"})
	if len(s.Problems) > 0 {
		t.Error(problems(s))
	}
	u.requests()
	scan(t, o)
	asked, _ := u.requests()
	equal(t, "asked again", asked, []string{"lastupdate"})
}

func TestNoDatabaseSignature(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	u.files["core/os/x86_64/core.db.sig"] = goodSignature("another database")
	o.Keyring, o.NoDatabaseSignature = seal{}, true
	up, s := scan(t, o)
	if asked, _ := u.requests(); slices.Contains(asked, "core/os/x86_64/core.db.sig") || len(s.Problems) > 0 {
		t.Errorf("asked %q, problems %s", asked, problems(s))
	}
	equal(t, "index", index(up), []string{"core.files", "core.db"})
}

// TestStale: an upstream that goes back is a mirror that is behind.
func TestStale(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o.Now = func() time.Time { return now }
	const db = "core/os/x86_64/core.db"
	u.times[db] = now.Add(-time.Hour)
	scan(t, o)
	check := func(what, want string, packages ...string) {
		t.Helper()
		_, s := scan(t, o)
		if got := problems(s); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: problems are %q, want %q", what, got, want)
		}
		equal(t, what, names(s), packages)
	}
	u.release(t, "core", "a-2-1")
	u.files["lastupdate"] = "99"
	check("lastupdate", "stale mirror: http://upstream.example/arch/lastupdate is of 1970-01-01T00:01:39Z, and that of the last run was of 1970-01-01T00:01:40Z (if that is right, remove ", "a-1-1", "b-1-1", "c-1-1")
	u.files["lastupdate"], u.times[db] = "101", now.Add(-2*time.Hour)
	check("database", "core/os/x86_64: stale mirror: http://upstream.example/arch/core/os/x86_64/core.db is of 2026-01-02T01:04:05Z, and that of the last run was of 2026-01-02T02:04:05Z", "a-1-1", "b-1-1", "c-1-1")
	u.times[db] = time.Time{}
	check("without a time", "", "a-2-1", "a-1-1", "c-1-1")
	u.release(t, "core", "a-3-1")
	u.files["lastupdate"], u.times[db] = "102", now.Add(-3*time.Hour)
	check("with a time again", "", "a-3-1", "a-1-1", "c-1-1")

	// Times to come are not remembered, and another upstream has its own.
	u.files["lastupdate"], u.times[db] = fmt.Sprint(now.Add(48*time.Hour).Unix()), now.Add(48*time.Hour)
	u.release(t, "core", "a-4-1")
	check("to come", "", "a-4-1", "a-1-1", "c-1-1")
	u.files["lastupdate"], u.times[db] = "103", now
	u.release(t, "core", "a-5-1")
	check("after that", "", "a-5-1", "a-1-1", "c-1-1")
}

// TestBelief: that lastupdate does not move is believed for a day.
func TestBelief(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true},
		{time.Hour, false},
		{24*time.Hour - time.Second, false},
		{24 * time.Hour, true},
		{25 * time.Hour, false},
		{-time.Hour, true}, // the clock was put back
	} {
		o.Now = func() time.Time { return start.Add(tc.after) }
		scan(t, o)
		if asked, _ := u.requests(); slices.Contains(asked, "core/os/x86_64/core.db") != tc.want {
			t.Errorf("after %v: asked %q", tc.after, asked)
		}
	}
}

func TestNot(t *testing.T) {
	t.Parallel()
	o := pacman.Options{Repos: []string{"core", "multilib"}, Arches: []string{"x86_64", "i686"}, Not: []string{"multilib/i686"}}
	locs, err := o.Locations()
	var got []string
	for _, l := range locs {
		got = append(got, l.Path(".db"))
	}
	equal(t, "locations", got, []string{"core/os/x86_64/core.db", "core/os/i686/core.db", "multilib/os/x86_64/multilib.db"})
	if err != nil {
		t.Error(err)
	}
}
