package report

import (
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// Schema is the version of the JSON form of a Summary, and of what status prints. It
// changes when a field changes its meaning or goes; fields that are added do not
// change it.
const Schema = 1

// A Summary says what a run did. Its JSON form is stable: every field is always
// there, see [Fill].
type Summary struct {
	Schema  int           `json:"schema"`
	Command string        `json:"command"`
	Start   time.Time     `json:"start"`
	Took    time.Duration `json:"took_ns"`
	// LastComplete is when the last run began that came to its end and
	// understood every tree, LastSuccess the last of those that also could ask
	// for files and delete what it should. Both may be this one.
	LastComplete time.Time `json:"last_complete"`
	LastSuccess  time.Time `json:"last_success"`
	// CertifiedBy is when the last run began that has looked at everything, if this
	// one found that nothing has changed since, and tells what that one found. Zero is
	// that this one has looked at everything.
	CertifiedBy time.Time `json:"certified_by"`

	Repositories []catalog.RepoStats `json:"repositories"`
	// Stamped counts the packages that were not read, because none of their files
	// has changed since an earlier run.
	Stamped int `json:"stamped"`
	// Complete is false when a part of a tree could not be understood; see
	// Problems. Nothing is deleted then.
	Complete bool     `json:"complete"`
	Problems []string `json:"problems"`
	// Unknown are the packages that could not be understood, each with the
	// cause, and Protected the records that are kept because of them alone.
	Unknown        []string        `json:"unknown"`
	Protected      int             `json:"protected"`
	ProtectedFiles []ProtectedFile `json:"protected_files"`
	Conflicts      int             `json:"conflicts"`
	// Notes are what repositories say that nobody need mend.
	Notes []string `json:"notes"`
	// Restricted are the names that must not be mirrored.
	Restricted int `json:"restricted"`

	// Wanted is everything that packages want, Held what needed nothing.
	Wanted layout.Count `json:"wanted"`
	Held   layout.Count `json:"held"`
	// Fetched, Local, Restored, Linked and Adopted were added: over the
	// network, from distfiles-local, from recycle, from another name, and
	// from files that were in the published tree already.
	Fetched  layout.Count `json:"fetched"`
	Local    layout.Count `json:"local"`
	Restored layout.Count `json:"restored"`
	Linked   layout.Count `json:"linked"`
	Adopted  layout.Count `json:"adopted"`
	// Found is what there was of the wanted before anything was fetched, Wrong the
	// files among it that did not hold what belongs in their places: MaxWrong of
	// them at most.
	Found Found   `json:"found"`
	Wrong []Wrong `json:"wrong,omitempty"`
	// Relinked are links made for a new layout or in place of missing ones.
	Relinked int `json:"relinked"`
	// Snapshot is the one that was made after the run, and SnapshotsRemoved is
	// how many old ones went for it.
	Snapshot         string `json:"snapshot,omitempty"`
	SnapshotsRemoved int    `json:"snapshots_removed,omitempty"`
	// Layouts is what becomes of the layouts, or nil when they stay.
	Layouts *Layouts `json:"layouts"`
	// Lost are records whose file was gone or changed.
	Lost layout.Count `json:"lost"`
	// Gone is the number of contents that are on the whitelist, or that a
	// package may want that cannot be read, and that this run has found lost.
	Gone int `json:"gone"`
	// Coming is what there was to fetch.
	Coming Coming `json:"coming"`
	// Received counts bytes over the network, failed attempts included.
	Received int64 `json:"received"`

	// Views are the directories of repositories that are published as such.
	Views []View `json:"views"`

	// Failures by class, new in this run and known before it.
	Failures map[failure.Class]FailureCount `json:"failures"`
	// News are the first of the new ones, by name.
	News []News `json:"news"`
	// Outage says that not one host answered.
	Outage *Outage `json:"outage"`
	// Parked are wanted files for which the time for transfers was not enough.
	// They are no failures: the next run goes on with them.
	Parked layout.Count `json:"parked"`
	// Waiting are those of the known whose next try is not due.
	Waiting int `json:"waiting"`

	// Deleting says whether the run was allowed to delete. Scheduled and
	// Unscheduled changed their state, Deleted went to recycle, Purged left
	// it, Due would go next.
	Deleting     bool         `json:"deleting"`
	Scheduled    layout.Count `json:"scheduled"`
	Unscheduled  layout.Count `json:"unscheduled"`
	Deleted      layout.Count `json:"deleted"`
	Purged       layout.Count `json:"purged"`
	LocalExpired layout.Count `json:"local_expired"`
	// DeletionDelay and RecycleDelay are those of the run.
	DeletionDelay time.Duration `json:"deletion_delay_ns"`
	RecycleDelay  time.Duration `json:"recycle_delay_ns"`
	// Guard is why nothing was scheduled or deleted although it was allowed.
	Guard string `json:"guard"`

	// Archive is what the archive holds after the run, Pending what of it is
	// scheduled for deletion, Recycle what waits in recycle.
	Archive layout.Count `json:"archive"`
	Pending layout.Count `json:"pending"`
	Recycle layout.Count `json:"recycle"`
	// Due are the days on which what is Pending may go, in order.
	Due []Due `json:"due"`
	// Damaged is the number of files of the archive that are known not to be
	// what they should be, and that nobody has mended.
	Damaged int `json:"damaged"`
	// Rooms are what the archive has beside its files.
	Rooms Rooms `json:"rooms"`
	// Ages tell when the archive was last verified.
	Ages Ages `json:"ages"`

	// Interrupted says that the run was ended early, Broken why it could not
	// go on.
	Interrupted bool   `json:"interrupted"`
	Broken      string `json:"broken"`

	Hosts []Host `json:"hosts"`

	// Shards are the last runs of all shards, in what Merge has made; the rest is about
	// all of them together. One that has had no run yet has no Start.
	Shards []ShardRun `json:"shards"`
}

// A ShardRun is the last run of one shard.
type ShardRun struct {
	Shard string `json:"shard"`
	Run
}

// A Due is what may be deleted on one day, or was to be before the first.
type Due struct {
	Day string `json:"day"` // in UTC: 2026-11-28
	layout.Count
}

// Rooms are what an archive has beside its published files.
type Rooms struct {
	// Free are the bytes that may still be written to the file system of the
	// published tree, StateFree to that of the state, and MinFree those that the
	// run was told to leave.
	Free      int64 `json:"free"`
	StateFree int64 `json:"state_free"`
	MinFree   int64 `json:"min_free"`
	// Parts are transfers that were not complete, Quarantine what came and was not
	// what the tree says.
	Parts      layout.Count `json:"parts"`
	Quarantine layout.Count `json:"quarantine"`
}

// Scanned puts into s what a scan has found.
func (s *Summary) Scanned(cat *catalog.Catalog) {
	s.Repositories, s.Stamped = cat.Repos, cat.Stamped
	s.Problems, s.Unknown = nil, nil
	s.Complete = cat.Complete()
	s.Conflicts, s.Notes = len(cat.Conflicts), cat.Notes
	s.Restricted = len(cat.Restricted)
	for _, p := range cat.Problems {
		if p.Scope == catalog.OnePackage {
			s.Unknown = append(s.Unknown, p.Error())
		} else {
			s.Problems = append(s.Problems, p.Error())
		}
	}
}

// Found says what an archive had of what is wanted before anything was fetched.
type Found struct {
	// Right was in place; Foreign was too, in files that somebody else could write
	// to; Elsewhere lay where no layout would have it.
	Right     layout.Count `json:"right"`
	Foreign   layout.Count `json:"foreign"`
	Elsewhere layout.Count `json:"elsewhere"`
	// Wrong are files in the places of what is wanted that held other bytes.
	Wrong layout.Count `json:"wrong"`
	// Missing are the contents that had to be fetched.
	Missing layout.Count `json:"missing"`
}

// Coming says what a plan is going to fetch.
type Coming struct {
	layout.Count
	// Hosts is how many hosts the first sources are on, Free what may still be
	// written where the archive is.
	Hosts int   `json:"hosts"`
	Free  int64 `json:"free"`
}

// A Wrong file was in the place of something wanted, and is now in quarantine.
type Wrong struct {
	Path   string `json:"path"`
	Name   string `json:"name"`
	Owner  string `json:"owner,omitempty"`
	Size   int64  `json:"size"`
	Reason string `json:"reason"`
	Kept   string `json:"kept"`
}

// MaxWrong bounds the list of wrong files of one run.
const MaxWrong = 200

// AddWrong notes a wrong file as long as there is room.
func (s *Summary) AddWrong(w Wrong) {
	if len(s.Wrong) < MaxWrong {
		s.Wrong = append(s.Wrong, w)
	}
}

// A ProtectedFile is a record that is kept only because the package By, which may
// want it, cannot be known.
type ProtectedFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	By     string `json:"by"`
}

