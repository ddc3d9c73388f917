// Package openbsd reads OpenBSD ports trees: the output of make dump-vars,
// which says what each port wants, and the distinfo files, which say what that
// is. It does the work of the scanning half of dpb -F, and follows it (DPB::Vars,
// DPB::PortInfo, DPB::Fetch, DPB::Distfile) where this documentation does not
// say otherwise. No make runs unless [Options.Command] says so.
//
// # What becomes of a port
//
// Every word of DISTFILES, PATCHFILES and SUPDISTFILES is a distfile, whether
// or not the port is marked IGNORE on the machine that made the dump. A port
// that dpb would mark as broken is a problem of that port: make failed in it, a
// dependency does not exist, CHECKSUM_FILE is missing, or a file has no SHA256
// or no SIZE. The names of such a port are wanted nevertheless, with what is
// known about them, so that nothing is deleted because a port is broken.
//
// PERMIT_DISTFILES (before 2020 PERMIT_DISTFILES_FTP) with any other value than
// "yes" restricts the files of the port with [catalog.RestrictPermit],
// FETCH_MANUALLY with any other value than "no" with [catalog.RestrictFetch].
//
// Mirror groups need no support: make has replaced ${SITE_GNU} and its like by
// the sites of network.conf and of the user before it prints.
package openbsd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"distkeep/catalog"
)

// Options configure a Repository. Dump or Command must be set.
type Options struct {
	// Name is that of the repository. Empty means "openbsd".
	Name string
	// Dump is the file with the output of make dump-vars, or "-" for Stdin.
	// Lines of other kinds, such as the standard error of make, may be
	// among it.
	Dump string
	// Stdin is read by the first Scan when Dump is "-".
	Stdin io.Reader
	// Command is run in the ports tree, with the environment of the process,
	// and its standard output is read instead of Dump. On standard error
	// only the messages of make about single ports count. Dpb itself runs
	// make dump-vars DPB=Fetch BATCH=Yes REPORT_PROBLEM=: .
	Command []string
	// Root is PORTSDIR as the dump spells it: a CHECKSUM_FILE below it is
	// read at the same place below the ports tree. Empty means /usr/ports.
	// A CHECKSUM_FILE below the path of the ports tree itself is always
	// found.
	Root string
	// Partial tells that the dump covers a part of the tree only, so that
	// what it does not name may still be wanted.
	Partial bool
	// BackupSites are asked for every file, after all sites of the port, by
	// the name that the file has in the archive. They are URLs of
	// directories such as https://host/pub/OpenBSD/distfiles/. Sites of the
	// dump whose path ends in distfiles/DIST_SUBDIR are taken for backup
	// sites in any case.
	BackupSites []string
	// Workers bounds how many distinfo files are read at once. Zero means
	// one a processor.
	Workers int
}

// A Repository is an OpenBSD ports tree with a dump of its variables. It
// implements [catalog.Repository].
type Repository struct {
	o    Options
	path string
}

var _ catalog.Repository = (*Repository)(nil)

// Open returns the repository whose distinfo files are below path. It reads
// nothing yet; the error is about the options, or says that path is no
// directory.
func Open(path string, o Options) (*Repository, error) {
	o.Name = cmp.Or(o.Name, string(catalog.OpenBSD))
	o.Root = cmp.Or(o.Root, "/usr/ports")
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case len(o.Command) == 0 && o.Dump == "":
		return nil, fmt.Errorf("repository %s: neither a dump nor a command that makes one is given", o.Name)
	case len(o.Command) > 0 && o.Dump != "":
		return nil, fmt.Errorf("repository %s: both a dump and a command are given", o.Name)
	case o.Dump == "-" && o.Stdin == nil:
		return nil, fmt.Errorf("repository %s: the dump is to come from standard input, which is not there", o.Name)
	case !filepath.IsAbs(o.Root):
		return nil, fmt.Errorf("repository %s: PORTSDIR %s is not absolute", o.Name, o.Root)
	}
	sites := make([]string, len(o.BackupSites))
	for i, s := range o.BackupSites {
		if !strings.Contains(s, "://") {
			return nil, fmt.Errorf("repository %s: backup site %q is not a URL", o.Name, catalog.Redact(s))
		}
		sites[i] = strings.TrimRight(s, "/") + "/"
	}
	o.BackupSites = sites
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	}
	switch st, err := os.Stat(abs); {
	case err != nil:
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	case !st.IsDir():
		return nil, fmt.Errorf("repository %s: %s is not a directory", o.Name, path)
	}
	return &Repository{o: o, path: abs}, nil
}

// Name returns the name of the repository.
func (r *Repository) Name() string { return r.o.Name }

// Kind returns catalog.OpenBSD.
func (r *Repository) Kind() catalog.Kind { return catalog.OpenBSD }

// Partial reports whether the dump covers a part of the tree only: then its
// scan must neither schedule deletions nor change the history.
func (r *Repository) Partial() bool { return r.o.Partial }

// Scan reads the dump and the distinfo files that it names. A dump without a
// single port is an error, not an empty tree.
//
// Each distfile occurs once a content and restriction, with all the FULLPKGPATHs
// that want it as owners. Unreferenced counts the entries of the distinfo files
// read that no port of the dump mentions.
func (r *Repository) Scan(ctx context.Context) (*catalog.Scan, error) {
	d, err := r.readDump(ctx)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.o.Name, err)
	}
	defer root.Close()
	a := assembler{
		repo:     r,
		dump:     d,
		contents: make(map[content]*sourced),
		problems: &d.problems,
	}
	if err := a.readDistinfos(ctx, root); err != nil {
		return nil, err
	}
	for i := range d.problems.list {
		a.protect(root, &d.problems.list[i])
	}
	for _, p := range d.ports {
		a.port(p)
	}
	s := &catalog.Scan{
		Repo:        r.o.Name,
		Kind:        catalog.OpenBSD,
		Packages:    len(d.byPkg),
		Distfiles:   a.result(),
		Problems:    d.problems.list,
		Maintainers: func(pkg string) []string { return catalog.ParseMaintainers(d.people[pkg]) },
	}
	for _, i := range a.infos {
		s.Unreferenced += i.unreferenced()
	}
	if !d.permits && len(s.Distfiles) > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%s: no port says whether its distfiles may be mirrored (PERMIT_DISTFILES or PERMIT_DISTFILES_FTP), "+
			"as in dumps that were made with DPB=Fetch: all are mirrored; make the dump with DPB=\"Fetch All\"", d.label))
	}
	for i := range s.Problems {
		s.Problems[i].Repo = r.o.Name
	}
	return s, ctx.Err()
}

// readDump reads the dump from where the options say.
func (r *Repository) readDump(ctx context.Context) (*dump, error) {
	var d *dump
	var err error
	switch {
	case len(r.o.Command) > 0:
		d, err = r.runCommand(ctx)
	case r.o.Dump == "-":
		d = newDump("standard input")
		err = d.read(ctx, r.o.Stdin)
	default:
		d = newDump(r.o.Dump)
		err = d.readFile(ctx, r.o.Dump)
	}
	if err == nil && len(d.ports) == 0 {
		err = fmt.Errorf("%s: no output of make dump-vars: no line FULLPKGPATH.VARIABLE=value in it", d.label)
		if len(d.problems.list) > 0 {
			err = fmt.Errorf("%w; first problem: %w", err, d.problems.list[0])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.o.Name, err)
	}
	return d, nil
}

func (d *dump) readFile(ctx context.Context, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.read(ctx, f)
}

// reason returns the part of an error of package os that says why.
func reason(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
