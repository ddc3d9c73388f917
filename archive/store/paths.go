package store

import (
	"path/filepath"

	"distkeep/archive/layout"
)

// The names of what an archive has beside its published tree. No other file spells
// one of its paths; those in the published tree are in package layout.
const (
	ledgerDir     = "ledger"
	logDir        = "log"
	metadataDir   = "metadata"
	madeDir       = ".made"
	pacmanDir     = "pacman"
	publicDir     = "public"
	partsDir      = "parts"
	peerDir       = "peer"
	quarantineDir = "quarantine"
	recycleDir    = "recycle"
	reportDir     = "report"
	requestsDir   = "requests"
	shardsDir     = "shards"
	snapshotsDir  = "snapshots"
	sourcesDir    = "sources"
	stampsDir     = "stamps"
	bucketFile    = "bucket"
	depositedFile = "deposited"
	exposedFile   = "exposed"
	certificate   = "certificate"
	importedFile  = "imported"
	lockFile      = "lock"
	reserveFile   = "reserve"
	toldFile      = "told"
	whitelistFile = "whitelist"
)

// StateDirs are the directories that an archive makes in its state directory, for
// itself alone. Whatever is found there may be removed or moved.
var StateDirs = []string{ledgerDir, logDir, metadataDir, pacmanDir, partsDir, peerDir, quarantineDir, recycleDir, reportDir, requestsDir, snapshotsDir, sourcesDir, stampsDir}

// WorkDirs are those of them that are in the WorkDir when the state is on another
// file system than the published tree.
var WorkDirs = []string{partsDir, quarantineDir, recycleDir}

// WorkDir is the directory beside the published tree for what has to be on its file
// system.
func WorkDir(distfiles string) string { return filepath.Clean(distfiles) + ".work" }

// ReportDir holds what runs export for readers.
func ReportDir(state string) string { return filepath.Join(state, reportDir) }

// QuarantineDirs are where quarantine may be: in the first of them that is there.
func QuarantineDirs(distfiles, state string) []string {
	return []string{filepath.Join(state, quarantineDir), filepath.Join(WorkDir(distfiles), quarantineDir)}
}

// RequestsDir holds what people ask for while a run goes on.
func RequestsDir(state string) string { return filepath.Join(state, requestsDir) }

// RecycleDirs are where recycle may be: in the first of them that is there.
func RecycleDirs(distfiles, state string) []string {
	return []string{filepath.Join(state, recycleDir), filepath.Join(WorkDir(distfiles), recycleDir)}
}

// PacmanDir holds what is known of the pacman upstream name, SourcesDir of the list
// name, and PeerDir of the archive name.
func PacmanDir(state, name string) string  { return filepath.Join(state, pacmanDir, name) }
func SourcesDir(state, name string) string { return filepath.Join(state, sourcesDir, name) }
func PeerDir(state, name string) string    { return filepath.Join(state, peerDir, name) }

// MetadataDir has a metadata cache for each Gentoo repository whose own lacks entries,
// and MadeDir what --metadata-command has made last.
func MetadataDir(state string) string { return filepath.Join(state, metadataDir) }
func MadeDir(state string) string     { return filepath.Join(state, metadataDir, madeDir) }

// StampsFile has what a scan found in the repository name, for the next one.
func StampsFile(state, name string) string { return filepath.Join(state, stampsDir, name) }

// WhitelistFile is the whitelist that belongs to the archive.
func WhitelistFile(state string) string { return filepath.Join(state, whitelistFile) }

// BucketFile says that the contents of an archive are in a bucket, and in which.
func BucketFile(state string) string { return filepath.Join(state, bucketFile) }

// PublicDir has what such an archive publishes beside its contents.
func PublicDir(state string) string { return filepath.Join(state, publicDir) }

// ExposedFile notes what readers find in the bucket whom the storage itself serves.
func ExposedFile(state string) string { return filepath.Join(state, exposedFile) }

// DepositedFile notes which ledger is in the bucket.
func DepositedFile(state string) string { return filepath.Join(state, depositedFile) }

// ImportedFile is what another program knew of the archive, until a run has used it.
func ImportedFile(state string) string { return filepath.Join(state, importedFile) }

// CertificateFile is what a run leaves that had nothing to do.
func CertificateFile(state string) string { return filepath.Join(state, certificate) }

// ToldFile says in short what the newest generation holds.
func ToldFile(state string) string { return filepath.Join(state, toldFile) }

// ShardsDir has what a reader has read of each shard.
func ShardsDir(state string) string { return filepath.Join(state, shardsDir) }

// SnapshotsDir is where snapshots are kept unless something else is asked for.
func SnapshotsDir(distfiles string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(distfiles)), snapshotsDir)
}

// InSnapshots reports whether dir is where snapshots are kept in a state directory.
func InSnapshots(state, dir string) bool { return dir == filepath.Join(state, snapshotsDir) }

// Published is the directory that is served.
func (p *Places) Published() string { return p.published }

// PartsDir holds the .part files of transfers.
func (p *Places) PartsDir() string { return p.parts }

// RecycleDir holds what was deleted.
func (p *Places) RecycleDir() string { return filepath.Join(p.work, recycleDir) }

// QuarantineDir holds wrong bytes for a person to look at.
func (p *Places) QuarantineDir() string { return filepath.Join(p.work, quarantineDir) }

// RequestsDir holds what people ask for while a run goes on.
func (p *Places) RequestsDir() string { return RequestsDir(p.state) }

// ReportDir holds what runs export for readers.
func (p *Places) ReportDir() string { return ReportDir(p.state) }

// LedgerDir holds the ledger.
func (p *Places) LedgerDir() string { return filepath.Join(p.state, ledgerDir) }

// Path returns the absolute path of a path relative to the published tree.
func (p *Places) Path(rel string) string { return filepath.Join(p.published, rel) }

// RecyclePath returns the path of a content in recycle.
func (p *Places) RecyclePath(c *layout.Content) string {
	return filepath.Join(p.RecycleDir(), c.SHA256().Hex(), c.Name.Base())
}

// Places tell where an archive has its files.
type Places struct {
	published string
	state     string
	work      string // parent of parts, recycle and quarantine: on the file system of published
	parts     string
}
