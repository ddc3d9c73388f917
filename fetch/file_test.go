package fetch_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// TestFileEnds: the end of the context is seen although a file never waits.
func TestFileEnds(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	path := filepath.Join(t.TempDir(), "sparse")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := options()
	o.Schemes = []string{"file"}
	o.Events.Start = func(_ catalog.Name, _ string, _, _ int64) { cancel(enough) }
	f := fetcher(t, o)
	r := want(t, t.TempDir(), "f", []byte("x"), "file://"+path)
	r.Size = size
	res := run(t, ctx, f, r)["f"]
	checkClass(t, res, failure.Interrupted, nil)
	if res.Received > 1<<20 || !errors.Is(res.Err, enough) {
		t.Errorf("received %d bytes, %v", res.Received, res.Err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	w := writerFunc(func(p []byte) (int, error) { cancel(enough); res.Received += int64(len(p)); return len(p), nil })
	res.Received = 0
	_, err := f.Get(ctx, "file://"+path, fetch.Version{}, size, func() (io.Writer, error) { return w, nil })
	if fetch.Classify(err) != failure.Interrupted || res.Received > 1<<20 {
		t.Errorf("Get: wrote %d bytes, %v", res.Received, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
