package store

// Failpoints are the names with which this package calls Failpoint: its steps
// between which a crash must do no harm.
var Failpoints = []string{
	"import.written",
	"commit.data-synced",
	"commit.directory-made",
	"commit.replacing",
	"commit.path-linked",
	"commit.linked",
	"commit.dirs-synced",
	"release.removed",
	"recycle.linked",
	"recycle.synced",
	"unpublish.removed",
	"unpublish.pruned",
	"removed.synced",
	"purge.removed",
	"quarantine.moved",
	"expose.copied",
	"expose.linked",
	"expose.renamed",
	"expose.synced",
	"withdraw.removed",
}
