package portage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeFiles writes files below a new directory, which it returns.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestParseRepositories(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       map[string]string // locations
		main       string
	}{
		{"one", "[gentoo]\nlocation = /var/db/repos/gentoo\n", map[string]string{"gentoo": "/var/db/repos/gentoo"}, ""},
		{"main and comments", "# c\n[DEFAULT]\nmain-repo = gentoo\n; c\n[gentoo]\nLocation: /a/b/\nsync-type = rsync\n", map[string]string{"gentoo": "/a/b"}, "gentoo"},
		{"interpolation", "[DEFAULT]\nbase = %(ROOT)ssrv\n[a]\nlocation = %(base)s/%%a\n[b]\nlocation=%(PORTAGE_CONFIGROOT)sb\nname=x\n", map[string]string{"a": "/srv/%a", "b": "/conf/b"}, ""},
		{"a later value wins", "[a]\nlocation = /a\n[a]\nlocation = /b\n", map[string]string{"a": "/b"}, ""},
		{"values of several lines", "[a]\nsync-hooks = x\n  y = z\nlocation = /a\n\n  # c\n", map[string]string{"a": "/a"}, ""},
		{"aliases", "[gentoo]\naliases = portage  gentoo-portage\nlocation = /g\n[overlay]\nlocation = /o\naliases = gentoo\n", map[string]string{"gentoo": "/g", "portage": "/g", "gentoo-portage": "/g", "overlay": "/o"}, ""},
		{"no location", "[a]\nsync-type = git\n[b]\nlocation = /b\n", map[string]string{"a": "", "b": "/b"}, ""},
		{"nothing", "", map[string]string{"gentoo": "", "DEFAULT": ""}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRepositories("/conf", "repos.conf", c.text)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := r.Location(name); got != want {
					t.Errorf("Location(%q) = %q, want %q", name, got, want)
				}
			}
			if r.Main != c.main {
				t.Errorf("Main = %q, want %q", r.Main, c.main)
			}
		})
	}
}

func TestParseRepositoriesErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"no section", "location = /a\n", "repos.conf:1: there is no [section] above it"},
		{"bad section", "[a]\n[b\n", `repos.conf:2: "[b" is no [section]`},
		{"no value", "[a]\nlocation\n", `repos.conf:2: "location" is not key = value`},
		{"unknown name", "[a]\nlocation = %(nowhere)s\n", "there is no value for it"},
		{"a loop", "[a]\nlocation = %(location)s\n", "without end"},
		{"a single sign", "[a]\nlocation = 5%\n", "is followed by neither"},
		{"an expanding loop", "[DEFAULT]\n" + strings.Repeat("a", 1<<10) + " = x\nb = " + strings.Repeat("y", 1<<18) + "\nc = %(b)s%(b)s%(b)s%(b)s%(b)s\n[a]\nlocation = %(c)s\n", "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseRepositories("/", "repos.conf", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestLoadRepositories(t *testing.T) {
	t.Parallel()
	root := writeFiles(t, map[string]string{
		"usr/share/portage/config/repos.conf": "[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = /usr/portage\n",
		"etc/portage/repos.conf/gentoo.conf":  "[gentoo]\nlocation = /var/db/repos/gentoo\n",
		"etc/portage/repos.conf/local/a.conf": "[local]\nlocation = /srv/local\n",
		"etc/portage/repos.conf/.hidden":      "[",
		"etc/portage/repos.conf/old~":         "[",
	})
	r, err := LoadRepositories(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Names(), []string{"gentoo", "local"}; !cmp.Equal(got, want) {
		t.Errorf("Names() = %v, want %v", got, want)
	}
	if got := r.Location("gentoo"); got != "/var/db/repos/gentoo" || r.Main != "gentoo" {
		t.Errorf("gentoo is at %q, the main repository is %q", got, r.Main)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/portage/repos.conf/z.conf"), []byte("[z]\nx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	syntax := (*SyntaxError)(nil)
	if _, err := LoadRepositories(root); !errors.As(err, &syntax) || syntax.Line != 2 || filepath.Base(syntax.File) != "z.conf" {
		t.Errorf("error is %v, want one of z.conf:2", err)
	}
}

func TestParseMakeConf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       map[string]string
	}{
		{"bare", "A=b\n", map[string]string{"A": "b"}},
		{"quotes", `A="b c" B='d "e"' C="f\"g\h" D=i\ j` + "\n", map[string]string{"A": "b c", "B": `d "e"`, "C": `f"g\h`, "D": "i j"}},
		{"blanks and export", "export A = \"b\"\n  # c\nB=\n", map[string]string{"A": "b", "B": ""}},
		{"variables", "A=x\nB=\"$A-${A}-${NO}\"\nC='$A'\nD=\\$A$\n", map[string]string{"A": "x", "B": "x-x-", "C": "$A", "D": "$A$"}},
		{"lines", "A=\"b \\\n  c\"\nB=\"d\ne\"\n", map[string]string{"A": "b   c", "B": "d\ne"}},
		{"a comment behind", "A=\"b\" # c\nB=c#d\n", map[string]string{"A": "b", "B": "c#d"}},
		{"other substitutions", "A=b\nB=\"a ${A:-c}\" C=${A}\nD=\"-j$(nproc)\"\n", map[string]string{"A": "b", "B": "", "C": "b", "D": "-j$(nproc)"}},
		{"a source", "source other\nB=$A", map[string]string{"A": "from other", "B": "from other"}},
		{"source as a name", "source=x\n", map[string]string{"source": "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(map[string]string)
			err := ParseMakeConf("make.conf", c.text, got, func(path string) error {
				got["A"] = "from " + path
				return nil
			})
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
	for _, c := range []struct{ name, text, want string }{
		{"a command", "A=b\nif true; then\n", "make.conf:2: if has no value"},
		{"an open brace", "A=\"\nb ${B\"\n", "make.conf:2: a ${ has no end"},
		{"an open quote", "A=\"\n\nb", "make.conf:3: a quote has no end"},
		{"an open single quote", "A='b", "a quote has no end"},
		{"no name", "=b\n", `"=b\n" is no assignment`},
		{"no file", "source\n", "source has no file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ParseMakeConf("make.conf", c.text, make(map[string]string), func(string) error { return nil })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestLoadMakeConf(t *testing.T) {
	t.Parallel()
	root := writeFiles(t, map[string]string{
		"etc/make.conf":           "A=old\nB=old\n",
		"etc/portage/make.conf/1": "A=new\nsource ../more\n",
		"etc/portage/more":        "C=more\n",
	})
	got, err := LoadMakeConf(root)
	if diff := cmp.Diff(map[string]string{"A": "new", "B": "old", "C": "more"}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	loop := writeFiles(t, map[string]string{"etc/portage/make.conf": "source make.conf\n"})
	if _, err := LoadMakeConf(loop); err == nil || !strings.Contains(err.Error(), "without end") {
		t.Errorf("a file that sources itself: error is %v", err)
	}
	missing := writeFiles(t, map[string]string{"etc/portage/make.conf": "source nowhere\n"})
	if _, err := LoadMakeConf(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that sources one that is not there: error is %v", err)
	}
	if got, err := LoadMakeConf(t.TempDir()); len(got) != 0 || err != nil {
		t.Errorf("no make.conf: %v, %v", got, err)
	}
}

// What is read is not executed, ends, and is bounded.
func FuzzMakeConf(f *testing.F) {
	f.Add("A=\"b $A ${A}\"\nexport B='c'\n# d\nsource e\n")
	f.Add("A=\\\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		vars := make(map[string]string)
		err := ParseMakeConf("f", text, vars, func(string) error { return nil })
		if syntax := (*SyntaxError)(nil); err != nil && !errors.As(err, &syntax) {
			t.Errorf("%v is no syntax error", err)
		}
		for k := range vars {
			if nameLen(k) != len(k) || k == "" {
				t.Errorf("%q is no name", k)
			}
		}
	})
}

func FuzzRepositories(f *testing.F) {
	f.Add("[DEFAULT]\na = %(b)s%%\nb: c\n[x]\nlocation = %(a)s\n d\naliases = y\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRepositories("/", "f", text)
		if err != nil {
			return
		}
		for _, name := range r.Names() {
			if r.Location(name) == "" {
				t.Errorf("%q has no location", name)
			}
		}
	})
}
