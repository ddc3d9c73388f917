// Package demand is where those who wait for a file that the archive has not meet
// those who get it.
//
// A server asks for files at a Desk, and follows the bytes of each File as they arrive.
// Whoever may change the archive takes what is asked for from the Desk, and tells it
// what becomes of that: so one who is interrupted leaves the rest to the next.
//
// The rules that callers may rely on:
//
//   - Many who ask for one content have one File.
//   - What a State says of Part holds for one edition of it: its first Have bytes stay as
//     they are. They are what was wanted when it is Whole, and may be anything before.
//   - What could not be had is refused for as long as a run would wait with it, unless
//     the sources of the file have changed.
package demand

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A Desk has the files that somebody waits for. Its methods may be called concurrently.
type Desk struct {
	now func() time.Time

	mu      sync.Mutex
	files   map[string]*File // by Key
	parts   map[string]*File // by the part in which they arrive
	queue   []*File
	wake    chan struct{}
	refused map[string]*refusal
}

// A refusal keeps what could not be had from being tried again at once.
type refusal struct {
	Refused
	pause   time.Duration
	sources []catalog.Source
}

// Refused is why a file is not asked for, and until when.
type Refused struct {
	Until time.Time
	Class failure.Class
}

func (e *Refused) Error() string {
	return fmt.Sprintf("it could not be had (%s), and is not tried again before %s", e.Class, e.Until.UTC().Format(time.RFC3339))
}

// NewDesk returns a desk without files.
func NewDesk(now func() time.Time) *Desk {
	return &Desk{
		now: now, files: make(map[string]*File), parts: make(map[string]*File), wake: make(chan struct{}, 1), refused: make(map[string]*refusal),
	}
}

// Key is the same for all distfiles that are one content, as far as their digests tell.
func Key(d *catalog.Distfile) string {
	if sum := d.Digests.Strongest(); !sum.IsZero() {
		return sum.String()
	}
	return "/" + string(d.Name) // no algorithm begins like that
}

// A File is one that somebody waits for.
type File struct {
	*catalog.Distfile
	// Named: it has the published name, see catalog.Catalog.
	Named bool

	desk *Desk
	// What follows is guarded by the mutex of the desk.
	state   State
	changed chan struct{}
}

// A State is what has become of a File so far.
type State struct {
	// Part is where its bytes arrive, and Have how many there are, of which Edition.
	Part    string
	Have    int64
	Edition int
	// Whole says that all of them are there, and verified. SHA256 is their digest.
	Whole  bool
	SHA256 digest.Digest
	// Held says that the archive has it: Part may be gone.
	Held bool
	// Err is why it cannot be had now: a *Refused, or trouble of the archive.
	Err error
}

// Ask asks for d, which has the published name if it is named. Its error is a *Refused.
func (d *Desk) Ask(x *catalog.Distfile, named bool) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := Key(x)
	if f := d.files[key]; f != nil {
		return f, nil
	}
	if r := d.refused[key]; r != nil && d.now().Before(r.Until) && same(r.sources, x.Sources) {
		return nil, &r.Refused
	}
	f := &File{Distfile: x, Named: named, desk: d}
	d.files[key] = f
	d.enqueue(f)
	return f, nil
}

func (d *Desk) enqueue(f *File) {
	d.queue = append(d.queue, f)
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Wake tells that there may be something to take.
func (d *Desk) Wake() <-chan struct{} { return d.wake }

// Take takes what nobody is about to get. Who takes a file ends it by Held, Fail or
// Drop, or returns it.
func (d *Desk) Take() []*File {
	d.mu.Lock()
	defer d.mu.Unlock()
	fs := d.queue
	d.queue = nil
	return fs
}

// Return leaves to others what was taken, as it is.
func (d *Desk) Return(f *File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !f.state.Held && f.state.Err == nil {
		d.enqueue(f)
	}
}

// Arrives tells in which part the bytes of f arrive, if they do.
func (d *Desk) Arrives(f *File, part string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts[part] = f
}

// Grown is told how many bytes a part has, as the event of package fetch is.
func (d *Desk) Grown(part string, have int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.parts[part]
	if f == nil || f.state.Whole {
		return
	}
	if have == 0 || f.state.Part != part {
		f.state.Edition++
	}
	f.state.Part, f.state.Have = part, have
	f.tell()
}

// Whole tells that all bytes of f are in a part, and right.
func (d *Desk) Whole(f *File, part string, size int64, sums digest.Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.state.Part != part {
		f.state.Edition++
	}
	f.state.Part, f.state.Have, f.state.Whole, f.state.SHA256 = part, size, true, sums.Get(digest.SHA256)
	f.tell()
}

// Held tells that the archive has x, whether it was asked for or not.
func (d *Desk) Held(x *catalog.Distfile, sum digest.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := Key(x)
	delete(d.refused, key)
	if f := d.files[key]; f != nil {
		f.state.Held, f.state.SHA256 = true, sum
		d.release(f)
	}
}

// Fail tells that f could not be had. It is refused for as long as class wants it.
func (d *Desk) Fail(f *File, class failure.Class) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := Key(f.Distfile)
	r := &refusal{sources: f.Sources}
	if old := d.refused[key]; old != nil && same(old.sources, f.Sources) {
		r.pause = old.pause
	}
	r.pause = class.Pause(r.pause)
	r.Refused = Refused{d.now().Add(cmp.Or(r.pause, retryTime)), class}
	d.refused[key] = r
	d.drop(f, &r.Refused)
}

func same(a, b []catalog.Source) bool {
	return slices.EqualFunc(a, b, func(x, y catalog.Source) bool { return x.URI == y.URI })
}

// retryTime is how long nobody tries again what a run would try each time.
const retryTime = time.Minute

// Drop tells that f cannot be had now, for a reason that is not its own.
func (d *Desk) Drop(f *File, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(f, err)
}

func (d *Desk) drop(f *File, err error) {
	if f.state.Held || f.state.Err != nil {
		return
	}
	f.state.Err = err
	delete(d.files, Key(f.Distfile))
	d.release(f)
}

// release ends the arrival of f.
func (d *Desk) release(f *File) {
	for part, x := range d.parts {
		if x == f {
			delete(d.parts, part)
		}
	}
	f.tell()
}

// Forget forgets the files that the archive holds and that others know.
func (d *Desk) Forget(known func(sum digest.Digest) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, f := range d.files {
		if f.state.Held && known(f.state.SHA256) {
			delete(d.files, key)
		}
	}
}

// State returns what has become of f. The channel is closed when that changes.
func (f *File) State() (State, <-chan struct{}) {
	f.desk.mu.Lock()
	defer f.desk.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.state, f.changed
}

// tell wakes those who wait for f.
func (f *File) tell() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}
