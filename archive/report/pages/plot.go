package pages

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"distkeep/archive/report"
)

// A Plot is a drawing of something over the runs.
type Plot struct {
	Title string
	// Text says what can be seen in it, for those who cannot.
	Text   string
	SVG    template.HTML
	Legend []string
}

// The size of a plot, without unit, and the room beside it for words.
const (
	plotWidth, plotHeight = 600, 180
	plotLeft, plotBottom  = 64, 22
	plotTop               = 12
	plotPoints            = 300
	plotLines             = 6
)

// A line is a row of values, one a run.
type line struct {
	name   string
	values []float64
}

// plots are those of the overview.
func plots(runs []report.Run) []Plot {
	runs = thin(runs)
	if len(runs) < 2 {
		return nil
	}
	of := func(value func(*report.Run) float64) []line {
		l := line{values: make([]float64, len(runs))}
		for i := range runs {
			l.values[i] = value(&runs[i])
		}
		return []line{l}
	}
	return []Plot{
		plot("Size of the archive", runs, of(func(r *report.Run) float64 { return float64(r.Archive.Bytes) }), bytesText),
		plot("Failures by class", runs, classes(runs), countText),
		plot("Duration of a run", runs, of(func(r *report.Run) float64 { return r.Took.Seconds() }), secondsText),
		plot("Bytes received in a run", runs, of(func(r *report.Run) float64 { return float64(r.Received) }), bytesText),
	}
}

// thin leaves at most plotPoints runs, evenly, the last among them.
func thin(runs []report.Run) []report.Run {
	if len(runs) <= plotPoints {
		return runs
	}
	out := make([]report.Run, plotPoints)
	for i := range out {
		out[i] = runs[(i+1)*len(runs)/plotPoints-1]
	}
	return out
}

// classes has a line for each of the classes that most files failed with, and one for
// the others together.
func classes(runs []report.Run) []line {
	sums := make(map[string]int)
	for _, r := range runs {
		for c, n := range r.Failures {
			sums[c] += n
		}
	}
	names := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		if sums[a] != sums[b] {
			return sums[b] - sums[a]
		}
		return strings.Compare(a, b)
	})
	rest := line{name: "others", values: make([]float64, len(runs))}
	var lines []line
	for i, name := range names {
		l := line{name: name, values: make([]float64, len(runs))}
		if i >= plotLines {
			l = rest
		}
		for j, r := range runs {
			l.values[j] += float64(r.Failures[name])
		}
		if i < plotLines {
			lines = append(lines, l)
		}
	}
	if len(names) > plotLines {
		lines = append(lines, rest)
	}
	return lines
}

// plot draws lines over the times of the runs.
func plot(title string, runs []report.Run, lines []line, text func(float64) string) Plot {
	highest := 0.0
	for _, l := range lines {
		highest = max(highest, slices.Max(l.values))
	}
	first, last := runs[0].Start, runs[len(runs)-1].Start
	span := max(last.Sub(first), time.Second)
	p := Plot{Title: title}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotLeft+plotWidth+8, plotTop+plotHeight+plotBottom, template.HTMLEscapeString(title))
	for i := range 3 {
		y := plotTop + plotHeight*i/2
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d" text-anchor="end">%s</text>`,
			plotLeft, plotLeft+plotWidth, y, y, plotLeft-6, y+4, text(highest*float64(2-i)/2))
	}
	for i, l := range lines {
		var points strings.Builder
		for j, v := range l.values {
			x := plotLeft + plotWidth*float64(runs[j].Start.Sub(first))/float64(span)
			y := plotTop + plotHeight*(1-v/max(highest, 1))
			fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
		}
		fmt.Fprintf(&b, `<polyline class="line%d" points="%s"/>`, i, strings.TrimSpace(points.String()))
		if l.name != "" {
			p.Legend = append(p.Legend, l.name)
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text><text x="%d" y="%d" text-anchor="end">%s</text></svg>`,
		plotLeft, plotTop+plotHeight+16, first.UTC().Format(time.DateOnly), plotLeft+plotWidth, plotTop+plotHeight+16, last.UTC().Format(time.DateOnly))
	// Everything in it is a number, a date, or escaped above.
	p.SVG = template.HTML(b.String())
	p.Text = fmt.Sprintf("%d runs from %s to %s, at most %s", len(runs), first.UTC().Format(time.DateOnly), last.UTC().Format(time.DateOnly), text(highest))
	if len(lines) == 1 {
		p.Text += ", now " + text(lines[0].values[len(runs)-1])
	}
	return p
}

// bytesText is a size with a binary unit.
func bytesText(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func countText(v float64) string { return fmt.Sprintf("%.0f", v) }

func secondsText(v float64) string {
	switch {
	case v >= 2*3600:
		return fmt.Sprintf("%.1f h", v/3600)
	case v >= 120:
		return fmt.Sprintf("%.1f min", v/60)
	}
	return fmt.Sprintf("%.1f s", v)
}
