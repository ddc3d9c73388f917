package archive

// Failpoints are the names with which this package calls store.Failpoint: its
// steps between two states that outlive the process, beside those of package
// store.
var Failpoints = []string{
	"part.verified",
	"ledger.committed",
	"drop.removed",
	"distfiles.exported",
	"history.written",
	"distinfo.written",
	"lastupdate.written",
	"lastsync.written",
	"failures.exported",
	"deletions.exported",
	"ledger.closed",
}
