package catalog

// A Local is a Repository that may read nothing but files of this machine.
type Local interface {
	Repository
	// Reads returns where Scan looks. ok is false when what it finds depends on
	// anything else as well: a server, a program, a time.
	Reads() (places []Place, ok bool)
}

// A Place is a file, or a directory with what is below it.
type Place struct {
	Path string
	// Skip, if not nil, reports whether what is at rel, relative to Path, is not
	// looked at.
	Skip func(rel string) bool
}
