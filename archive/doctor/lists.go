package doctor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"

	"distkeep/archive/export"
	"distkeep/archive/history"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// lists reads the lists that runs write.
func (d *examination) lists() {
	if _, err := history.LoadHistory(d.v.Store.Path("history")); err != nil {
		d.find(&Finding{Kind: FindList, Path: "history", Problem: report.OneLine(err.Error()) + ": put the line right, or move the file away, and no file is known as unwanted before the next run"})
	}
	d.distinfoList()
	dir := d.v.Store.ReportDir()
	for file, load := range map[string]func() error{
		"status.json":      func() error { return report.LoadStatus(dir, new(report.Summary)) },
		"failures.jsonl":   func() error { return ended(report.Failures(dir, report.Question{})) },
		"restricted.jsonl": func() error { return ended(report.Restricted(dir)) },
		"deletions.jsonl":  func() error { _, err := report.LoadDeletions(dir); return err },
		"distfiles.jsonl":  func() error { return report.CheckDistfiles(dir) },
		"past.jsonl":       func() error { return report.CheckPast(dir) },
	} {
		if err := load(); err != nil && !errors.Is(err, report.ErrNoRun) {
			d.find(&Finding{
				Kind: FindList, Path: filepath.Join(dir, file), Problem: report.OneLine(err.Error()), Remedy: "write it anew", late: true,
				fix: func(context.Context) error { d.v.Restated = true; return export.Refresh(d.v, "doctor") },
			})
		}
	}
}

// ended is the error that ends what a list yields.
func ended(list iter.Seq2[*report.Failure, error]) (err error) {
	for _, err = range list {
	}
	return err
}

// distinfoList compares distinfo with the ledger, unless a run is going to write
// it anyway.
func (d *examination) distinfoList() {
	if export.HasDistinfo(d.v) {
		return // most are, and then it need not be held
	}
	lines, err := history.LoadDistinfo(d.v.Store.Path("distinfo"))
	f := &Finding{Kind: FindList, Path: "distinfo", Remedy: "write it anew", late: true, fix: func(context.Context) error { return export.WriteDistinfo(d.v) }}
	type line struct {
		name catalog.Name
		sum  digest.Digest
	}
	switch {
	case err != nil:
		f.Problem = report.OneLine(err.Error())
	case d.v.Index.Notes.Changed || missing(d.v.Store.Path("distinfo")):
		return
	default:
		listed := make(map[line]bool, len(lines))
		for _, l := range lines {
			listed[line{l.Name, l.SHA256}] = true
		}
		held := make(map[line]bool, len(lines)) // by content-hash, names share a path
		missing := 0
		for _, l := range export.Distinfo(d.v) {
			k := line{l.Name, l.SHA256}
			if !held[k] && !listed[k] {
				missing++
			}
			held[k] = true
		}
		if missing == 0 && len(held) == len(listed) {
			return
		}
		f.Problem = fmt.Sprintf("it has %d lines, %d of %d files are not in it", len(listed), missing, len(held))
	}
	d.find(f)
}
