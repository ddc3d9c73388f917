package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCloseStuck: badger tries for ever to make a file that cannot be made.
func TestCloseStuck(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		b.PutDistfile(sample("a", "text"))
		if err := l.Commit(&b, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("Close: %v, want ErrStuck with the reason", err)
		}
		// With its directory badger comes to its end.
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the bubble
	})
}
