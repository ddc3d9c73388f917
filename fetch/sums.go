package fetch

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// What is left of a large file when its transfer ends is not read again by the run that
// continues it: the digests so far are kept in a file beside it, whose name ends with
// sumsSuffix. They hold for the .part as it was then, to the last byte and to the moment
// of its last change, and are written when its bytes are durable. So they say nothing
// about a .part that was written to since, by anybody, or that a crash has changed;
// such a one is read, as is one whose sums are torn, of another program or somebody
// else's.

const (
	partSuffix = ".part"
	sumsSuffix = ".sums"
	// worthSums is the size of a .part whose sums are kept: it takes longer to read
	// than a few small files.
	worthSums = 16 << 20
	// maxSums bounds a file of sums that is read.
	maxSums = 64 << 10
)

// A keptSums is what a file of sums says, behind the SHA-256 of it.
type keptSums struct {
	// Program made it: nobody else need know what is in it.
	Program string       `json:"program"`
	Part    regular.ID   `json:"part"`
	State   digest.State `json:"state"`
}

var sumsProgram = runtime.Version() + " " + runtime.GOARCH

// sumsPath is where the sums of a part are, or "".
func (p *part) sumsPath() string {
	base, ok := strings.CutSuffix(p.path, partSuffix)
	if !ok {
		return ""
	}
	return base + sumsSuffix
}

// keep keeps the digests of a part that is given up for now. That it cannot is no
// failure: the part is read again. A part whose bytes cannot be made durable goes: the
// kernel reports that once, and takes what it has in memory for good afterwards.
func (p *part) keep() {
	path := p.sumsPath()
	if p.hash == nil || p.have < worthSums || path == "" {
		return
	}
	f, err := openPart(p.path)
	if err != nil || f == nil {
		return
	}
	defer f.Close()
	if f.Sync() != nil {
		_ = p.remove()
		return
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() != p.have || !own(fi) || regular.IDOf(fi) == (regular.ID{}) {
		return
	}
	state, err := p.hash.State()
	if err != nil {
		return
	}
	text, err := json.Marshal(keptSums{sumsProgram, regular.IDOf(fi), state})
	if err != nil || removePart(path) != nil {
		return
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, partMode)
	if err != nil {
		return
	}
	sum := sha256.Sum256(text)
	_, err = out.Write(append(sum[:], text...))
	if errors.Join(err, out.Close()) != nil {
		_ = removePart(path)
	}
}

// restore takes the digests of the part, which is f, from where they are kept, and
// reports whether they were. They are not kept any longer.
func (w *worker) restore(p *part, f *os.File, fi os.FileInfo) bool {
	path := p.sumsPath()
	if path == "" || fi.Size() < worthSums || !own(fi) {
		return false
	}
	kept := readSums(path)
	if kept == nil {
		return false
	}
	if removePart(path) != nil || kept.Program != sumsProgram || kept.Part != regular.IDOf(fi) || kept.State.Size != fi.Size() {
		return false
	}
	w.hasher(p)
	if p.hash.Restore(kept.State) != nil {
		return false
	}
	p.have = fi.Size()
	return true
}

// readSums reads a file of sums, or returns nil if it says nothing.
func readSums(path string) *keptSums {
	f, err := regular.OpenItself(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !own(fi) {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSums))
	if err != nil || len(data) < sha256.Size {
		return nil
	}
	sum := sha256.Sum256(data[sha256.Size:])
	kept := new(keptSums)
	if !bytes.Equal(sum[:], data[:sha256.Size]) || json.Unmarshal(data[sha256.Size:], kept) != nil {
		return nil
	}
	return kept
}

// own reports whether nobody else can have written a file: it is of the user of this
// process, and nobody else may write to it.
func own(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && fi.Mode().Perm()&0o022 == 0
}
