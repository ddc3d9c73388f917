package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"distkeep/catalog/regular"
)

// version is the module version that go install has built, or "devel".
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "devel"
}

// programID tells this program from every other one, also where no version does. It is
// empty where that cannot be known.
func programID() string {
	// The link of Linux leads to the program also when whom root has become must not
	// look where it is.
	fi, err := os.Stat("/proc/self/exe")
	if err != nil {
		exe, xerr := os.Executable()
		if xerr != nil {
			return ""
		}
		if fi, err = os.Stat(exe); err != nil {
			return ""
		}
	}
	return fmt.Sprint(version(), " ", regular.IDOf(fi))
}
