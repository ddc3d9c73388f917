package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/regular"
	"distkeep/fetch/failure"
)

// An exported shard is what one has exported; nil is a shard that had no run.
type exported struct {
	distfiles []Distfile
	deletions []Deletion
	failures  []Failure
	past      []Event
	status    *Summary
}

// mergedOf merges what shards have exported.
func mergedOf(t *testing.T, shards ...*exported) (dir string, nameless map[string]bool) {
	t.Helper()
	dir = t.TempDir()
	var parts []Part
	for i, x := range shards {
		p := Part{fmt.Sprintf("%d/%d", i+1, len(shards)), t.TempDir()}
		parts = append(parts, p)
		if x == nil {
			continue
		}
		for _, err := range []error{
			WriteDistfiles(p.Dir, Each(x.distfiles), regular.Replace),
			WriteDeletions(p.Dir, x.deletions, regular.Replace),
			WriteFailures(p.Dir, x.failures, regular.Replace),
			WriteRestricted(p.Dir, nil, regular.Replace),
			WritePast(p.Dir, func(put func(*Event) error) error {
				for _, e := range x.past {
					if err := put(&e); err != nil {
						return err
					}
				}
				return nil
			}, regular.Replace),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if x.status != nil {
			if err := WriteStatus(p.Dir, x.status, regular.Replace); err != nil {
				t.Fatal(err)
			}
		}
	}
	nameless, err := Merge(dir, parts, regular.Replace)
	if err != nil {
		t.Fatal(err)
	}
	return dir, nameless
}

// TestMergeNames: each content is told of once, with the shard that has it, and of those of
// one name one has it.
func TestMergeNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		shards []string // "name/content@day", and "-" of what is scheduled, "=" unnamed, "~" in recycle
		want   string
	}{
		"apart":                  {[]string{"a/1@1 c/3@1", "b/2@1"}, "a/1(1) b/2(2) c/3(1)"},
		"no run yet":             {[]string{"a/1@1", ""}, "a/1(1)"},
		"newer":                  {[]string{"a/1@1", "a/2@2"}, "=a/1(1) a/2(2)"},
		"newer in the first":     {[]string{"a/1@3", "a/2@2"}, "a/1(1) =a/2(2)"},
		"wanted is older":        {[]string{"a/1@1", "a/2@2-"}, "a/1(1) =a/2(2)"},
		"both scheduled":         {[]string{"a/1@1-", "a/2@2-"}, "=a/1(1) a/2(2)"},
		"one has no name":        {[]string{"a/1@1", "a/2@2="}, "a/1(1) =a/2(2)"},
		"the same twice":         {[]string{"a/1@1-", "a/1@2"}, "a/1(2)"},
		"the same, going later":  {[]string{"a/1@1", "a/1@2-"}, "a/1(1)"},
		"recycled keeps its own": {[]string{"a/1@1~", "a/2@2"}, "a/2(2) ~a/1(1)"},
		"recycled twice":         {[]string{"a/1@1~", "a/1@2~"}, "~a/1(2)"},
		"three":                  {[]string{"a/1@1-", "a/2@1 b/9@1", "a/3@2-"}, "=a/1(1) a/2(2) =a/3(3) b/9(2)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var shards []*exported
			for _, text := range tc.shards {
				shards = append(shards, shardOf(t, text))
			}
			dir, nameless := mergedOf(t, shards...)
			ds, err := LoadDistfiles(dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range ds {
				mark := ""
				switch {
				case d.Recycled:
					mark = "~"
				case !d.Named:
					mark = "="
				}
				number, _, _ := strings.Cut(d.Shard, "/")
				got = append(got, fmt.Sprintf("%s%s/%s(%s)", mark, d.Name, d.SHA256, number))
				if nameless[d.SHA256] && d.Named {
					t.Errorf("%s has a name, and is in the list of those that have none", d.SHA256)
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), tc.want)
			}
		})
	}
}

// shardOf makes what a shard has exported of its text.
func shardOf(t *testing.T, text string) *exported {
	t.Helper()
	if text == "" {
		return nil
	}
	x := new(exported)
	for word := range strings.FieldsSeq(text) {
		mark := word[len(word)-1]
		word = strings.TrimRight(word, "-=~")
		name, rest, _ := strings.Cut(word, "/")
		sum, at, _ := strings.Cut(rest, "@")
		var days int
		if _, err := fmt.Sscan(at, &days); err != nil {
			t.Fatal(err)
		}
		x.distfiles = append(x.distfiles, Distfile{Name: name, SHA256: sum, Named: mark != '=' && mark != '~', Recycled: mark == '~', Added: day.AddDate(0, 0, days)})
		if mark == '-' {
			x.deletions = append(x.deletions, Deletion{Name: name, SHA256: sum, State: Scheduled, Due: day})
		}
	}
	return x
}

