package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distkeep/archive/imported"
)

// pythons are the interpreters of this machine, with a module of dbm that each has.
func pythons(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for _, p := range []string{"python3", "python3.6", "python3.9", "python3.13", "python3.14"} {
		out, err := exec.Command(p, "-c", askModules).Output()
		if err == nil {
			found[p] = strings.Fields(string(out))
		}
	}
	if len(found) == 0 {
		t.Skip("there is no python3")
	}
	return found
}

// askModules prints the modules of dbm that can be used.
const askModules = `
import importlib
for module in "dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3":
    try:
        importlib.import_module(module)
        print(module)
    except ImportError:
        pass
`

// makeDatabases writes databases as emirrordist does, and what shelve-utils dump
// makes of them.
const makeDatabases = `
import importlib, pickle, shelve, sys
module = importlib.import_module(sys.argv[1])
databases = {
    "deletion": {"a-1.tar.gz": 1700000000.75, "\u00e9%2F{1}.tar.gz": 1700000000},
    "distfiles": {"a-1.tar.gz": "app-misc/a-1.0_rc1"},
    "recycle": {"r.tar.gz": (1234567, 1690000000.5)},
    "content": {
        "filename:a-1.tar.gz": {(("BLAKE2B", "ab" * 64), ("SHA512", "cd" * 64))},
        "digest:SHA512:" + "cd" * 64: {"a-1.tar.gz"},
    },
}
dump = open("dump", "wb")
for name, values in databases.items():
    db = shelve.Shelf(module.open(name + ".db", "c"))
    db.update(values)
    for key in db:
        pickle.dump((key, db[key]), dump)
    db.close()
dump.close()
`

const exported = `deletion	a-1.tar.gz	1700000000
deletion	é%2F{1}.tar.gz	1700000000
owner	a-1.tar.gz	app-misc/a-1.0_rc1
recycle	r.tar.gz	1234567	1690000000
content	a-1.tar.gz	SHA512=CD BLAKE2B=AB
end	5
`

// TestExporter has the exporter read databases that Python has written, in every
// format that is at hand, and compares with what a dump of them says.
func TestExporter(t *testing.T) {
	t.Parallel()
	for python, modules := range pythons(t) {
		for _, module := range modules {
			t.Run(python+" "+module, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				run := func(stdin string, args ...string) []byte {
					cmd := exec.Command(python, append([]string{"-"}, args...)...)
					cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(stdin), os.Stderr
					out, err := cmd.Output()
					if err != nil {
						t.Fatal(err)
					}
					return out
				}
				run(makeDatabases, module)
				before := contents(t, dir)
				out := run(imported.Exporter, "--deletion-db", "deletion.db", "--distfiles-db", "distfiles.db", "--content-db", "content.db", "--recycle-db", "recycle.db")
				after := contents(t, dir)
				for name, data := range before { // SQLite makes files beside them
					if after[name] != data {
						t.Errorf("the exporter has changed %s", name)
					}
				}
				dump, err := os.ReadFile(filepath.Join(dir, "dump"))
				if err != nil {
					t.Fatal(err)
				}
				want := strings.NewReplacer("CD", strings.Repeat("cd", 64), "AB", strings.Repeat("ab", 64)).Replace(exported)
				for source, data := range map[string][]byte{"exporter": out, "dump": dump} {
					f := new(imported.Facts)
					var b bytes.Buffer
					if err := f.Read(source, bytes.NewReader(data)); err != nil {
						t.Error(err)
					} else if err := f.Write(&b); err != nil || b.String() != want {
						t.Errorf("%s, error %v: it says\n%swant\n%s", source, err, b.String(), want)
					}
				}
			})
		}
	}
}

// contents are what the files of dir hold.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(f)] = string(data)
	}
	return found
}
