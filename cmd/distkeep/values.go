package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
)

// A durationValue is a flag such as 3w, 7d, 12h or 1h30m.
type durationValue time.Duration

var _ cli.Generic = (*durationValue)(nil)

// Set parses s: what time.ParseDuration accepts, and numbers of days and weeks.
func (d *durationValue) Set(s string) error {
	unit := time.Duration(0)
	switch {
	case strings.HasSuffix(s, "w"):
		unit = 7 * 24 * time.Hour
	case strings.HasSuffix(s, "d"):
		unit = 24 * time.Hour
	}
	if unit == 0 {
		v, err := time.ParseDuration(s)
		if err != nil || v < 0 {
			return fmt.Errorf("%q is no duration: write 3w, 7d, 12h or 90s", s)
		}
		*d = durationValue(v)
		return nil
	}
	n, err := strconv.ParseFloat(s[:len(s)-1], 64)
	if err != nil || !(n >= 0 && n*float64(unit) < math.MaxInt64) {
		return fmt.Errorf("%q is no duration: write 3w, 7d, 12h or 90s", s)
	}
	*d = durationValue(n * float64(unit))
	return nil
}

// String returns the largest unit that fits.
func (d *durationValue) String() string { return shortDuration(time.Duration(*d)) }

func shortDuration(v time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case v == 0:
		return "0"
	case v%day == 0:
		return fmt.Sprintf("%dd", v/day)
	case v%time.Hour == 0:
		return fmt.Sprintf("%dh", v/time.Hour)
	}
	return v.String()
}

// A sizeValue is a flag such as 64KiB, 1GiB or 500MB.
type sizeValue int64

var _ cli.Generic = (*sizeValue)(nil)

// Set parses s: bytes, with an optional decimal or binary unit.
func (v *sizeValue) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is no size: write 64KiB, 1GiB or a number of bytes", s)
	}
	*v = sizeValue(n)
	return nil
}

// String returns the size in binary units.
func (v *sizeValue) String() string { return humanSize(int64(*v)) }

func humanSize(n int64) string {
	if n <= 0 {
		return "0"
	}
	return strings.ReplaceAll(humanize.IBytes(uint64(n)), " ", "")
}

// A percentValue is a flag such as 10%: a part of the whole, 0 to 1.
type percentValue float64

var _ cli.Generic = (*percentValue)(nil)

// Set parses s, with or without the sign.
func (v *percentValue) Set(s string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("%q is no percentage: write 10%%", s)
	}
	*v = percentValue(n / 100)
	return nil
}

// String returns the percentage with its sign.
func (v *percentValue) String() string { return strconv.FormatFloat(float64(*v)*100, 'g', 4, 64) + "%" }

// A choiceValue is a flag with a closed list of values.
type choiceValue struct {
	value   string
	choices []string
}

var _ cli.Generic = (*choiceValue)(nil)

// Set accepts one of the choices.
func (v *choiceValue) Set(s string) error {
	for _, c := range v.choices {
		if s == c {
			v.value = s
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s%s", s, strings.Join(v.choices, ", "), suggest(s, slices.Clone(v.choices)))
}

// String returns the value.
func (v *choiceValue) String() string { return v.value }
