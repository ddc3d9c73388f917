package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseOldArgs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args    string
		want    map[string][]string
		unknown []string
		err     string
	}{
		{"", map[string][]string{}, nil, ""},
		{"--mirror --jobs=10 --jobs 4", map[string][]string{"mirror": {""}, "jobs": {"10", "4"}}, nil, ""},
		{"-j10 -j=3 -j 4 -vv -vj5", map[string][]string{"jobs": {"10", "3", "4", "5"}, "verbose": {"", "", ""}}, nil, ""},
		{"--dry --sym --tri 0 --deletion-de 5", map[string][]string{"dry-run": {""}, "symlinks": {""}, "tries": {"0"}, "deletion-delay": {"5"}}, nil, ""},
		{"--distfiles /a --distfiles-local /b", map[string][]string{"distfiles": {"/a"}, "distfiles-local": {"/b"}}, nil, ""},
		{"--del", nil, nil, "ambiguous option: --del could match --delete, --deletion-db, --deletion-delay"},
		{"--jobs", nil, nil, "argument --jobs: expected one argument"},
		{"--distfiles --mirror", nil, nil, "argument --distfiles: expected one argument"},
		{"--distfiles - --tries -5", map[string][]string{"distfiles": {"-"}, "tries": {"-5"}}, nil, ""},
		{"--jobs= ", nil, nil, `argument --jobs: invalid int value: ""`},
		{"--mirror=yes", nil, nil, `argument --mirror: ignored explicit argument "yes"`},
		{"--strict-manifests maybe", nil, nil, `argument --strict-manifests: invalid choice: "maybe" (choose from y, n)`},
		{"--load-average=2.5 -l 1", map[string][]string{"load-average": {"2.5", "1"}}, nil, ""},
		{"-l high", nil, nil, `argument --load-average: invalid float value: "high"`},
		{"--whitelist-from=a=b --whitelist-from c", map[string][]string{"whitelist-from": {"a=b", "c"}}, nil, ""},
		{"--portdir=/a --mirror word -x -vx", map[string][]string{"mirror": {""}, "verbose": {""}}, []string{"--portdir=/a", "word", "-x", "-vx"}, ""},
		{"-v -- --mirror", map[string][]string{"verbose": {""}}, []string{"--mirror"}, ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			a, err := parseOldArgs(strings.Fields(c.args))
			if c.err != "" {
				if usage := (usageError{}); !errors.As(err, &usage) || err.Error() != c.err {
					t.Errorf("error is %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, a.values); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.unknown, a.unknown); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0s", "1209600": "1209600s", "-1": "-1s", "9999999999999": strconv.Itoa(math.MaxInt64/int(time.Second)) + "s",
	} {
		if got := seconds(in); got != want {
			t.Errorf("seconds(%q) = %q, want %q", in, got, want)
		} else if _, err := time.ParseDuration(got); err != nil {
			t.Error(err)
		}
	}
}

// TestOldRun translates command lines, with a configuration of Portage.
func TestOldRun(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/portage/make.conf":        "EMIRRORDIST_DEFAULT_OPTS=\"--whitelist-from W -v --repo other --jobs 2\"\n",
		"etc/portage/repos.conf":       "[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = " + root + "/gentoo\naliases = g\n[overlay]\nlocation = " + root + "/overlay\n[loop]\nlocation = " + root + "/loop\n[other]\nlocation = " + root + "/other\n",
		"gentoo/profiles/repo_name":    "gentoo\n",
		"overlay/profiles/repo_name":   "overlay\n",
		"overlay/metadata/layout.conf": "masters = loop nowhere\n",
		"loop/profiles/repo_name":      "loop\n",
		"loop/metadata/layout.conf":    "masters = overlay g\n",
		"other/profiles/repo_name":     "other\n",
		"gentoo/profiles/categories":   "",
		"overlay/profiles/categories":  "",
		"d/layout.conf":                "[structure]\n0=flat\n",
		"same":                         "[structure]\n0=flat\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args string) string {
		r, err := newOldRun(strings.Fields(strings.ReplaceAll("--config-root=ROOT --mirror --distfiles ROOT/d "+args, "ROOT", root)), "")
		if err != nil {
			return "error: " + err.Error()
		}
		return strings.ReplaceAll(strings.Join(r.mirrorArgs(), " "), root, "ROOT")
	}
	const begin = "--distfiles=ROOT/d --state=ROOT/"
	for _, c := range []struct{ args, want string }{
		{"", begin + "d.distkeep --repo=gentoo:ROOT/other --master-repo=ROOT/gentoo --jobs=2 --whitelist-from=W --delete=false --dry-run=false"},
		{"-v --repo g --whitelist-from X --jobs 3", begin + "d.distkeep --repo=gentoo:ROOT/gentoo --jobs=3 --whitelist-from=W --whitelist-from=X --delete=false --dry-run=false --verbose"},
		{"--ignore --repo overlay", begin + "d.distkeep --repo=gentoo:ROOT/overlay --master-repo=ROOT/loop --master-repo=ROOT/gentoo --delete=false --dry-run=false"},
		{"--ignore --repo gentoo --distfiles-db ROOT/b --delete", begin + "b.distkeep --repo=gentoo:ROOT/gentoo --delete=true --dry-run=false"},
		{"--ignore --repo gentoo --distfiles-db ROOT/b --deletion-db ROOT/c --deletion-delay 60 --recycle-deletion-delay 120 --dry-run --tries 0", begin + "c.distkeep --repo=gentoo:ROOT/gentoo --tries=0 --deletion-delay=60s --recycle-delay=120s --delete=false --dry-run=true"},
		{"--ignore --repo gentoo --layout-conf ROOT/same", begin + "d.distkeep --repo=gentoo:ROOT/gentoo --delete=false --dry-run=false"},
		{"--ignore", "error: --repo option is required"},
		{"--ignore --repo DEFAULT", "error: Unable to locate repository named 'DEFAULT'"},
		{"--recycle-db x", "error: --recycle-db requires --recycle-dir"},
		{"--deletion-db x", "error: --deletion-db requires --deletion-delay"},
	} {
		if got := run(c.args); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.args, got, c.want)
		}
	}
}

// TestOldOptions: every option of mirror that a translation gives exists, and no
// two of emirrordist share a name.
func TestOldOptions(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, f := range newMirrorFlags().flags() {
		known[f.Names()[0]] = true
	}
	r := &oldRun{oldArgs: &oldArgs{values: make(map[string][]string)}, masters: []string{"m"}}
	names := make(map[string]bool)
	for _, o := range oldOptions {
		if r.values[o.long] = []string{"1", "1"}; names[o.long] || o.short != "" && names[o.short] {
			t.Errorf("--%s is there twice", o.long)
		}
		names[o.long], names[o.short] = true, true
	}
	for _, a := range r.mirrorArgs() {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if !known[name] {
			t.Errorf("mirror has no option --%s", name)
		}
	}
}
