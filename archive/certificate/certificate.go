// Package certificate lets a run of an archive do nothing when nothing has changed.
//
// A run that had nothing to do leaves a certificate: a hash over what lstat says of
// every file that it decided by, the options, the seal of the ledger, and the time
// until which nothing becomes due. The next run makes the same hash. When it is the
// same, so is everything that a run would find, and it need not look.
//
// The rules that callers may rely on:
//
//   - The hash is made before the run reads the first file. A file that changes
//     later, be it while the run reads it, has another change time when the next run
//     looks, and one that changes and changes back has so, too. So nothing has to be
//     compared at the end.
//   - Two changes between two ticks of the clock of a file system look like one. So
//     nothing is certified that was changed less than Slack before the run began,
//     as git does with its index. Who began early enough has seen the last of them.
//   - Directories count with their times, so that one that was moved away and back is
//     seen, but not those in which a run itself replaces files (see Place.Busy).
//   - Where many directories have a single file each, it is enough to look at their
//     times (see Place.Shut), if the files are looked at under other names.
//   - What cannot be looked at, or would lead elsewhere, as a symbolic link to a
//     directory does, is not certified.
//   - A certificate is good for a day. What lstat does not tell is found then: a disk
//     that rots, and bytes that somebody writes through a mapping of a file that he
//     has had for long.
//
// # The hash
//
// It does not depend on the order in which files are found, so that its memory does
// not grow with them: each entry is hashed by SHA-256 with a secret key in front, and
// the results are added modulo 2^256. Without the key, that of many entries could be
// made to cancel (Wagner's attack costs 2^32 for such sums); with it, whoever can make
// files can neither compute a summand nor see a sum. The key is random, new in each
// certificate, and in a file that only its owner may read. Each entry begins with
// numbers of fixed size and ends with its path, so that no two spell the same bytes.
//
// Begin reading at Certificate; Hasher makes the hash.
package certificate

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"distkeep/catalog/regular"
)

// Valid is for how long a certificate is good: then everything is read again.
const Valid = 24 * time.Hour

// Slack is how long before a run the last change of a file must have been. The
// coarsest clock of a file system ticks every two seconds (FAT); but a run leaves
// files alone for a minute that somebody may be writing still, and comes back to them;
// it reckons in whole seconds.
const Slack = time.Minute + time.Second

// A Certificate says that a run had nothing to do.
type Certificate struct {
	// Made is when the run began that looked at everything, Last when the last run
	// did that found nothing changed since; Made before there was one.
	Made time.Time `json:"made"`
	Last time.Time `json:"last"`
	// Settings tell the options of the run, and whatever else decides, from others.
	Settings string `json:"settings,omitempty"`
	// Due is when there is something to do at the latest, whatever stays as it is.
	Due time.Time `json:"due"`
	// Seal is that of the ledger.
	Seal string `json:"seal,omitempty"`
	// Key is that of the sums. Without one there are none: the run had nothing to
	// do, and it is worth while that the next one makes the hash before it looks.
	Key *Key `json:"key,omitempty"`
	// Signs is of a small part of Inputs and Archive in which most changes are seen:
	// where it is another one, nobody has to look at the rest.
	Signs Sum `json:"signs"`
	// Inputs is of what others may change: trees, lists, options. Archive is of what
	// is published or recycled, Aside of those published files that are in no
	// directory that is entered for it, and State of what runs write for themselves.
	Inputs  Sum `json:"inputs"`
	Archive Sum `json:"archive"`
	Aside   Sum `json:"aside"`
	State   Sum `json:"state"`
	// Files are those of Aside, relative to the published tree.
	Files [][]byte `json:"files,omitempty"`
	// Summary is the summary of the last run, as the ledger keeps it.
	Summary json.RawMessage `json:"summary,omitempty"`
}

// A Key is a secret with which sums are made.
type Key [32]byte

// NewKey returns a random key.
func NewKey() *Key {
	k := new(Key)
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// MarshalText and UnmarshalText spell a key in hex, as those of Sum do.
func (k *Key) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (k *Key) UnmarshalText(text []byte) error { return decodeHex(k[:], text) }

func decodeHex(dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("%d digits for %d bytes", len(text), len(dst))
	}
	_, err := hex.Decode(dst, text)
	return err
}

// Holds returns why c says nothing about a run that begins now with these settings and
// a ledger with this seal, or nil. The sums are for the caller to compare.
func (c *Certificate) Holds(now time.Time, settings, seal string) error {
	switch {
	case c.Key == nil:
		return errors.New("the last run has not made the hash")
	case c.Settings != settings:
		return errors.New("the options are others")
	case seal == "" || c.Seal != seal:
		return errors.New("the ledger has changed")
	case now.Before(c.Last):
		return errors.New("the clock was put back")
	case !now.Before(c.Due):
		return errors.New("something is due")
	}
	return nil
}

// The first line of a file has this, and the SHA-256 of the rest. A program that knows
// another version takes it for none.
const header = "distkeep certificate 1 "

// maxFile bounds a certificate: most of it is the summary of a run.
const maxFile = 64 << 20

// Encode returns the content of the file of c.
func (c *Certificate) Encode() ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s%x\n%s\n", header, sha256.Sum256(append(text, '\n')), text), nil
}

// Parse parses what Encode has made.
func Parse(data []byte) (*Certificate, error) {
	line, text, _ := bytes.Cut(data, []byte("\n"))
	if want := fmt.Sprintf("%s%x", header, sha256.Sum256(text)); string(line) != want {
		return nil, errors.New("no certificate, or a damaged one")
	}
	c := new(Certificate)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Load reads the certificate in the file path. Nil is that there is none that anybody
// could use.
func Load(path string) (*Certificate, error) {
	data, err := regular.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	c, err := Parse(data)
	if err != nil {
		return nil, nil
	}
	return c, nil
}
