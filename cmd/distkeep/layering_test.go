package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers are the packages of the program and those of ours that each may
// import: an arrow only points down. A package that is not
// in the table does not belong anywhere yet.
var layers = map[string]string{
	"catalog/digest":          "",
	"catalog/regular":         "",
	"catalog":                 "catalog/digest catalog/regular",
	"catalog/gentoo":          "catalog catalog/digest catalog/regular catalog/gentoo/ebuild",
	"catalog/gentoo/ebuild":   "catalog",
	"catalog/gentoo/portage":  "catalog/regular",
	"catalog/openbsd":         "catalog catalog/digest catalog/regular",
	"catalog/pacman":          "catalog catalog/digest catalog/regular",
	"catalog/pacman/upstream": "catalog catalog/digest catalog/regular catalog/pacman",
	"catalog/keyring":         "",
	"catalog/feed":            "catalog catalog/digest",
	"catalog/peer":            "catalog catalog/digest catalog/feed catalog/regular",
	"catalog/sources":         "catalog catalog/digest catalog/regular catalog/keyring",
	"whitelist":               "catalog catalog/digest catalog/regular",
	"fetch/failure":           "",
	"fetch/oldtls":            "",
	"fetch":                   "catalog catalog/digest catalog/regular fetch/failure fetch/oldtls",
	"fetch/fetchtest":         "catalog catalog/digest fetch fetch/failure",
	"archive/layout":          "catalog catalog/digest catalog/regular",
	"archive/ledger":          "catalog catalog/digest catalog/regular archive/layout archive/ledger/flat",
	"archive/ledger/flat":     "catalog/regular",
	"archive/history":         "catalog catalog/digest catalog/regular archive/layout",
	"archive/disk":            "catalog/regular",
	"archive/store":           "catalog catalog/digest catalog/regular archive/disk archive/layout",
	"archive/store/storetest": "catalog/regular archive/disk",
	"archive/snapshot":        "catalog catalog/digest catalog/regular archive/bucket archive/layout archive/ledger archive/report archive/store archive/vault",
	"archive/report":          "catalog catalog/digest catalog/regular fetch/failure archive/layout",
	"archive/report/metrics":  "archive/report fetch/failure",
	"archive/requests":        "catalog catalog/regular",
	"archive/report/triage":   "archive/report fetch/failure",
	"archive/report/pages":    "archive/report archive/report/triage catalog/regular",
	"archive/certificate":     "catalog catalog/regular",
	"archive/plan":            "catalog catalog/digest fetch/failure archive/layout archive/ledger",
	"archive/vault":           "catalog catalog/digest catalog/regular fetch/failure archive/certificate archive/disk archive/history archive/layout archive/ledger archive/report archive/store",
	"archive/bucket":          "catalog/digest catalog/regular archive/layout archive/store",
	"archive/bucket/s3test":   "",
	"archive/deposit":         "archive/bucket archive/doctor archive/export archive/layout archive/report archive/store archive/vault catalog catalog/digest catalog/regular",
	"archive/shards":          "archive/bucket archive/deposit archive/history archive/layout archive/report archive/store catalog catalog/regular",
	"archive/vault/depottest": "archive/layout archive/store archive/vault catalog catalog/digest",
	"archive/export":          "catalog catalog/digest catalog/regular fetch/failure archive/history archive/layout archive/ledger archive/report archive/vault",
	"archive/demand":          "catalog catalog/digest fetch/failure",
	"archive/serve":           "catalog catalog/digest catalog/regular archive/demand archive/layout archive/report",
	"archive/archivetest":     "catalog catalog/digest archive/export archive/layout archive/ledger archive/vault",
	"archive/verify":          "catalog catalog/digest catalog/regular archive/export archive/layout archive/ledger archive/report archive/store archive/vault",
	"archive/doctor":          "catalog catalog/digest catalog/regular archive/export archive/history archive/layout archive/ledger archive/report archive/store archive/vault",
	"archive/views":           "catalog catalog/regular archive/layout archive/ledger archive/plan archive/report archive/store archive/vault",
	"archive/survey":          "archive/imported archive/layout archive/ledger archive/plan archive/store archive/vault catalog catalog/regular whitelist",
	"archive/generations":     "archive/layout archive/ledger archive/store archive/vault catalog catalog/digest catalog/feed catalog/regular",
	"archive/lists":           "archive/export archive/history archive/layout archive/ledger archive/plan archive/vault catalog catalog/digest",
	"archive/deletion":        "archive/layout archive/ledger archive/plan archive/survey archive/vault archive/views catalog",
	"archive/past":            "archive/deletion archive/export archive/history archive/layout archive/ledger archive/lists archive/plan archive/report archive/store archive/survey archive/vault archive/views catalog catalog/digest whitelist",
	"archive/imported":        "archive/history archive/layout catalog catalog/digest catalog/regular",
	"archive/takeover":        "archive/export archive/history archive/imported archive/layout archive/ledger archive/store archive/vault catalog catalog/digest",
	"archive/undo":            "archive/export archive/ledger archive/vault catalog",
	"archive/relayout":        "archive/export archive/layout archive/ledger archive/report archive/vault catalog/digest",
	"archive/failures":        "archive/ledger archive/plan archive/report archive/vault catalog catalog/digest fetch fetch/failure",
	"archive":                 "archive/certificate archive/deletion archive/demand archive/export archive/failures archive/generations archive/layout archive/ledger archive/lists archive/plan archive/relayout archive/report archive/store archive/survey archive/takeover archive/vault archive/views catalog catalog/digest catalog/regular fetch fetch/failure whitelist archive/requests archive/undo",
	"archive/why":             "catalog catalog/digest whitelist archive/layout archive/ledger archive/history archive/store archive/report",
	"cmd/distkeep":            "*",
}

