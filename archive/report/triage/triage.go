// Package triage answers the questions that people ask of a list of failures: what is
// new, whose is it, which hosts are behind it. It is pure: lists in, lists out.
package triage

import (
	"cmp"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"distkeep/archive/report"
	"distkeep/fetch/failure"
)

// A Filter says which failures are meant. The zero value means all.
type Filter struct {
	// New are those that the run before the last had not, Since those that failed
	// first at that time or later.
	New   bool
	Since time.Time
	Class failure.Class
	// Host is a pattern of a host that was asked, Owner of a package that wants
	// the file, with its repository or without, Maintainer of who looks after
	// one, and Name of the file. A pattern matches the whole, "*" any text, "?"
	// any character, and upper and lower case are the same.
	Host, Owner, Maintainer, Name string
}

// Means returns a function that reports whether f means a failure.
func (f *Filter) Means() func(*report.Failure) bool {
	host, owner, maintainer, name := pattern(f.Host), pattern(f.Owner), pattern(f.Maintainer), pattern(f.Name)
	return func(x *report.Failure) bool {
		switch {
		case f.New && !x.New, x.First.Before(f.Since), f.Class != "" && x.Class != string(f.Class):
			return false
		}
		return host(hosts(x)) && owner(owners(x)) && maintainer(x.Maintainers) && name([]string{x.Name})
	}
}

// pattern returns a function that reports whether one of several texts is what a
// pattern means; without a pattern all are.
func pattern(glob string) func([]string) bool {
	if glob == "" {
		return func([]string) bool { return true }
	}
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(glob))
	re := regexp.MustCompile("(?is)^(?:" + expr + ")$")
	return func(texts []string) bool { return slices.ContainsFunc(texts, re.MatchString) }
}

// owners are all that a pattern may name.
func owners(f *report.Failure) []string {
	var names []string
	for _, o := range allOwners(f) {
		pkg, _, _ := strings.Cut(o, "::")
		names = append(names, o, pkg)
	}
	return names
}

func allOwners(f *report.Failure) []string {
	if len(f.Owners) == 0 && f.Owner != "" {
		return []string{f.Owner}
	}
	return f.Owners
}

func hosts(f *report.Failure) (names []string) {
	for _, a := range f.Answers {
		if a.Host != "" && !slices.Contains(names, a.Host) {
			names = append(names, a.Host)
		}
	}
	return names
}

// What failures can be grouped by.
const (
	Class      = "class"
	Host       = "host"
	Maintainer = "maintainer"
	Package    = "package"
	Repository = "repository"
)

// Keys are all of them.
var Keys = []string{Class, Host, Maintainer, Package, Repository}

// A Group is what the failures with one key have in common.
type Group struct {
	Key      string `json:"key"`
	Failures int    `json:"failures"`
	New      int    `json:"new"`
	// Bytes are those that are missing, as far as the trees tell.
	Bytes int64 `json:"bytes"`
	// Oldest is when the first of them failed first.
	Oldest time.Time `json:"oldest"`
	// Example is the name of one of them: a new one, if there is one.
	Example string `json:"example"`
	// Hint is what can be done, in a group of one class.
	Hint string `json:"hint,omitempty"`
}

// Groups counts failures by one of Keys, the largest group first. A file that has
// several owners, or was asked of several hosts, is in the group of each.
func Groups(fs iter.Seq[*report.Failure], by string) []*Group {
	groups := make(map[string]*Group)
	exampleNew := make(map[string]bool)
	for f := range fs {
		for _, key := range KeysOf(f, by) {
			g := groups[key]
			if g == nil {
				g = &Group{Key: key, Oldest: f.First, Example: f.Name}
				if by == Class {
					g.Hint = failure.Class(key).Hint()
				}
				groups[key] = g
			}
			g.Failures++
			g.Bytes += f.Size
			if f.First.Before(g.Oldest) {
				g.Oldest = f.First
			}
			if f.New {
				g.New++
				if !exampleNew[key] {
					g.Example, exampleNew[key] = f.Name, true
				}
			}
		}
	}
	return Sorted(groups)
}

// Sorted returns groups by their keys in the order of Groups.
func Sorted(groups map[string]*Group) []*Group {
	return slices.SortedFunc(maps.Values(groups), func(a, b *Group) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.Key, b.Key))
	})
}

// Ours is the group of failures that no host and no package is to blame for, and
// Unknown that of those of which nobody can tell whose they are.
const (
	Ours    = "(this machine)"
	Unknown = "(unknown)"
)

// KeysOf are those of the groups that f is in, each once.
func KeysOf(f *report.Failure, by string) (ks []string) {
	if by == Class {
		return []string{f.Class}
	}
	if failure.Class(f.Class) == failure.Disk {
		return []string{Ours}
	}
	switch by {
	case Host:
		ks = hosts(f)
	case Maintainer:
		ks = slices.Clone(f.Maintainers)
	case Package:
		ks = slices.Clone(allOwners(f))
	case Repository:
		for _, o := range allOwners(f) {
			if _, repo, ok := strings.Cut(o, "::"); ok {
				ks = append(ks, repo)
			}
		}
	}
	if len(ks) == 0 {
		return []string{Unknown}
	}
	slices.Sort(ks)
	return slices.Compact(ks)
}
