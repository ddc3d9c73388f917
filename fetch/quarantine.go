package fetch

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A Quarantine is a directory for wrong bytes: each content under its own
// SHA-256, with a record of where it came from beside it (".json").
type Quarantine struct {
	// Dir exists, on the file system of the .part files. Empty keeps nothing.
	Dir string
	// MaxFiles and MaxBytes bound what is kept; the oldest go first. Zero means
	// 1000 files and 1 GiB.
	MaxFiles int
	MaxBytes int64
}

// A Quarantined is the record of wrong bytes. Nothing in it is a credential.
type Quarantined struct {
	Time   time.Time         `json:"time"`
	Name   catalog.Name      `json:"name"`
	URL    string            `json:"url"`
	Final  string            `json:"final,omitempty"`
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Why    string            `json:"why"`
	Size   int64             `json:"size"`
	// WantSize is -1 where the tree does not say.
	WantSize int64 `json:"want_size"`
	// Want and Got are hexadecimal, by algorithm.
	Want map[string]string `json:"want"`
	Got  map[string]string `json:"got"`
}

// keptHeaders are those that help to understand an answer and hold no secret.
var keptHeaders = []string{
	"Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Content-Disposition",
	"ETag", "Last-Modified", "Date", "Server", "Via", "Age", "X-Cache",
}

type quarantine struct {
	o    Quarantine
	now  func() time.Time
	mu   sync.Mutex
	read bool
	// kept are the contents there, the oldest first.
	kept []keptFile
	size int64
}

type keptFile struct {
	name string // the SHA-256, of what a transfer brought
	size int64
	when time.Time
	// got are the digests of what a transfer brought, as hexes writes them.
	got map[string]string
}

// shelter is how long files stay, whatever the bounds, that no transfer brought:
// what was in the way of a published file may be somebody's only copy.
const shelter = 30 * 24 * time.Hour

func newQuarantine(o Quarantine, now func() time.Time) *quarantine {
	or(&o.MaxFiles, 1000)
	or(&o.MaxBytes, 1<<30)
	return &quarantine{o: o, now: now}
}

// keep puts the wrong bytes of a transfer into quarantine; fill of them are in
// the buffer. It is help for a person, and failing at it is no failure.
func (t *transfer) keep(why error, fill int) {
	q, p, r := t.w.f.quarantine, &t.j.part, t.j.req
	size := p.have + int64(fill)
	if q.o.Dir == "" || size == 0 || size > q.o.MaxBytes {
		return
	}
	var sizeErr *sizeError
	var digestErr *digestError
	switch {
	case errors.As(why, &digestErr):
	case errors.As(why, &sizeErr) && !sizeErr.more:
	default:
		return
	}
	if fill > 0 && t.write(fill) != nil {
		return
	}
	got := p.hash.Sum()
	rec := Quarantined{
		Time: q.now().UTC(), Name: r.Name, URL: t.j.res.URL, Final: t.j.res.Final,
		Why: oneLine(why.Error()), Size: size, WantSize: r.Size, Want: hexes(r.Digests), Got: hexes(got),
	}
	if b := t.body; b != nil {
		rec.Status = b.status
		rec.Header = make(map[string]string)
		for _, k := range keptHeaders {
			if v := b.header.Get(k); v != "" {
				rec.Header[k] = oneLine(v)
			}
		}
	}
	path, err := q.take(p.path, got.Get(digest.SHA256).Hex(), rec)
	switch {
	case err != nil:
	case digestErr != nil:
		digestErr.kept = path
	default:
		sizeErr.kept = path
	}
}

func hexes(s digest.Set) map[string]string {
	m := make(map[string]string, len(s))
	for _, d := range s {
		m[d.Alg.String()] = d.Hex()
	}
	return m
}

// take moves the file at path into quarantine and makes room for it.
func (q *quarantine) take(path, sum string, rec Quarantined) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.load(); err != nil {
		return "", err
	}
	kept := filepath.Join(q.o.Dir, sum)
	data, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(path, partMode); err != nil { // rsync chooses its own
		return "", err
	}
	if err := os.Rename(path, kept); err != nil {
		return "", err
	}
	if err := regular.Write(kept+".json", append(data, '\n'), partMode); err != nil {
		return "", errors.Join(err, os.Remove(kept))
	}
	q.forget(sum)
	q.kept = append(q.kept, keptFile{sum, rec.Size, rec.Time, rec.Got})
	q.size += rec.Size
	q.trim()
	return kept, nil
}

// tidy keeps the bounds in a run that brought nothing wrong. It is help for a person,
// as keep is.
func (q *quarantine) tidy() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.o.Dir != "" && q.load() == nil {
		q.trim()
	}
}

// trim removes the oldest files above the bounds.
func (q *quarantine) trim() {
	for _, old := range slices.Clone(q.kept) {
		if len(q.kept) <= q.o.MaxFiles && q.size <= q.o.MaxBytes {
			return
		}
		if old.got == nil && q.now().Sub(old.when) < shelter {
			continue
		}
		if err := DropQuarantined(q.o.Dir, old.name); err == nil {
			q.forget(old.name)
		}
	}
}

// restore makes a .part of bytes that were wrong once and are what a request wants
// now: the tree was wrong, and was put right. They are verified as every .part is.
func (q *quarantine) restore(r *Request, part string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.o.Dir == "" || q.load() != nil || len(q.kept) == 0 {
		return false
	}
	want := hexes(r.Digests)
	i := slices.IndexFunc(q.kept, func(k keptFile) bool {
		common := 0
		for alg, sum := range want {
			if got, ok := k.got[alg]; ok && got != sum {
				return false
			} else if ok {
				common++
			}
		}
		return common > 0 && (r.Size < 0 || k.size == r.Size)
	})
	if i < 0 {
		return false
	}
	name := q.kept[i].name
	if os.Rename(filepath.Join(q.o.Dir, name), part) != nil {
		return false
	}
	os.Remove(filepath.Join(q.o.Dir, name+".json"))
	q.forget(name)
	return true
}

func (q *quarantine) forget(name string) {
	q.kept = slices.DeleteFunc(q.kept, func(k keptFile) bool {
		if k.name == name {
			q.size -= k.size
			return true
		}
		return false
	})
}

// load finds, the first time, what earlier runs have kept.
func (q *quarantine) load() error {
	if q.read {
		return nil
	}
	list, err := ListQuarantine(q.o.Dir)
	if err != nil {
		return err
	}
	for _, k := range list {
		f := keptFile{name: k.ID, size: k.Size, when: k.Time}
		if k.Record != nil {
			f.got = k.Record.Got
		}
		q.kept = append(q.kept, f)
		q.size += k.Size
	}
	q.read = true
	return nil
}
