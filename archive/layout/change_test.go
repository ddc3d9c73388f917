package layout

import (
	"slices"
	"testing"
	"time"
)

// TestChange: what is new is listed last, then everything is as it was asked for.
func TestChange(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	flat, hashed, content := Flat(), mustParse(t, "filename-hash BLAKE2B 8"), mustParse(t, "content-hash SHA512 8")
	for name, c := range map[string]struct {
		from, to Conf
		due      time.Time // of the change
		grace    time.Duration
		want     Conf
		wantDue  time.Time // of what is left of it; zero: nothing
	}{
		"a new one takes the first place":     {Conf{flat}, Conf{hashed, flat}, time.Time{}, time.Hour, Conf{flat, hashed}, now.Add(time.Hour)},
		"it waits":                            {Conf{flat}, Conf{hashed, flat}, now.Add(1), time.Hour, Conf{flat, hashed}, now.Add(1)},
		"it has waited":                       {Conf{flat}, Conf{hashed, flat}, now, time.Hour, Conf{hashed, flat}, time.Time{}},
		"a new one is the only one":           {Conf{flat}, Conf{hashed}, time.Time{}, time.Hour, Conf{flat, hashed}, now.Add(time.Hour)},
		"it takes the last place":             {Conf{flat}, Conf{flat, hashed}, time.Time{}, time.Hour, Conf{flat, hashed}, time.Time{}},
		"no grace":                            {Conf{flat}, Conf{hashed}, time.Time{}, 0, Conf{hashed}, time.Time{}},
		"two new ones keep their order":       {Conf{flat}, Conf{hashed, content}, time.Time{}, time.Hour, Conf{flat, hashed, content}, now.Add(time.Hour)},
		"named again, it waits for the first": {Conf{flat, hashed}, Conf{hashed}, now.Add(1), time.Hour, Conf{flat, hashed}, now.Add(1)},
	} {
		ch := &Change{From: c.from, To: c.to, Due: c.due}
		got, left := ch.Next(now, c.grace)
		if !slices.Equal(got, c.want) || (left == nil) != c.wantDue.IsZero() || left != nil && !left.Due.Equal(c.wantDue) {
			t.Errorf("%s: layout.conf is to list %v, and %+v is left, want %v and %v", name, got, left, c.want, c.wantDue)
		}
		for _, conf := range []Conf{c.from, got, c.to} {
			if !ch.Follows(conf) {
				t.Errorf("%s: %v is not of the change", name, conf)
			}
		}
		if ch.Follows(Conf{content, flat}) {
			t.Errorf("%s: what somebody else wrote is of the change", name)
		}
	}
}
