package fetch_test

import (
	"net/http"
	"strings"
	"testing"

	"distkeep/fetch/failure"
)

// TestDiagnosis: a report says what came in place of the file, in words that are
// bounded and printable, and hold no password.
func TestDiagnosis(t *testing.T) {
	t.Parallel()
	data := []byte(strings.Repeat("x", 4000))
	pages := map[string]string{
		"title":    "<!DOCTYPE html>\n<html><head><TITLE lang=en>404 &amp; \n gone</TITLE>",
		"long":     "<html><title>" + strings.Repeat("long", 1000),
		"bell":     "<html><title>a\x07\x1b[31mb\u202ec</title>",
		"bare":     "<html>",
		"echo":     "<html><title>hello me:s3cret</title>",
		"text":     "File not found.\n",
		"textecho": "no s3cret",
		"binary":   "\x00\x01\x02",
		"lfs":      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
		"s3":       "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>",
		"short":    strings.Repeat("x", 3000),
		"br":       "abc",
	}
	base := served(t, func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[1:]
		if name == "br" {
			w.Header().Set("Content-Encoding", "br")
		}
		w.Write([]byte(pages[name]))
	})
	f := fetcher(t, options(base))
	for name, c := range map[string]struct {
		class failure.Class
		want  string
	}{
		"title":    {failure.HTML, `a web page "404 & gone" with`},
		"long":     {failure.HTML, `longlong…" with`},
		"bell":     {failure.HTML, `"a\a\x1b[31mb\u202ec"`},
		"bare":     {failure.HTML, "a web page with"},
		"echo":     {failure.HTML, "a web page with"},
		"text":     {failure.Size, `got 16, 3984 too few: a text "File not found."`},
		"textecho": {failure.Size, "got 9, 3991 too few: a text ("},
		"binary":   {failure.Size, "got 3, 3997 too few"},
		"lfs":      {failure.Size, "a Git LFS pointer"},
		"s3":       {failure.Size, `an error message "AccessDenied"`},
		"short":    {failure.Size, "1000 too few"},
		"br":       {failure.Size, "compressed by br"},
	} {
		at := base
		if strings.HasSuffix(name, "echo") {
			at = strings.Replace(base, "//", "//me:s3cret@", 1)
		}
		r := run(t, t.Context(), f, want(t, t.TempDir(), name, data, at+"/"+name, at+"/"+name+"?again"))[name]
		checkClass(t, r, c.class, nil)
		if s := r.Err.Error(); !strings.Contains(s, c.want) || strings.Contains(s, "s3cret") || len(s) > 700 {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}
