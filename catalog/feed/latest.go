package feed

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"distkeep/catalog/digest"
)

// MaxLatest bounds LatestFile, signatures included.
const MaxLatest = 16 << 10

// A Latest says what the newest generation is. The zero value is that of a feed
// that has none yet.
type Latest struct {
	Generation int64
	Time       time.Time
	// SHA256 is that of the file, in hex.
	SHA256 string
	// Full is the newest generation that has a full list, or zero.
	Full int64
}

const latestTitle = "distkeep generations"

// Encode writes l, signed by signers.
func (l *Latest) Encode(signers ...note.Signer) ([]byte, error) {
	text := fmt.Sprintf("%s\ngeneration %d\ntime %s\nsha256 %s\nfull %d\n", latestTitle, l.Generation, l.Time.UTC().Format(time.RFC3339), l.SHA256, l.Full)
	if len(signers) == 0 {
		return []byte(text), nil
	}
	return note.Sign(&note.Note{Text: text}, signers...)
}

// errLatest is what ParseLatest says of what is no such file.
var errLatest = errors.New("it names no generation")

// ParseLatest reads what Encode has written. With keys, it must be signed by one of
// them; without, signatures are passed over. Lines that are not known are as well.
func ParseLatest(data []byte, keys note.Verifiers) (l Latest, err error) {
	text, _, _ := strings.Cut(string(data), "\n\n")
	if keys != nil {
		n, err := note.Open(data, keys)
		if err != nil {
			return l, fmt.Errorf("it is not signed by the key that is trusted: %w", err)
		}
		text = n.Text
	}
	title, rest, _ := strings.Cut(text, "\n")
	if title != latestTitle {
		return l, errLatest
	}
	for field := range strings.Lines(rest) {
		key, value, _ := strings.Cut(strings.TrimSuffix(field, "\n"), " ")
		switch key {
		case "generation":
			l.Generation, err = strconv.ParseInt(value, 10, 64)
		case "time":
			l.Time, err = time.Parse(time.RFC3339, value)
		case "sha256":
			var d digest.Digest
			d, err = digest.Parse(digest.SHA256, value)
			l.SHA256 = d.Hex()
		case "full":
			l.Full, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return Latest{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if l.Generation < 1 || l.Generation > maxGeneration || l.SHA256 == "" || l.Full < 0 || l.Full > l.Generation || l.Generation-l.Full > FullEvery {
		return Latest{}, errLatest
	}
	return l, nil
}

// maxGeneration is that of a run a minute for two hundred years.
const maxGeneration = 100 << 20
