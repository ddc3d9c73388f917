package archive

import (
	"time"

	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// A Summary says what a run did. Its JSON form is stable: fields are added, not
// changed.
type Summary struct {
	Command string        `json:"command"`
	Start   time.Time     `json:"start"`
	Took    time.Duration `json:"took_ns"`

	Repositories []catalog.RepoStats `json:"repositories"`
	// Complete is false when a part of a tree could not be understood; see
	// Problems. Nothing is let go of then.
	Complete bool     `json:"complete"`
	Problems []string `json:"problems,omitempty"`
	// Unknown are the packages that could not be understood, each with the
	// cause, and Protected the records that are kept because of them alone.
	Unknown   []string `json:"unknown,omitempty"`
	Protected int      `json:"protected"`
	Conflicts int      `json:"conflicts"`
	// Notes are what repositories say that nobody need mend.
	Notes []string `json:"notes,omitempty"`
	// Restricted are the names that must not be mirrored.
	Restricted int `json:"restricted"`

	// Wanted is everything that packages want, Held what needed nothing.
	Wanted vault.Count `json:"wanted"`
	Held   vault.Count `json:"held"`
	// Fetched, Local, Restored, Linked and Adopted were added: over the
	// network, from distfiles-local, from recycle, from another name, and
	// from files that were in the published tree already.
	Fetched  vault.Count `json:"fetched"`
	Local    vault.Count `json:"local"`
	Restored vault.Count `json:"restored"`
	Linked   vault.Count `json:"linked"`
	Adopted  vault.Count `json:"adopted"`
	// Relinked are links made for a new layout or in place of missing ones.
	Relinked int `json:"relinked"`
	// LayoutsBefore are those that files had links for before this run, when
	// they are not those of now.
	LayoutsBefore []string `json:"layouts_before,omitempty"`
	// Lost are records whose file was gone or changed.
	Lost vault.Count `json:"lost"`
	// Gone is the number of contents that are on the whitelist, or that a
	// package may want that cannot be read, and that this run has found lost.
	Gone int `json:"gone,omitempty"`
	// Received counts bytes over the network, failed attempts included.
	Received int64 `json:"received"`

	// Views are the directories of repositories that are published as such.
	Views []ViewSummary `json:"views,omitempty"`

	// Failures by class, new in this run and known before it.
	Failures map[failure.Class]FailureCount `json:"failures,omitempty"`
	// Parked are wanted files for which the time for transfers was not enough.
	// They are no failures: the next run goes on with them.
	Parked vault.Count `json:"parked"`
	// Waiting are those of the known whose next try is not due.
	Waiting int `json:"waiting"`

	// Deleting says whether the run was allowed to delete. Scheduled and
	// Unscheduled changed their state, Deleted went to recycle, Purged left
	// it, Due would go next.
	Deleting     bool        `json:"deleting"`
	Scheduled    vault.Count `json:"scheduled"`
	Unscheduled  vault.Count `json:"unscheduled"`
	Deleted      vault.Count `json:"deleted"`
	Purged       vault.Count `json:"purged"`
	LocalExpired vault.Count `json:"local_expired"`
	// DeletionDelay and RecycleDelay are those of the run.
	DeletionDelay time.Duration `json:"deletion_delay_ns"`
	RecycleDelay  time.Duration `json:"recycle_delay_ns"`
	// Guard is why nothing was scheduled or deleted although it was allowed.
	Guard string `json:"guard,omitempty"`

	// Archive is what the archive holds after the run, Pending what of it is
	// scheduled for deletion, Recycle what waits in recycle.
	Archive vault.Count `json:"archive"`
	Pending vault.Count `json:"pending"`
	Recycle vault.Count `json:"recycle"`
	// Ages tell when the archive was last verified.
	Ages Ages `json:"ages"`

	// Interrupted says that the run was ended early, Broken why it could not
	// go on.
	Interrupted bool   `json:"interrupted,omitempty"`
	Broken      string `json:"broken,omitempty"`

	Hosts []fetch.HostStats `json:"hosts,omitempty"`
}

// FailureCount are the failures of one class.
type FailureCount struct {
	New   int `json:"new"`
	Known int `json:"known"`
}

// NewFailures is the number of failures that the last run did not have.
func (s *Summary) NewFailures() int {
	n := 0
	for _, c := range s.Failures {
		n += c.New
	}
	return n
}

// AllFailures is the number of failures, known ones included.
func (s *Summary) AllFailures() int {
	n := 0
	for _, c := range s.Failures {
		n += c.New + c.Known
	}
	return n
}

// Added is everything that was added to the archive.
func (s *Summary) Added() vault.Count {
	var c vault.Count
	for _, a := range []vault.Count{s.Fetched, s.Local, s.Restored, s.Linked, s.Adopted} {
		c.Files += a.Files
		c.Bytes += a.Bytes
	}
	return c
}
