package catalog

import (
	"strings"
	"testing"
)

// TestRedact: whatever shape a URI has, people do not see its password.
func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://h/p%2Fq?sig=x":                        "https://h/p%2Fq?sig=x",
		"https://me:secret@h/x":                        "https://h/x",
		"ftp://me:secret@h:2121/x":                     "ftp://h:2121/x",
		"FTP://me@h":                                   "FTP://h",
		"https://me:secret@h:x/@y":                     "https://h:x/@y",
		"https://me:se@cret@h/y":                       "https://h/y",
		"https://me:se/cret@h/y":                       "https://h/y",
		"https://me:se?cret@h/y":                       "https://h/y",
		"https://us er:se cret@h/y":                    "https://h/y",
		"mirror://me:secret@gnu/x":                     "mirror://gnu/x",
		"https://h/web/2020/ftp://me:secret@f/x":       "https://h/web/2020/ftp://f/x",
		"https://h/?u=https://me:secret@f/x":           "https://h/?u=https://f/x",
		"https://h:80/pkg/@v/v1.zip":                   "https://h:80/pkg/@v/v1.zip",
		"https://h/pkg@v1.zip":                         "https://h/pkg@v1.zip",
		"http://[2001:db8::1]/a@b":                     "http://[2001:db8::1]/a@b",
		"a-1.tar@b":                                    "a-1.tar@b",
		"":                                             "",
		"--repo pacman:https://me:secret@h/$repo?":     "--repo pacman:https://h/$repo?",
		`"ftp://me:secret@h/" and "ftp://a:secret@i/"`: `"ftp://h/" and "ftp://i/"`,
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("https", "me", "secret", "h/x@y")
	f.Add("ftp", "", "a/b", "[::1]:21/")
	f.Fuzz(func(t *testing.T, scheme, user, password, rest string) {
		if strings.ContainsAny(password, "/?# \t\r\n:@") || len(password) < 4 || strings.Contains(scheme+user+rest, "://") || strings.ContainsAny(user, "/?#@ \t\r\n") || strings.Contains(rest, "@") || strings.Contains(scheme+user+rest, password) {
			t.Skip()
		}
		if got := Redact(scheme + "://" + user + ":" + password + "@" + rest); strings.Contains(got, password) || !strings.HasSuffix(got, rest) {
			t.Fatalf("%q", got)
		}
	})
}
