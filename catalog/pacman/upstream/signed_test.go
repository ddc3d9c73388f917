package upstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/pacman"
)

func TestSignatures(t *testing.T) {
	t.Parallel()
	const sig = "core/os/x86_64/a-1-1-any.pkg.tar.zst.sig"
	day := 24 * time.Hour
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	u, o := newTree(t)
	o.Repos = []string{"core"}
	now := start
	o.Now = func() time.Time { return now }
	o.Dry = true
	scan(t, o)
	if asked, _ := u.requests(); slices.Contains(asked, sig) {
		t.Error("a dry run asks for signatures")
	}
	o.Dry = false
	delete(u.files, sig)
	up, s := scan(t, o)
	u.requests()
	if len(s.Problems) > 0 || up.Views()[0].Links[0].Beside != nil {
		t.Errorf("no signature: %s", problems(s))
	}
	ask := func(when string, after time.Duration, want bool) {
		t.Helper()
		now = start.Add(after)
		u.files["lastupdate"] = fmt.Sprint(now.Unix())
		scan(t, o)
		if asked, _ := u.requests(); slices.Contains(asked, sig) != want {
			t.Errorf("%s: asked %q", when, asked)
		}
	}
	ask("an hour later", time.Hour, false)
	ask("a day later", day, true)
	ask("two days later", 2*day, false)
	ask("three days later", 3*day, true)
	u.release(t, "core", "a-1-1", "b-1-1:inline", "z-1-1")
	ask("with a new database", 3*day+time.Hour, false)

	// What is no signature is none, and trouble of the server may end soon,
	// whatever lastupdate says.
	for i, c := range []struct {
		err  error
		text string
		soon bool
	}{
		{nil, "<html>", false},
		{nil, "", false},
		{nil, strings.Repeat("\x89", pacman.MaxSignature+1), false},
		{errForbidden, "", false},
		{errTrouble, "", true},
	} {
		now = start.Add(time.Duration(i+1) * 100 * day)
		u.files["lastupdate"] = fmt.Sprint(now.Unix())
		u.errs[sig], u.files[sig] = c.err, c.text
		up, s = scan(t, o)
		if len(s.Problems) > 0 || up.Views()[0].Links[0].Beside != nil {
			t.Errorf("%v: %s", c, problems(s))
		}
		u.requests()
		scan(t, o)
		if asked, _ := u.requests(); slices.Contains(asked, sig) {
			t.Errorf("%v: asked again at once", c)
		}
		now = now.Add(90 * time.Minute)
		scan(t, o)
		if asked, _ := u.requests(); slices.Contains(asked, sig) != c.soon {
			t.Errorf("%v: asked soon: %q", c, asked)
		}
	}

	// No answer is told and tried again, too.
	now = start.Add(1000 * day)
	u.files["lastupdate"] = fmt.Sprint(now.Unix())
	u.errs[sig] = errLost
	for range 2 {
		up, s = scan(t, o)
		if want := "a-1-1: signature: connection lost"; problems(s) != want || up.Views()[0].Links[0].Beside != nil {
			t.Errorf("problems are %q, want %q", problems(s), want)
		}
	}
	u.errs[sig], u.files[sig] = nil, goodSignature("a-1-1")
	up, s = scan(t, o)
	if len(s.Problems) > 0 || up.Views()[0].Links[0].Beside == nil {
		t.Errorf("at last: %s", problems(s))
	}
	u.requests()
	up, _ = scan(t, o)
	asked, _ := u.requests()
	equal(t, "asked with all there", asked, []string{"lastupdate"})

	// It goes with its package.
	file := up.Views()[0].Links[0].Beside.Path
	u.release(t, "core", "b-1-1:inline")
	u.files["lastupdate"] = fmt.Sprint(now.Unix() + 1)
	scan(t, o)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the signature of a package that is gone is kept: %v", err)
	}
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	u, o := newTree(t)
	o.Keyring, o.KeyringID = seal{}, "keys of 2026"
	sign := func(repo string) {
		name := treeDir(repo) + repo + ".db"
		u.files[name+".sig"] = goodSignature(u.files[name])
	}
	check := func(l catalog.ViewLink, content string) error {
		t.Helper()
		if l.Check == nil {
			t.Fatalf("%s is not checked", l.Name)
		}
		return l.Check(strings.NewReader(content))
	}
	up, s := scan(t, o)
	core, extra := up.Views()[0], up.Views()[1]
	if len(s.Problems) > 0 || core.CheckID != o.KeyringID {
		t.Errorf("problems %s, id %q", problems(s), core.CheckID)
	}
	if err := errors.Join(check(core.Links[0], "a-1-1"), check(core.Links[1], "b-1-1")); err != nil {
		t.Errorf("good signatures: %v", err)
	}
	if err := check(extra.Links[1], "c-1-1"); !errors.Is(err, errUnsigned) {
		t.Errorf("no signature at all: %v", err)
	}
	if err := check(core.Links[1], "other"); !errors.Is(err, errSeal) || !strings.Contains(err.Error(), "signature of b-1-1-any.pkg.tar.zst: ") {
		t.Errorf("a bad signature: %v", err)
	}
	// A fetched signature that is bad is asked for again.
	u.requests()
	if err := check(core.Links[0], "other"); !errors.Is(err, errSeal) {
		t.Errorf("a bad signature: %v", err)
	}
	scan(t, o)
	asked, _ := u.requests()
	equal(t, "asked after a bad signature", asked, []string{"core/os/x86_64/a-1-1-any.pkg.tar.zst.sig", "extra/os/x86_64/c-1-1-any.pkg.tar.zst.sig", "lastupdate"})

	// A signed database vouches for packages that are not.
	u.files["lastupdate"] = "101"
	sign("extra")
	up, s = scan(t, o)
	if l := up.Views()[1].Links[1]; len(s.Problems) > 0 || l.Check != nil {
		t.Errorf("a signed database: %s", problems(s))
	}
	u.requests()
	scan(t, o)
	asked, _ = u.requests()
	equal(t, "asked for packages of a signed database", asked, []string{"lastupdate"})

	// One whose signature is not good is not taken.
	u.files["lastupdate"] = "102"
	u.release(t, "extra", "d-1-1")
	_, s = scan(t, o)
	if want := "extra/os/x86_64: extra.db: signed by nobody; the databases of the last run are used"; problems(s) != want {
		t.Errorf("problems are %q, want %q", problems(s), want)
	}
	sign("extra")
	up, s = scan(t, o)
	if len(s.Problems) > 0 || len(up.Views()[1].Links) != 1 {
		t.Errorf("signed again: %s", problems(s))
	}

	// A keyring that comes later finds what was taken without one.
	late, lo := newTree(t)
	late.files["core/os/x86_64/core.db.sig"] = goodSignature("other")
	scan(t, lo)
	lo.Keyring = seal{}
	up, s = scan(t, lo)
	if len(s.Problems) != 1 || up.Views()[0].Blocked != "core.db: signed by nobody" || up.Views()[1].Blocked != "" {
		t.Errorf("a keyring that comes later: %s; %q", problems(s), up.Views()[0].Blocked)
	}
}
