package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive"
)

// certify says what a run depends on, so that the next one can do without when all of
// that is the same.
func (o *mirrorFlags) certify(began time.Time) *archive.Certify {
	if programID() == "" {
		return nil
	}
	files := slices.Concat(o.whitelists.Value(), o.keyrings.Value(), []string{o.overridesFile, o.netrc, o.signKey, o.trustKey})
	return &archive.Certify{
		Settings: o.settings(), Began: began, Full: o.fullScan,
		Files: slices.DeleteFunc(files, func(f string) bool { return f == "" }),
	}
}

// settings is a hash of the program, who runs it and all options that decide.
func (o *mirrorFlags) settings() string {
	var b strings.Builder
	fmt.Fprintln(&b, programID())
	dir, _ := os.Getwd() // what is relative is found in it, or not at all
	fmt.Fprintf(&b, "user %d %d in %q\n", os.Geteuid(), os.Getegid(), dir)
	for _, f := range o.flags() {
		if name := f.Names()[0]; decides(name) {
			fmt.Fprintf(&b, "%s %q\n", name, setTo(f))
		}
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))
}

// decides reports whether a run does something else by an option. What is not known
// does.
func decides(name string) bool {
	g := groupOf(name)
	return name != "full-scan" && (g < 0 || optionGroups[g].title != "Reporting")
}

// setTo is what an option has been given, or its default.
func setTo(f cli.Flag) any {
	switch f := f.(type) {
	case *cli.StringFlag:
		return *f.Destination
	case *cli.BoolFlag:
		return fmt.Sprint(*f.Destination)
	case *cli.IntFlag:
		return fmt.Sprint(*f.Destination)
	case *cli.StringSliceFlag:
		return f.Destination.Value()
	case *cli.IntSliceFlag:
		return fmt.Sprint(f.Destination.Value())
	case *cli.GenericFlag:
		return fmt.Sprint(f.Value)
	}
	panic(fmt.Sprintf("setTo does not know flags of type %T", f))
}