// TestMergeIsUndone: what was divided among shards is as it was when it is merged.
func TestMergeIsUndone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	const n = 5
	whole, shards := new(exported), make([]*exported, n)
	for i := range shards {
		shards[i] = new(exported)
	}
	for i := range 500 {
		k := r.IntN(n)
		d := Distfile{Name: fmt.Sprintf("f-%03d", i/2), SHA256: fmt.Sprintf("%03d", i), Named: i%2 == 0, Added: day, Recycled: i >= 400}
		d.Named = d.Named && !d.Recycled
		e := Event{Name: d.Name, SHA256: d.SHA256, What: "added", Time: day.Add(time.Duration(i) * time.Second)}
		f := Failure{Name: fmt.Sprintf("g-%03d", i), Class: "gone", Reason: "404", First: day, Last: day, Count: i + 1, Shard: fmt.Sprintf("%d/%d", k+1, n)}
		del := Deletion{Name: d.Name, SHA256: d.SHA256, State: Scheduled, Due: day.Add(time.Duration(r.IntN(100)) * time.Hour)}
		shards[k].distfiles, whole.distfiles = append(shards[k].distfiles, d), append(whole.distfiles, d)
		shards[k].past, whole.past = append(shards[k].past, e), append(whole.past, e)
		whole.failures = append(whole.failures, f)
		f.Shard = ""
		shards[k].failures = append(shards[k].failures, f)
		shards[k].deletions, whole.deletions = append(shards[k].deletions, del), append(whole.deletions, del)
	}
	for _, x := range append(shards, whole) {
		SortDeletions(x.deletions)
	}
	dir, _ := mergedOf(t, shards...)
	check := func(what string, got, want any, err error, opts ...cmp.Option) {
		if diff := cmp.Diff(want, got, opts...); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	ds, err := LoadDistfiles(dir)
	check("distfiles", ds, whole.distfiles, err, cmpopts.IgnoreFields(Distfile{}, "Shard"))
	dels, err := LoadDeletions(dir)
	check("deletions", dels, whole.deletions, err, cmpopts.IgnoreFields(Deletion{}, "Shard"))
	fs, err := LoadFailures(dir)
	check("failures", fs, whole.failures, err)
	es, err := collect(lines[Event](dir, pastFile, nil))
	check("past", es, whole.past, err)
}

// TestMergeStatus: sums and the oldest of all, with what stops one shard named, and what every
// shard has counted once.
func TestMergeStatus(t *testing.T) {
	t.Parallel()
	unknown := Failure{Class: "package", Owner: "app/x-1::r", Reason: "stale", First: day, Last: day, Count: 2}
	run := func(hours int, mine Failure) *exported {
		s := &Summary{
			Schema: Schema, Command: "mirror", Start: day.Add(time.Duration(hours) * time.Hour), Complete: true,
			LastComplete: day.Add(time.Duration(hours) * time.Hour), LastSuccess: day,
			Repositories: []catalog.RepoStats{{Name: "r", Packages: 10, Distfiles: hours}},
			Wanted:       layout.Count{Files: hours, Bytes: 10}, Archive: layout.Count{Files: 1, Bytes: 2},
			Unknown:  []string{"app/x-1: stale"},
			Failures: map[failure.Class]FailureCount{"package": {Known: 1}, "gone": {New: 1}},
			News:     []News{{Name: mine.Name}}, Due: []Due{{"2026-11-30", layout.Count{Files: 1}}},
			Hosts: []Host{{Host: "h", Files: 1}},
		}
		return &exported{status: s, failures: []Failure{unknown, mine}}
	}
	one, two := run(1, Failure{Name: "a", Class: "gone", New: true}), run(3, Failure{Name: "b", Class: "gone", New: true})
	two.status.Guard = "too many"
	load := func(shards ...*exported) *Summary {
		dir, _ := mergedOf(t, shards...)
		s := new(Summary)
		if err := LoadStatus(dir, s); err != nil {
			t.Fatal(err)
		}
		fs, err := LoadFailures(dir)
		if err != nil || len(fs) != s.AllFailures() {
			t.Errorf("%d failures are told of, and %d counted (%v)", len(fs), s.AllFailures(), err)
		}
		return s
	}
	s := load(one, two)
	want := &Summary{
		Schema: Schema, Command: "mirror", Start: day.Add(3 * time.Hour), Complete: true, LastComplete: day.Add(time.Hour), LastSuccess: day,
		Repositories: []catalog.RepoStats{{Name: "r", Packages: 10, Distfiles: 4}},
		Wanted:       layout.Count{Files: 4, Bytes: 20}, Archive: layout.Count{Files: 2, Bytes: 4}, Unknown: []string{"app/x-1: stale"},
		Failures: map[failure.Class]FailureCount{"package": {Known: 1}, "gone": {New: 2}},
		News:     []News{{Name: "a"}, {Name: "b"}}, Due: []Due{{"2026-11-30", layout.Count{Files: 2}}},
		Hosts: []Host{{Host: "h", Files: 2}}, Guard: "shard 2/2: too many",
		Shards: []ShardRun{{"1/2", RunOf(one.status)}, {"2/2", RunOf(two.status)}},
	}
	Fill(want)
	if diff := cmp.Diff(want, s, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	s = load(one, nil)
	if s.Complete || !s.LastComplete.IsZero() || !slices.Contains(s.Problems, "shard 2/2: no run has finished yet") {
		t.Errorf("without a run of one shard: %+v", s)
	}
}
