package serve

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
)

// page returns what answers a path that is about the archive and no file of it, or nil.
func (s *Server) page(path string) http.HandlerFunc {
	switch path {
	case "/healthz":
		return s.health
	case "/metrics":
		return s.metrics
	case "/report", "/report/":
		return s.report
	}
	return nil
}

// health tells whether the server can do its work: what was exported can be read, and
// the published directory is the one that is open, not another one that was mounted since.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	err := s.known.Load().err
	if err == nil {
		err = s.mounted()
	}
	if err != nil {
		s.Warn("%v", err)
		http.Error(w, "not well: the log tells why", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}

func (s *Server) mounted() error {
	ours, err := s.tree.root.Stat(".")
	if err != nil {
		return err
	}
	there, err := os.Stat(s.Distfiles)
	if err == nil && !os.SameFile(ours, there) {
		err = fmt.Errorf("%s is another directory than when it was opened", s.Distfiles)
	}
	return err
}

// metrics is for Prometheus.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	k := s.known.Load()
	m := &metrics{}
	m.family("distkeep_requests_total", "counter", "requests that were answered, by the class of the status")
	for i := 1; i < len(s.counts.classes); i++ {
		m.value("distkeep_requests_total", fmt.Sprintf(`class="%dxx"`, i), float64(s.counts.classes[i].Load()))
	}
	m.family("distkeep_dialect_requests_total", "counter", "requests that were answered by one of the dialects")
	for i, d := range dialects {
		m.value("distkeep_dialect_requests_total", fmt.Sprintf("form=%q", d.Form), float64(s.counts.dialects[i].Load()))
	}
	m.one("distkeep_sent_bytes_total", "counter", "bytes of bodies that were sent", float64(s.counts.bytes.Load()))
	m.one("distkeep_contents", "gauge", "contents that the server knows", float64(len(k.contents.at)))
	m.one("distkeep_report_readable", "gauge", "whether what runs export can be read", bit(k.err == nil))
	if r := k.run; r != nil {
		m.run(r)
	}
	_, _ = w.Write(m.Bytes())
}

type metrics struct{ bytes.Buffer }

func (m *metrics) family(name, kind, help string) {
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (m *metrics) value(name, labels string, v float64) {
	fmt.Fprintf(m, "%s{%s} %v\n", name, labels, v)
}

func (m *metrics) one(name, kind, help string, v float64) {
	m.family(name, kind, help)
	fmt.Fprintf(m, "%s %v\n", name, v)
}

func (m *metrics) run(r *report.Summary) {
	m.one("distkeep_last_run_timestamp_seconds", "gauge", "when the last run began", float64(r.Start.Unix()))
	m.one("distkeep_last_run_seconds", "gauge", "how long the last run took", r.Took.Seconds())
	m.one("distkeep_last_run_complete", "gauge", "whether the last run has understood all trees", bit(r.Complete))
	m.one("distkeep_last_run_broken", "gauge", "whether the last run could not go on", bit(r.Broken != ""))
	m.one("distkeep_last_run_guarded", "gauge", "whether a guard has stopped the deletions of the last run", bit(r.Guard != ""))
	states := []struct {
		name  string
		count layout.Count
	}{{"held", r.Archive}, {"scheduled", r.Pending}, {"recycled", r.Recycle}}
	m.family("distkeep_archive_files", "gauge", "contents by where they are")
	for _, st := range states {
		m.value("distkeep_archive_files", fmt.Sprintf("state=%q", st.name), float64(st.count.Files))
	}
	m.family("distkeep_archive_bytes", "gauge", "bytes by where they are")
	for _, st := range states {
		m.value("distkeep_archive_bytes", fmt.Sprintf("state=%q", st.name), float64(st.count.Bytes))
	}
	m.family("distkeep_failures", "gauge", "wanted contents that the archive has not, by class")
	for _, class := range slices.Sorted(maps.Keys(r.Failures)) {
		c := r.Failures[class]
		m.value("distkeep_failures", fmt.Sprintf("class=%q", class), float64(c.New+c.Known))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// maxFailures bounds the page of the report.
const maxFailures = 1000

// report tells people how the archive is.
func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	k := s.known.Load()
	if k.run == nil {
		http.Error(w, "no run has finished yet", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("ETag", fmt.Sprintf(`"%x-%x"`, k.version.Status.ModTime, k.version.Status.Inode))
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(k.page()))
}

func (s *Server) reportPage(k *known) string {
	fs, err := report.LoadFailures(s.Reports)
	if err != nil {
		s.Warn("%v", err)
	}
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<title>Archive</title>\n<style>td,th{text-align:left;padding-right:1em;vertical-align:top}</style>\n<h1>Archive</h1>\n<table>\n")
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "<tr><th>%s<td>%s\n", label, html.EscapeString(fmt.Sprintf(format, args...)))
	}
	row("Last run", "%s at %s, %v long", k.run.Command, k.run.Start.UTC().Format(time.RFC3339), k.run.Took.Round(time.Second))
	row("Holds", "%d files, %d bytes", k.run.Archive.Files, k.run.Archive.Bytes)
	row("Wanted", "%d files, %d bytes", k.run.Wanted.Files, k.run.Wanted.Bytes)
	row("To be deleted", "%d files, %d bytes", k.run.Pending.Files, k.run.Pending.Bytes)
	row("Failures", "%d", len(fs))
	b.WriteString("</table>\n<h2>Failures</h2>\n<table>\n<tr><th>File<th>Class<th>Owner<th>Since<th>Reason\n")
	for _, f := range fs[:min(len(fs), maxFailures)] {
		b.WriteString("<tr>")
		for _, cell := range []string{f.Name, f.Class, f.Owner, f.First.UTC().Format(time.DateOnly), report.OneLine(f.Text())} {
			b.WriteString("<td>" + html.EscapeString(strings.ToValidUTF8(cell, "\uFFFD")))
		}
		b.WriteByte('\n')
	}
	b.WriteString("</table>\n")
	return b.String()
}
