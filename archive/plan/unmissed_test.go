package plan

import (
	"fmt"
	"strings"
	"testing"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestUnmissed: what leaves recycle for good is wanted by nobody, whoever has come
// to want it since the run began.
func TestUnmissed(t *testing.T) {
	t.Parallel()
	recycled := func(name, text string) *ledger.Recycled {
		h := digest.NewHasher()
		h.Write([]byte(text))
		return &ledger.Recycled{Distfile: ledger.Distfile{
			Content: layout.Content{Name: catalog.Name(name), Digests: h.Sum(), Size: int64(len(text)), Named: true},
		}, Since: t0}
	}
	wants := func(name, text string) *catalog.Distfile {
		r := recycled(name, text)
		return &catalog.Distfile{Name: r.Name, Size: r.Size, Digests: r.Digests}
	}
	var rs []*ledger.Recycled
	for _, text := range []string{"gone", "wanted", "shadowed", "wanted elsewhere", "held elsewhere", "unverifiable", "other content", "listed", "dropped", "dropped unread", "dropped other"} {
		rs = append(rs, recycled(strings.ReplaceAll(text, " ", "-"), text))
	}
	held := recycled("held", "held elsewhere").Distfile
	drop := func(name, text string) (*Drop, *ledger.Dropped) {
		r := recycled(name, text)
		return &Drop{Name: r.Name, Size: r.Size, ModTime: t0, ID: ledger.FileID{Size: r.Size}},
			&ledger.Dropped{Name: r.Name, File: ledger.FileID{Size: r.Size}, SHA256: r.SHA256()}
	}
	x := ledger.NewIndex(&ledger.State{Distfiles: ledger.Records{&held}, Dropped: make(map[catalog.Name]*ledger.Dropped)})
	drops := make(map[catalog.Name]*Drop)
	for name, text := range map[string]string{"dropped": "dropped", "dropped-unread": "dropped unread", "dropped-other": "another"} {
		f, r := drop(name, text)
		if drops[f.Name] = f; name != "dropped-unread" {
			x.Dropped[f.Name] = r
		}
	}
	f := &Facts{Now: t0, Index: x, Whitelisted: func(n catalog.Name) bool { return n == "listed" }, Drops: drops, Catalog: &catalog.Catalog{
		Distfiles: []*catalog.Distfile{
			wants("wanted", "wanted"), wants("another-name", "wanted elsewhere"), wants("held", "held elsewhere"),
			{Name: "unverifiable"}, wants("other-content", "re-rolled"),
		},
		Shadowed: []*catalog.Distfile{wants("shadowed", "shadowed")},
	}}
	var left []string
	for _, r := range f.Unmissed(rs) {
		left = append(left, string(r.Name))
	}
	if want := "[gone held-elsewhere other-content dropped-other]"; fmt.Sprint(left) != want {
		t.Errorf("nobody misses %v, want %s", left, want)
	}
}
