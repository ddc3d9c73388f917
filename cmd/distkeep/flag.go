package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// prepareFlag lets a flag be set by DISTKEEP_NAME as well, and has its name at hand:
// the library looks for names some thousand times a command, and each time it would
// make one with a regular expression.
func prepareFlag(f cli.Flag) cli.Flag {
	name := []string{"DISTKEEP_" + strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))}
	switch f := f.(type) {
	case *cli.StringFlag:
		f.EnvVars = name
		return stringFlag{f}
	case *cli.BoolFlag:
		f.EnvVars = name
		return boolFlag{f}
	case *cli.IntFlag:
		f.EnvVars = name
		return intFlag{f}
	case *cli.StringSliceFlag:
		f.EnvVars = name
		return stringsFlag{f}
	case *cli.IntSliceFlag:
		f.EnvVars = name
		return intsFlag{f}
	case *cli.GenericFlag:
		f.EnvVars = name
		return valueFlag{f}
	}
	panic(fmt.Sprintf("flag %s has a type that prepareFlag does not know", name))
}

// The flags of the library, each with its one name.
type (
	stringFlag  struct{ *cli.StringFlag }
	boolFlag    struct{ *cli.BoolFlag }
	intFlag     struct{ *cli.IntFlag }
	stringsFlag struct{ *cli.StringSliceFlag }
	intsFlag    struct{ *cli.IntSliceFlag }
	valueFlag   struct{ *cli.GenericFlag }
)

func (f stringFlag) Names() []string  { return []string{f.Name} }
func (f boolFlag) Names() []string    { return []string{f.Name} }
func (f intFlag) Names() []string     { return []string{f.Name} }
func (f stringsFlag) Names() []string { return []string{f.Name} }
func (f intsFlag) Names() []string    { return []string{f.Name} }
func (f valueFlag) Names() []string   { return []string{f.Name} }