// homes are the packages that alone may import what is heavy, or what belongs
// to one concern. A module that is not in the table has no home yet.
var homes = map[string]string{
	"github.com/dgraph-io/badger/v4":        "archive/ledger",
	"github.com/hashicorp/go-retryablehttp": "fetch",
	"github.com/aws/aws-sdk-go-v2":          "archive/bucket cmd/distkeep",
	"github.com/aws/smithy-go":              "archive/bucket",
	"github.com/johannesboyne/gofakes3":     "archive/bucket/s3test",
	"github.com/urfave/cli/v2":              "cmd/distkeep",
	"github.com/rs/zerolog":                 "cmd/distkeep",
	"github.com/BurntSushi/toml":            "cmd/distkeep",
	"github.com/dustin/go-humanize":         "cmd/distkeep",
	"golang.org/x/term":                     "cmd/distkeep",
	"github.com/ProtonMail/go-crypto":       "catalog/keyring",
	"github.com/klauspost/compress":         "catalog/feed catalog/pacman",
	"github.com/ulikunitz/xz":               "catalog/pacman",
	"github.com/prometheus/client_golang":   "archive/serve archive/report/metrics",
	"github.com/prometheus/common":          "archive/report/metrics",
	"github.com/gofrs/flock":                "archive/ledger archive/store whitelist",
	"github.com/google/renameio/v2":         "catalog/regular",
	"mvdan.cc/sh/v3":                        "catalog/gentoo/ebuild",
	"golang.org/x/crypto":                   "catalog/digest",
	"golang.org/x/mod":                      "archive archive/generations catalog/feed catalog/peer cmd/distkeep",
	"golang.org/x/net":                      "fetch archive/serve",
	"golang.org/x/time":                     "archive/verify fetch",
	"golang.org/x/sync":                     "*",
	"golang.org/x/sys":                      "*",
	"net/http":                              "fetch fetch/fetchtest archive/bucket archive/bucket/s3test archive/serve cmd/distkeep",
	"log":                                   "archive/serve", // to keep net/http from using it
	"log/slog":                              "",
	"flag":                                  "",
	"testing":                               "fetch/fetchtest archive/archivetest archive/bucket/s3test archive/store/storetest archive/vault/depottest",
	"os/signal":                             "cmd/distkeep",
	"os/exec":                               "catalog/openbsd fetch archive/bucket/s3test cmd/distkeep",
	"plugin":                                "",
	"github.com/google/go-cmp":              "",
	"github.com/rogpeppe/go-internal":       "",
	"go.uber.org/goleak":                    "",
	"golang.org/x/tools":                    "",
}

