package main

import "testing"

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"mirror", "failures", "whitelist", "why", "verify", "dry-run"}
	for word, want := range map[string]string{
		"miror":     `: did you mean "mirror"?`,
		"mirorr":    `: did you mean "mirror"?`, // two letters swapped
		"failure":   `: did you mean "failures"?`,
		"dryrun":    `: did you mean "dry-run"?`,
		"wyh":       `: did you mean "why"?`,
		"frobnicat": "",
		"x":         "",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abcd", "abxd", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
