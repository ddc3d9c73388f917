package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// TestOneNameTwiceInABatch: of two contents that get one name in one batch, the
// later has it, on disk and in the ledger, and the other stays below by_cipher.
func TestOneNameTwiceInABatch(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	var adds []*addition
	b.Do(func(a *vault.Vault) {
		facts, err := survey.Make(t.Context(), a, survey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range []string{"first", "second"} {
			part := filepath.Join(a.Store.PartsDir(), fmt.Sprint(i, ".part"))
			if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			h := digest.NewHasher()
			h.Write([]byte(text))
			adds = append(adds, &addition{Addition: vault.Addition{Part: part, Entry: ledger.Distfile{
				Content: layout.Content{Name: "a.tar.gz", Digests: h.Sum(), Size: int64(len(text)), Named: true},
				Added:   a.Now, Verified: a.Now,
			}}})
		}
		if err := newRun(a, facts, "test").add(adds, nil); err != nil {
			t.Fatal(err)
		}
	})
	want := []string{
		fmt.Sprintf("a.tar.gz %.8s 5 named=false kind= [SHA256]", adds[0].Entry.SHA256().Hex()),
		fmt.Sprintf("a.tar.gz %.8s 6 named=true kind= [SHA256]", adds[1].Entry.SHA256().Hex()),
	}
	if want[0] > want[1] {
		want[0], want[1] = want[1], want[0]
	}
	if d := cmp.Diff(want, b.Records()); d != "" {
		t.Errorf("records: -want +got:\n%s", d)
	}
	if text, err := os.ReadFile(b.Path("a.tar.gz")); err != nil || string(text) != "second" {
		t.Errorf("a.tar.gz holds %q, %v", text, err)
	}
}
