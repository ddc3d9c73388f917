package pages

import (
	"html/template"
	"time"

	"distkeep/archive/report"
	"distkeep/archive/report/triage"
)

// funcs are those of the templates.
func (w *writer) funcs() template.FuncMap {
	return template.FuncMap{
		"bytes":  func(n int64) string { return bytesText(float64(n)) },
		"date":   func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
		"stamp":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"rfc":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"took":   func(d time.Duration) string { return secondsText(d.Seconds()) },
		"name":   name,
		"owners": owners,
		"hosts":  func(f report.Failure) []string { return triage.KeysOf(&f, triage.Host) },
		"maintainer": func(key string) string {
			return maintainerDir + "/" + slug(key) + ".html"
		},
		"maintainers": func(f report.Failure) []string { return triage.KeysOf(&f, triage.Maintainer) },
		"package":     func(key string) string { return packageDir + "/" + slug(key) + ".html" },
		"packages":    func(f report.Failure) []string { return packagesOf(&f) },
		"first": func(n int, gs []*triage.Group) []*triage.Group {
			return gs[:min(n, len(gs))]
		},
		"text": func(f report.Failure) string { return f.Text() },
	}
}
