package failure

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	seen := make(map[Class]bool)
	for i, p := range classes {
		if seen[p.class] || p.class == "" || p.text == "" || p.hint == "" {
			t.Errorf("row %d, %q, is there twice or says nothing", i, p.class)
		}
		seen[p.class] = true
		if p.class.Rank() != i || p.class.Text() != p.text || p.class.Hint() != p.hint {
			t.Errorf("%s is not found at row %d", p.class, i)
		}
	}
	list := strings.Fields("bad-uri conflict digest disk dns forbidden gone html local no-uri package policy refused restricted server size stalled throttled tls truncated")
	permanent := strings.Fields("bad-uri conflict digest forbidden gone html restricted size")
	cs := Classes()
	if len(cs) != len(list) {
		t.Fatalf("the classes are %v, want %v", cs, list)
	}
	for i, c := range cs {
		if string(c) != list[i] || strings.Contains(c.Text()+c.Hint(), "\n") {
			t.Errorf("class %s, want %s, with one line each", c, list[i])
		}
		if c.Permanent() != slices.Contains(permanent, string(c)) || c.Permanent() && c.Transient() {
			t.Errorf("%s: permanent is %v, transient %v", c, c.Permanent(), c.Transient())
		}
	}
	if c := Class("nonsense"); c.Rank() != len(classes) || c.Text() != "" || c.Hint() != "" || c.Permanent() || c.Transient() {
		t.Error("a class that is none has properties")
	}
}

// A dead mirror must not hide that the file is gone everywhere else, and trouble
// that may pass comes before what is certain.
func TestRank(t *testing.T) {
	t.Parallel()
	order := []Class{Interrupted, Disk, Throttled, Digest, Gone, TLS, DNS, Policy, NoURI}
	for i, c := range order[1:] {
		if order[i].Rank() >= c.Rank() {
			t.Errorf("%s does not come before %s", order[i], c)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		class      Class
		last, want time.Duration
	}{
		{Gone, 0, 55 * time.Minute},
		{Gone, 55 * time.Minute, 115 * time.Minute},
		{Gone, 20 * time.Hour, 24*time.Hour - 5*time.Minute},
		{Gone, 24*time.Hour - 5*time.Minute, 24*time.Hour - 5*time.Minute},
		{Gone, -time.Hour, 55 * time.Minute},
		{Server, 0, 0},
		{Throttled, time.Hour, 0},
		{Disk, 0, 0},
		{"nonsense", time.Hour, 0},
	} {
		if got := tt.class.Pause(tt.last); got != tt.want {
			t.Errorf("%s after %v: waits %v, want %v", tt.class, tt.last, got, tt.want)
		}
	}
}
