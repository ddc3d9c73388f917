package report

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"distkeep/catalog/regular"
)

const (
	progressFile = "progress.json"
	maxProgress  = 4 << 10
)

// A Progress is where a run stands. It is written now and then while the run goes on;
// what one that was killed has left means nothing.
type Progress struct {
	// PID is the process of the run.
	PID   int    `json:"pid"`
	Phase string `json:"phase"`
	// Done and Total count the files of the phase, failed ones among them, and
	// their bytes as they come.
	Done       int   `json:"done"`
	Total      int   `json:"total"`
	Bytes      int64 `json:"bytes"`
	TotalBytes int64 `json:"total_bytes"`
	Failures   int   `json:"failures"`
	// Took is how long the phase had lasted at At.
	Took time.Duration `json:"took_ns"`
	At   time.Time     `json:"at"`
}

// Rate is the bytes a second of the phase so far.
func (p *Progress) Rate() int64 {
	if p.Took <= 0 {
		return 0
	}
	return int64(float64(p.Bytes) / p.Took.Seconds())
}

// Left is how long the rest of the phase takes at the pace of before: by bytes, or by
// files where none are told. Zero is not known.
func (p *Progress) Left() time.Duration {
	done, total := float64(p.Bytes), float64(p.TotalBytes)
	if total == 0 {
		done, total = float64(p.Done), float64(p.Total)
	}
	if done <= 0 || done >= total || p.Took <= 0 {
		return 0
	}
	left := float64(p.Took) * (total - done) / done
	if left > float64(1000*24*time.Hour) {
		return 0
	}
	return time.Duration(left).Round(time.Second)
}

// WriteProgress replaces what dir has of the progress of a run, and DropProgress
// removes it.
func WriteProgress(dir string, p *Progress, replace regular.Replacer) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return write(dir, progressFile, append(text, '\n'), replace)
}

// DropProgress removes what WriteProgress wrote.
func DropProgress(dir string) error {
	err := os.Remove(filepath.Join(dir, progressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// LoadProgress reads what WriteProgress wrote for the process pid, or returns nil.
func LoadProgress(dir string, pid int) *Progress {
	text, err := regular.Read(filepath.Join(dir, progressFile), maxProgress)
	if err != nil {
		return nil
	}
	p := new(Progress)
	if json.Unmarshal(text, p) != nil || p.PID != pid {
		return nil
	}
	return p
}