// A goPackage is what go list says of a package.
type goPackage struct {
	Dir        string
	ImportPath string
	Standard   bool
	Imports    []string
	GoFiles    []string
}

func listPackages(t *testing.T) (ps []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=Dir,ImportPath,Standard,Imports,GoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		exit := (*exec.ExitError)(nil)
		if errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// in reports whether a list of a table has name.
func in(list, name string) bool {
	return list == "*" || slices.Contains(strings.Fields(list), name)
}

func TestLayering(t *testing.T) {
	t.Parallel()
	ps := listPackages(t)
	if len(ps) == 0 {
		t.Fatal("go list knows no packages")
	}
	for _, p := range ps {
		name := strings.TrimPrefix(p.ImportPath, "distkeep/")
		allowed, ok := layers[name]
		if !ok {
			t.Errorf("%s is not in the table of layers: say there what it may import", name)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "distkeep/"); ok {
				if !in(allowed, ours) {
					t.Errorf("%s imports %s: arrows only point down", name, ours)
				}
				continue
			}
			checkHome(t, name, i)
		}
		if name != "cmd/distkeep" {
			checkSilence(t, name, p)
		}
	}
}

// checkHome checks that the package name may import path, which is not ours.
func checkHome(t *testing.T, name, path string) {
	t.Helper()
	for module := range maps.Keys(homes) {
		if path == module || strings.HasPrefix(path, module+"/") && strings.Contains(module, ".") {
			if !in(homes[module], name) {
				t.Errorf("%s imports %s, which is at home in %q", name, path, homes[module])
			}
			return
		}
	}
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
		t.Errorf("%s imports %s, which is not in the table of homes", name, path)
	}
}

// forbidden are the functions and variables of the world around a program that
// only main may use: libraries report through events and errors.
var forbidden = map[string]string{
	"os":  "Exit Getenv LookupEnv Environ Setenv Unsetenv ExpandEnv Args Stdin Stdout Stderr",
	"fmt": "Print Printf Println Scan Scanf Scanln",
}

// checkSilence checks that no file of p uses what is forbidden.
func checkSilence(t *testing.T, name string, p goPackage) {
	t.Helper()
	for _, file := range p.GoFiles {
		path := filepath.Join(p.Dir, file)
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && in(forbidden[x.Name], s.Sel.Name) {
				t.Errorf("%s/%s uses %s.%s: libraries are silent", name, file, x.Name, s.Sel.Name)
			}
			return true
		})
	}
}

// TestLayers checks the table itself: it has no loops, so that "down" means
// something.
func TestLayers(t *testing.T) {
	t.Parallel()
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		if slices.Contains(above, name) {
			t.Fatalf("the layers have a loop: %s", strings.Join(append(above, name), " > "))
		}
		list, ok := layers[name]
		if !ok {
			t.Fatalf("%s may import %s, which is not in the table", above[len(above)-1], name)
		}
		for _, below := range strings.Fields(list) {
			if below != "*" {
				visit(below, append(slices.Clip(above), name))
			}
		}
	}
	for name := range layers {
		visit(name, nil)
	}
	for _, low := range []string{"catalog", "catalog/gentoo", "catalog/openbsd", "catalog/pacman", "catalog/sources", "fetch", "whitelist"} {
		for _, i := range strings.Fields(layers[low]) {
			if i == "archive" || strings.HasPrefix(i, "archive/") {
				t.Errorf("%s may import %s: catalogs, transfers and whitelists know nothing of archives", low, i)
			}
		}
	}
}
