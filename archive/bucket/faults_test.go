package bucket

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// first gives the first n requests that are asked for a fault.
func first(n int, fault s3test.Fault, is func(r *http.Request) bool) func(int, *http.Request) s3test.Fault {
	return func(_ int, r *http.Request) s3test.Fault {
		if n > 0 && (is == nil || is(r)) {
			n--
			return fault
		}
		return s3test.None
	}
}

// TestFaults: what fails for a while is tried again, and no content is sent twice for
// an answer that was lost.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]s3test.Fault{
		"told to wait": s3test.SlowDown, "busy": s3test.Busy, "cut before": s3test.Cut, "cut while sending": s3test.Torn, "answer lost": s3test.Unsaid,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s3test.New(t)
			b := open(t, s)
			s.Fail(first(3, fault, nil))
			small, large := item(t, "a", "bytes"), item(t, "b", strings.Repeat("0123456789abcdef", 11<<16))
			if err := b.Publish([]*store.Item{small, large}, nil); err != nil || small.Err != nil || large.Err != nil {
				t.Errorf("%v; %v; %v", err, small.Err, large.Err)
			}
			for data := range map[string]bool{"bytes": true, strings.Repeat("0123456789abcdef", 11<<16): true} {
				if got, _ := s.Get(key(data)); got != data {
					t.Errorf("%d bytes are there, want %d", len(got), len(data))
				}
			}
			if n := s.Written(key("bytes"))[key("bytes")]; n > 1 {
				t.Errorf("it was written %d times", n)
			}
		})
	}
}

// TestFaultsReading: a content whose connection breaks on the way is read on from there,
// and one that has become another one meanwhile is not mixed with that.
func TestFaultsReading(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("0123456789abcdef", 1<<16)
	isGet := func(r *http.Request) bool { return r.Method == http.MethodGet }
	s := s3test.New(t)
	b := open(t, s)
	s.Put(key(data), data)
	s.Fail(first(3, s3test.Half, isGet))
	sum := digest.SHA256.Sum([]byte(data))
	sums, size, err := b.hash(t.Context(), sum, nil)
	if err != nil || size != int64(len(data)) || sums.Get(digest.SHA256) != sum {
		t.Errorf("%d bytes, %v", size, err)
	}
	s.Fail(func(_ int, r *http.Request) s3test.Fault {
		if isGet(r) && r.Header.Get("Range") == "" {
			return s3test.Half
		}
		return s3test.None
	})
	// The first half is read, and then somebody writes something else.
	swapped := false
	_, _, err = b.hash(t.Context(), sum, func(ctx context.Context, n int) error {
		if !swapped {
			swapped = true
			s.Put(key(data), strings.Repeat("x", len(data)))
		}
		return nil
	})
	if !errors.Is(err, ErrChanged) {
		t.Errorf("a mixture is read: %v", err)
	}
}

// TestFaultsListing: a listing is whole, or an error: what is not in it would be taken for
// lost.
func TestFaultsListing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault s3test.Fault
		times int
		want  string
	}{
		"something else":   {s3test.Garbage, 99, "XML syntax error"},
		"ends in between":  {s3test.Half, 3, ""},
		"without its rest": {s3test.Endless, 99, "there is more, and not where"},
		"not known":        {s3test.Unknown, 99, "NotImplemented (501)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s3test.New(t)
			b := open(t, s)
			s.Put(key("a"), "a")
			s.Fail(first(c.times, c.fault, nil))
			n := 0
			err := b.All(t.Context(), func(digest.Digest, int64, time.Time) error { n++; return nil }, func(string) {})
			if c.want == "" && (err != nil || n != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%d are listed: %v, want %q", n, err, c.want)
			}
		})
	}
}

// TestCompleteUnsaid: an upload in parts whose end was not told is not one that failed.
func TestCompleteUnsaid(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("0123456789abcdef", 11<<16)
	for name, c := range map[string]struct {
		fault s3test.Fault
		lax   bool // it says that there is no such upload, whatever the condition
	}{"not told": {s3test.Unsaid, false}, "half told": {s3test.Half, false}, "gone": {s3test.Unsaid, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s3test.New(t)
			s.Lax = c.lax
			b := open(t, s)
			s.Fail(first(1, c.fault, func(r *http.Request) bool {
				return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
			}))
			it := item(t, "large", data)
			if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
				t.Errorf("%v; %v", err, it.Err)
			}
			if got, _ := s.Get(key(data)); got != data {
				t.Errorf("%d bytes are there, want %d", len(got), len(data))
			}
		})
	}
}
