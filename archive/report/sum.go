package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/fetch/failure"
)

// sum makes one summary of those of all shards, but for what stopped single ones. twice are
// the failures that were counted more than once.
func sum(all []*Summary, twice map[string]FailureCount) *Summary {
	first := all[0]
	s := &Summary{
		Schema: Schema, Command: first.Command, Complete: true, DeletionDelay: first.DeletionDelay, RecycleDelay: first.RecycleDelay,
		LastComplete: first.LastComplete, LastSuccess: first.LastSuccess, Failures: make(map[failure.Class]FailureCount),
		Layouts: first.Layouts, Rooms: Rooms{Free: first.Rooms.Free, StateFree: first.Rooms.StateFree},
	}
	for _, x := range all {
		s.Start, s.Took = later(s.Start, x.Start), max(s.Took, x.Took)
		s.LastComplete, s.LastSuccess = oldest(s.LastComplete, x.LastComplete), oldest(s.LastSuccess, x.LastSuccess)
		s.Complete, s.Deleting = s.Complete && x.Complete, s.Deleting || x.Deleting
		s.Interrupted = s.Interrupted || x.Interrupted
		s.Stamped = max(s.Stamped, x.Stamped)
		for to, n := range map[*int]int{
			&s.Protected: x.Protected, &s.Conflicts: x.Conflicts, &s.Restricted: x.Restricted, &s.Relinked: x.Relinked,
			&s.Gone: x.Gone, &s.Waiting: x.Waiting, &s.Damaged: x.Damaged, &s.Coming.Hosts: x.Coming.Hosts,
		} {
			*to += n
		}
		for to, n := range s.counts(x) {
			to.Files, to.Bytes = to.Files+n.Files, to.Bytes+n.Bytes
		}
		s.Received += x.Received
		s.Problems, s.Unknown, s.Notes = append(s.Problems, x.Problems...), append(s.Unknown, x.Unknown...), append(s.Notes, x.Notes...)
		s.ProtectedFiles = append(s.ProtectedFiles, x.ProtectedFiles...)
		for _, w := range x.Wrong {
			s.AddWrong(w)
		}
		s.News = append(s.News, x.News...)
		for class, n := range x.Failures {
			was := s.Failures[class]
			s.Failures[class] = FailureCount{was.New + n.New, was.Known + n.Known}
		}
		if x.Outage != nil && (s.Outage == nil || x.Outage.Since.Before(s.Outage.Since)) {
			s.Outage = x.Outage
		}
		s.Rooms.Free, s.Rooms.StateFree = min(s.Rooms.Free, x.Rooms.Free), min(s.Rooms.StateFree, x.Rooms.StateFree)
		s.Rooms.MinFree = max(s.Rooms.MinFree, x.Rooms.MinFree)
	}
	for class, n := range twice {
		c := failure.Class(class)
		was := s.Failures[c]
		s.Failures[c] = FailureCount{max(0, was.New-n.New), max(0, was.Known-n.Known)}
	}
	for _, list := range []*[]string{&s.Problems, &s.Unknown, &s.Notes} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	slices.SortFunc(s.News, func(a, b News) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Owner, b.Owner)) })
	s.News = slices.Compact(s.News)
	s.News = s.News[:min(len(s.News), MaxNews)]
	s.sumLists(all)
	return s
}

// counts are the counts of s, each with that of x.
func (s *Summary) counts(x *Summary) map[*layout.Count]layout.Count {
	return map[*layout.Count]layout.Count{
		&s.Wanted: x.Wanted, &s.Held: x.Held, &s.Fetched: x.Fetched, &s.Local: x.Local, &s.Restored: x.Restored, &s.Linked: x.Linked,
		&s.Adopted: x.Adopted, &s.Found.Right: x.Found.Right, &s.Found.Foreign: x.Found.Foreign, &s.Found.Elsewhere: x.Found.Elsewhere,
		&s.Found.Wrong: x.Found.Wrong, &s.Found.Missing: x.Found.Missing, &s.Lost: x.Lost, &s.Coming.Count: x.Coming.Count,
		&s.Parked: x.Parked, &s.Scheduled: x.Scheduled, &s.Unscheduled: x.Unscheduled, &s.Deleted: x.Deleted, &s.Purged: x.Purged,
		&s.LocalExpired: x.LocalExpired, &s.Archive: x.Archive, &s.Pending: x.Pending, &s.Recycle: x.Recycle,
		&s.Rooms.Parts: x.Rooms.Parts, &s.Rooms.Quarantine: x.Rooms.Quarantine, &s.Ages.Older: x.Ages.Older, &s.Ages.Unknown: x.Ages.Unknown,
	}
}

// sumLists adds up what has a name: repositories, hosts, days and ages.
func (s *Summary) sumLists(all []*Summary) {
	days, hosts := make(map[string]layout.Count), make(map[string]Host)
	repos := make(map[string]int)
	for _, x := range all {
		for _, r := range x.Repositories {
			i, ok := repos[r.Name]
			if !ok {
				repos[r.Name] = len(s.Repositories)
				s.Repositories = append(s.Repositories, r)
				continue
			}
			was := &s.Repositories[i]
			r.Distfiles, r.Protected = r.Distfiles+was.Distfiles, r.Protected+was.Protected
			if x.Start.Before(s.Start) { // the newest scan tells of the tree
				was.Distfiles, was.Protected = r.Distfiles, r.Protected
			} else {
				*was = r
			}
		}
		for _, d := range x.Due {
			c := days[d.Day]
			days[d.Day] = layout.Count{Files: c.Files + d.Files, Bytes: c.Bytes + d.Bytes}
		}
		for _, h := range x.Hosts {
			hosts[h.Host] = h.and(hosts[h.Host])
		}
		s.Ages.add(x.Ages, x.Archive.Files > 0)
	}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		s.Due = append(s.Due, Due{day, days[day]})
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		s.Hosts = append(s.Hosts, hosts[host])
	}
}

// and adds to h what others did at the same host.
func (h Host) and(o Host) Host {
	h.Files, h.Bytes, h.Requests, h.Connections = h.Files+o.Files, h.Bytes+o.Bytes, h.Requests+o.Requests, h.Connections+o.Connections
	h.Peak, h.Answered = h.Peak+o.Peak, h.Answered || o.Answered
	h.Declined, h.Failures, h.Spared, h.Spent = h.Declined+o.Declined, h.Failures+o.Failures, h.Spared+o.Spared, h.Spent+o.Spent
	h.Limit, h.Max = h.Limit+o.Limit, h.Max+o.Max
	h.Dead, h.DeadClass = cmp.Or(h.Dead, o.Dead), cmp.Or(h.DeadClass, o.DeadClass)
	h.SkipVerify, h.Lowered = h.SkipVerify || o.SkipVerify, cmp.Or(h.Lowered, o.Lowered)
	return h
}

// add adds the ages of another shard, which has any if some says so.
func (a *Ages) add(o Ages, some bool) {
	if !some {
		return
	}
	if a.Within == nil {
		a.Oldest = o.Oldest
	}
	a.Oldest = oldest(a.Oldest, o.Oldest)
	for _, w := range o.Within {
		i := slices.IndexFunc(a.Within, func(x Age) bool { return x.Days == w.Days })
		if i < 0 {
			a.Within = append(a.Within, w)
			continue
		}
		a.Within[i].Files, a.Within[i].Bytes = a.Within[i].Files+w.Files, a.Within[i].Bytes+w.Bytes
	}
}

// oldest is the earlier time; zero is never, and before all.
func oldest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
