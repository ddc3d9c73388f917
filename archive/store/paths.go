package store

import "path/filepath"

// The names of what an archive has beside its published tree. No other file spells
// one of its paths; those in the published tree are in package layout.
const (
	ledgerDir     = "ledger"
	logDir        = "log"
	pacmanDir     = "pacman"
	partsDir      = "parts"
	quarantineDir = "quarantine"
	recycleDir    = "recycle"
	reportDir     = "report"
	snapshotsDir  = "snapshots"
	sourcesDir    = "sources"
	lockFile      = "lock"
	whitelistFile = "whitelist"
)

// StateDirs are the directories that an archive makes in its state directory, for
// itself alone. Whatever is found there may be removed or moved.
var StateDirs = []string{ledgerDir, logDir, pacmanDir, partsDir, quarantineDir, recycleDir, reportDir, snapshotsDir, sourcesDir}

// WorkDirs are those of them that are in the WorkDir when the state is on another
// file system than the published tree.
var WorkDirs = []string{partsDir, quarantineDir, recycleDir}

// WorkDir is the directory beside the published tree for what has to be on its file
// system.
func WorkDir(distfiles string) string { return filepath.Clean(distfiles) + ".work" }

// ReportDir holds what runs export for readers.
func ReportDir(state string) string { return filepath.Join(state, reportDir) }

// RecycleDirs are where recycle may be: in the first of them that is there.
func RecycleDirs(distfiles, state string) []string {
	return []string{filepath.Join(state, recycleDir), filepath.Join(WorkDir(distfiles), recycleDir)}
}

// PacmanDir holds what is known of the pacman upstream name, SourcesDir what is known
// of the list name.
func PacmanDir(state, name string) string  { return filepath.Join(state, pacmanDir, name) }
func SourcesDir(state, name string) string { return filepath.Join(state, sourcesDir, name) }

// WhitelistFile is the whitelist that belongs to the archive.
func WhitelistFile(state string) string { return filepath.Join(state, whitelistFile) }

// SnapshotsDir is where snapshots are kept unless something else is asked for.
func SnapshotsDir(distfiles string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(distfiles)), snapshotsDir)
}

// InSnapshots reports whether dir is where snapshots are kept in a state directory.
func InSnapshots(state, dir string) bool { return dir == filepath.Join(state, snapshotsDir) }