// FailureCount are the failures of one class.
type FailureCount struct {
	New   int `json:"new"`
	Known int `json:"known"`
}

// News is one failure that is new.
type News struct {
	Name   string `json:"name"`
	Owner  string `json:"owner"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
}

// MaxNews is how many of the new failures a Summary names, and maxNews bounds what it
// says of each.
const (
	MaxNews = 20
	maxNews = 200
)

// NewsOf is a News of bounded length.
func NewsOf(name, owner, class, reason string) News {
	return News{name, owner, class, Brief(reason, maxNews)}
}

// An Outage is a time in which not one host answered: nobody could be asked, and what
// was known of files that failed before has stayed as it was.
type Outage struct {
	// Since is when the first run was that met it, Hosts how many hosts this one
	// has asked.
	Since time.Time `json:"since"`
	Hosts int       `json:"hosts"`
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
func (s *Summary) Added() layout.Count {
	var c layout.Count
	for _, a := range []layout.Count{s.Fetched, s.Local, s.Restored, s.Linked, s.Adopted} {
		c.Files += a.Files
		c.Bytes += a.Bytes
	}
	return c
}

// Ages tell how long ago the bytes of the archive were last read and found
// right.
type Ages struct {
	// At is when they were counted, which is not in each run: one that finds that
	// nothing has changed looks at no record.
	At time.Time `json:"at"`
	// Oldest is when the one was read that was read longest ago: every byte
	// has been read since. It is zero for an empty archive, and when there
	// are Unknown ones.
	Oldest time.Time `json:"oldest"`
	// Within counts contents by age; each is in the first that fits. Older
	// are those beyond the last.
	Within []Age        `json:"within"`
	Older  layout.Count `json:"older"`
	// Unknown are those of Older that were read at a time that has yet to come:
	// the clock was wrong once.
	Unknown layout.Count `json:"unknown"`
}

// An Age counts what was read at most Days days ago.
type Age struct {
	Days int `json:"days"`
	layout.Count
}

// A View says what became of one view of a repository.
type View struct {
	Repo string `json:"repo"`
	// Index is the path of the index that names the files, relative to the
	// published tree.
	Index string `json:"index"`
	// Files is the number of distfiles that the new index names.
	Files int `json:"files"`
	// State is "current" when the index was published before, "published"
	// when it is now, and "held back" when the old one stays, because of Why.
	State string `json:"state"`
	Why   string `json:"why"`
	// Missing are files that it names and that are not there, although it is
	// published.
	Missing []catalog.Name `json:"missing"`
}

// The states of a View.
const (
	ViewCurrent   = "current"
	ViewPublished = "published"
	ViewHeldBack  = "held back"
)

// A Host says how transfers from one upstream host went.
type Host struct {
	Host string `json:"host"`
	// Files were completed from the host.
	Files int `json:"files"`
	// Bytes were received, in failed attempts too.
	Bytes int64 `json:"bytes"`
	// Requests were sent; a request that a dead host spared is not counted.
	Requests int `json:"requests"`
	// Peak is the largest number of transfers at one time, Connections that
	// of open connections.
	Peak        int `json:"peak"`
	Connections int `json:"connections"`
	// Answered tells that the host has answered in this run, if only that it
	// has not got a file.
	Answered bool `json:"answered"`
	// Declined are requests that a host in good health has answered, but not
	// with the file. Failures are attempts that failed for trouble with the
	// host; Spared are those that were not even
	// made, because the host was known to be dead.
	Declined int `json:"declined"`
	Failures int `json:"failures"`
	Spared   int `json:"spared"`
	// Limit is the number of transfers that the host is trusted with now, Max
	// the most that it may ever be.
	Limit int `json:"limit"`
	Max   int `json:"max"`
	// Spent is the time that failed attempts took in all.
	Spent time.Duration `json:"spent"`
	// Dead says why the host is not asked any more, and DeadClass what kind
	// of trouble that is; empty when it is.
	Dead      string        `json:"dead"`
	DeadClass failure.Class `json:"dead_class"`
	// SkipVerify tells that certificates of the host are not verified.
	SkipVerify bool `json:"skip_verify"`
	// Lowered is what was given up to get files from the host, such as modern
	// TLS; the digests have proved the files all the same.
	Lowered string `json:"lowered"`
}

// Layouts tells of layouts that change.
type Layouts struct {
	// Next is what layout.conf is going to list when it is not before Due, or
	// empty. Due is zero before what is new is listed at all: Unlinked files lack
	// links for that.
	Next     []string  `json:"next"`
	Due      time.Time `json:"due"`
	Unlinked int       `json:"unlinked"`
	// Leaving are the layouts that layout.conf does not list any more, and until
	// when they keep their paths.
	Leaving map[string]time.Time `json:"leaving"`
}
