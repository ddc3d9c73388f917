package deposit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"distkeep/archive/bucket"
	"distkeep/archive/bucket/s3test"
	"distkeep/archive/doctor"
	"distkeep/catalog/digest"
)

// blob is the key of what adds records under a name.
func blob(name string) string {
	hex := digest.SHA256.Sum([]byte(name)).Hex()
	return "x/blob/sha256/" + hex[:2] + "/" + hex
}

// TestPublish: what is there costs no request, one content that is lost keeps no other from
// readers, a name whose directory is a name has no place, and what a killed process leaves
// the next call ends.
func TestPublish(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	w := newWorker(t, s)
	var warned []string
	w.o.Events.Warn = func(msg string) { warned = append(warned, msg) }
	v := w.open(false)
	defer closed(t, v)
	for _, name := range []string{"a", "b", "b/c", "lost"} {
		adds(t, v, name)
		if name != "lost" {
			s.Put(blob(name), name)
		}
	}
	publish := func(ctx context.Context, how bucket.Publishing, requests int, want ...string) {
		t.Helper()
		s.Reset()
		warned = nil
		if err := Publish(ctx, v, w.b, how); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if kinds, all := s.Requests(); all != requests {
			t.Errorf("%v, want %d requests", kinds, requests)
		}
		keys, err := s.Keys("x/public/distfiles/")
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			keys[i] = strings.TrimPrefix(keys[i], "x/public/distfiles/")
		}
		if !slices.Equal(keys, want) {
			t.Errorf("readers find %q, want %q", keys, want)
		}
	}
	kinds := func() (kinds []string) {
		t.Helper()
		found, err := Examine(t.Context(), v, w.b)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			kinds = append(kinds, f.Kind)
		}
		slices.Sort(kinds)
		return slices.Compact(kinds)
	}
	dead, kill := context.WithCancel(t.Context())
	kill()
	if err := w.b.SetPublishing(t.Context(), bucket.PublishCopies); err != nil {
		t.Fatal(err)
	}
	publish(dead, bucket.PublishCopies, 0)
	if got := kinds(); !slices.Equal(got, []string{doctor.FindPending}) {
		t.Errorf("after a kill doctor finds %q", got)
	}
	publish(t.Context(), bucket.PublishCopies, 4, "a", "b", "history")
	if len(warned) != 1 || !strings.Contains(warned[0], "lost is not published") {
		t.Errorf("warned %q", warned)
	}
	s.Put(blob("lost"), "lost")
	publish(t.Context(), bucket.PublishCopies, 1, "a", "b", "history", "lost")
	publish(t.Context(), bucket.PublishCopies, 0, "a", "b", "history", "lost")
	if got := kinds(); len(got) > 0 {
		t.Errorf("doctor finds %q", got)
	}
	publish(t.Context(), bucket.PublishRedirects, 3, "a", "b", "history", "lost")
	if got, _ := s.Get("x/public/distfiles/a"); got != "" {
		t.Errorf("a redirect has the bytes %q", got)
	}
	publish(t.Context(), bucket.PublishNone, 3, "history")
}
