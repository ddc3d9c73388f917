// Package portage reads the configuration of Portage as far as a mirror needs
// it: where the repositories are (repos.conf), and variables of make.conf.
//
// Both are read as Portage reads them, but for what only helps a person who
// installs packages. The files are the operator's: what cannot be read in them is
// an error that names file and line, and nothing is guessed.
//
// Begin reading at LoadRepositories and LoadMakeConf.
package portage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"distkeep/catalog/regular"
)

const (
	// maxFile bounds one file of configuration, maxFiles all of a directory.
	maxFile  = 1 << 20
	maxFiles = 1000
	// maxDepth bounds directories within directories, and files that source
	// others.
	maxDepth = 16
)

// A SyntaxError points at the offending line of a file of configuration.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

// Error returns "file:line: message".
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// read returns the text of a file.
func read(path string) (string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return string(text), err
}

// files returns path, or, when that is a directory, the files below it in the
// order of their names. Hidden files and those that end in "~" are none of
// Portage's. What is not there has no files.
func files(path string) ([]string, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return []string{path}, nil
	}
	var found []string
	err = below(path, 0, &found)
	return found, err
}

func below(dir string, depth int, found *[]string) error {
	if depth == maxDepth {
		return fmt.Errorf("%s: directories within directories without end", dir)
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range es {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") {
			continue
		}
		fi, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case fi.IsDir():
			if err := below(path, depth+1, found); err != nil {
				return err
			}
		default:
			if *found = append(*found, path); len(*found) > maxFiles {
				return fmt.Errorf("%s: more than %d files", dir, maxFiles)
			}
		}
	}
	return nil
}
