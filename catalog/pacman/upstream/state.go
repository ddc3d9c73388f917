package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/pacman"
	"distkeep/catalog/regular"
)

// A state is what is known of an upstream from the last run. It names the
// directory with the databases, so that replacing its file replaces all of them
// at once.
type state struct {
	// Base is the URL that the databases are from, Form what was asked for.
	Base string `json:"base,omitempty"`
	Form string `json:"form,omitempty"`
	// LastUpdate is the upstream's, if the last scan was without trouble.
	LastUpdate string `json:"last_update,omitempty"`
	// Newest is the latest lastupdate of Base, and Asked when the databases
	// were last asked for.
	Newest string    `json:"newest,omitempty"`
	Asked  time.Time `json:"asked,omitzero"`
	// Dir is the directory of the databases; empty means none. Directories
	// are numbered and never changed once they are named here.
	Dir string `json:"dir,omitempty"`
	// Files are those in Dir by their path.
	Files map[string]fileState `json:"files,omitempty"`
	// Unsigned are the packages, by digest, for which the upstream had no
	// signature.
	Unsigned map[string]unsigned `json:"unsigned,omitempty"`
}

// unsigned says when an upstream was last asked for a signature in vain, and
// how often.
type unsigned struct {
	Asked time.Time `json:"asked"`
	Count int       `json:"count"`
	// Soft: it did not say that there is none.
	Soft bool `json:"soft,omitempty"`
}

// A fileState is one file of a database.
type fileState struct {
	catalog.Version
	SHA256 string `json:"sha256"`
	// Undated: the upstream gave no time, and ModTime is when it came.
	Undated bool `json:"undated,omitempty"`
}

const stateFile = "state.json"

// maxState bounds the file: a line for each file and each unsigned package.
const maxState = 64 << 20

// loadState reads the state below dir, which it makes unless readOnly. Without
// a file the state is empty.
func loadState(dir string, readOnly bool) (*state, error) {
	s := &state{Files: make(map[string]fileState)}
	if !readOnly {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, stateFile)
	text, err := regular.Read(file, maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case errors.Is(err, regular.ErrTooLarge):
		return nil, fmt.Errorf("%w; remove %s, and everything is asked for anew", err, dir)
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %w; remove %s, and everything is asked for anew", file, err, dir)
	}
	if strings.Trim(s.Dir, "0123456789") != "" || len(s.Dir) > 9 {
		return nil, fmt.Errorf("%s: %q is no directory of databases; remove %s, and everything is asked for anew", file, s.Dir, dir)
	}
	for name := range s.Files {
		_, err := catalog.ParsePath(name)
		if err == nil {
			_, err = os.Stat(filepath.Join(s.dir(dir), filepath.FromSlash(name)))
		}
		if err != nil {
			delete(s.Files, name) // it is asked for anew
		}
	}
	return s, nil
}

// dir returns where the databases are.
func (s *state) dir(base string) string {
	if s.Dir == "" {
		return filepath.Join(base, "none")
	}
	return filepath.Join(base, s.Dir)
}

// has reports whether there is a database for each of locs.
func (s *state) has(locs []pacman.Location) bool {
	for _, l := range locs {
		if _, ok := s.Files[l.Path(".db")]; !ok {
			return false
		}
	}
	return true
}

// forgetVersions makes sure that everything is asked for anew.
func (s *state) forgetVersions() {
	for name, f := range s.Files {
		f.Validator = ""
		s.Files[name] = f
	}
}

// sameFiles reports whether s and o have the same files.
func (s *state) sameFiles(o *state) bool {
	return maps.EqualFunc(s.Files, o.Files, func(a, b fileState) bool { return a.SHA256 == b.SHA256 })
}

// successor returns an empty state with a new directory below dir, where only
// the directory of s is left beside it.
func (s *state) successor(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi("0" + s.Dir)
	if err != nil {
		return nil, err
	}
	next := &state{Dir: strconv.Itoa(n + 1), Files: make(map[string]fileState), Unsigned: s.Unsigned}
	if err := s.sweep(dir); err != nil {
		return nil, err
	}
	return next, os.Mkdir(next.dir(dir), 0o755)
}

// sweep removes directories of databases other than that of s: runs that were
// killed may have left them.
func (s *state) sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.Trim(e.Name(), "0123456789") == "" && e.Name() != s.Dir {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// save makes s the state below dir and removes the databases of former ones.
// The files that it names are durable already.
func (s *state) save(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, stateFile)
	if old, err := regular.Read(file, maxState); err == nil && string(old) == string(text) {
		return nil
	}
	if err := regular.Write(file, text, 0o644); err != nil {
		return err
	}
	return s.sweep(dir)
}

// linkInto makes the file to of the bytes of from.
func linkInto(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Link(from, to)
}
