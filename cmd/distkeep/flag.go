package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// named returns a flag that has its names at hand: the library looks for names some
// thousand times a command, and each time it would make them with a regular expression.
func named(f cli.Flag) cli.Flag {
	names := f.Names()
	switch f := f.(type) {
	case *cli.StringFlag:
		return stringFlag{f, names}
	case *cli.BoolFlag:
		return boolFlag{f, names}
	case *cli.IntFlag:
		return intFlag{f, names}
	case *cli.StringSliceFlag:
		return stringsFlag{f, names}
	case *cli.IntSliceFlag:
		return intsFlag{f, names}
	case *cli.GenericFlag:
		return valueFlag{f, names}
	}
	panic(fmt.Sprintf("named does not know flags of type %T", f))
}

type (
	stringFlag struct {
		*cli.StringFlag
		names []string
	}
	boolFlag struct {
		*cli.BoolFlag
		names []string
	}
	intFlag struct {
		*cli.IntFlag
		names []string
	}
	stringsFlag struct {
		*cli.StringSliceFlag
		names []string
	}
	intsFlag struct {
		*cli.IntSliceFlag
		names []string
	}
	valueFlag struct {
		*cli.GenericFlag
		names []string
	}
)

func (f stringFlag) Names() []string  { return f.names }
func (f boolFlag) Names() []string    { return f.names }
func (f intFlag) Names() []string     { return f.names }
func (f stringsFlag) Names() []string { return f.names }
func (f intsFlag) Names() []string    { return f.names }
func (f valueFlag) Names() []string   { return f.names }
