package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// mourning notes which whitelisted names have lost every content by hand, if there
// is a ledger that knows of them.
func (m *model) mourning(before state) {
	after := m.scan()
	any := func(s state, n string) bool {
		return slices.ContainsFunc(modelContents, func(c string) bool { return s.held(n, c) })
	}
	for _, n := range modelNames {
		if m.white[n] && !m.unlisted && any(before, n) && !any(after, n) {
			m.mourned[n] = true
		}
	}
}

// step carries out one operation and checks the rules.
func (m *model) step(op string) *modelError {
	words := strings.Fields(op)
	m.output = ""
	switch words[0] {
	case "init":
		if status := m.program("init"); status != 0 {
			return m.wrong("status", "init ends with %d", status)
		}
		m.must(os.MkdirAll(m.path("drop"), 0o755))
		m.set(m.path("tree", "profiles", "categories"), []byte("app-a\napp-b\n"), m.now)
		m.set(m.path("tree", "profiles", "repo_name"), []byte("tree\n"), m.now)
		m.do([]string{"tree", "whole"})
		return nil
	case "calm": // four hours in which nobody does anything
		for range 4 {
			m.now = m.now.Add(time.Hour)
			if err := m.command(append([]string{"mirror"}, words[1:]...)); err != nil {
				return err
			}
		}
		return nil
	case "mirror", "dry-run", "undo", "history", "clean", "doctor", "verify", "snapshot":
		return m.command(words)
	case "ledger":
		if words[1] == "reimport" {
			return m.command(words)
		}
	case "stamped":
		return m.checkStamped(words[1])
	}
	m.do(words)
	for n, cs := range m.wants {
		for _, c := range cs {
			m.legit[pair(n, c)] = true
		}
	}
	for n, c := range m.drops {
		m.legit[pair(n, c)] = true
	}
	return nil
}

// command runs the program and checks everything.
func (m *model) command(words []string) *modelError {
	before := m.scan()
	drops := maps.Clone(m.drops)
	deleting := len(words) > 1 && words[1] == "delete" && words[0] == "mirror" || words[0] == "clean"
	m.foresee(before, words[0] == "mirror" && deleting)
	status := m.invoke(words, deleting)
	after := m.scan()
	for n := range m.drops {
		if _, err := os.Lstat(m.path("drop", string(distName(n)))); err != nil {
			delete(m.drops, n)
			delete(m.sly, n)
		}
	}
	m.foresee(after, words[0] == "mirror" && deleting)
	for _, check := range []func() *modelError{
		func() *modelError { return m.checkStatus(words, status, before, after) },
		func() *modelError { return m.checkBytes(before, after) },
		func() *modelError { return m.checkGone(words, before, after, deleting) },
		func() *modelError { return m.checkDrops(drops, after) },
		func() *modelError { return m.checkPublished(words, status, before, after) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	m.learn(words, status, before, after)
	return nil
}

// modelCertified counts the runs that found nothing changed.
var modelCertified atomic.Int64

// invoke runs the program as an operation says.
func (m *model) invoke(words []string, deleting bool) int {
	switch words[0] {
	case "mirror":
		more := []string{}
		switch {
		case deleting:
			more = append(more, "--delete")
		case len(words) > 1: // no transfer may begin
			more = append(more, "--min-free", "1000000TiB")
		}
		status := m.program("mirror", m.mirrorArgs(more...)...)
		if strings.Contains(m.output, "\nunchanged ") {
			modelCertified.Add(1)
		}
		return status
	case "dry-run":
		return m.program("mirror", m.mirrorArgs("--dry-run", "--delete")...)
	case "undo":
		return m.program("deletions", "--undo", string(distName(words[1])))
	case "history":
		return m.program("history", "--repo", "gentoo:"+m.path("tree"))
	case "clean":
		return m.program("history", append(m.repo(), "--clean", "--before", modelBefore.String())...)
	case "doctor":
		args := []string{"--distfiles-local", m.path("drop")}
		if len(words) > 1 {
			args = append(args, "--repair")
		}
		return m.program("doctor", args...)
	case "verify":
		return m.program("verify")
	case "snapshot":
		// Two in one second have one name.
		m.now = m.now.Add(time.Second)
		return m.program("snapshot create")
	case "ledger":
		m.kill = "" // an archive without its ledger is lost, or restored
		file := m.path("export")
		if status := m.program("doctor", "--export", file); status != 0 {
			return status
		}
		m.must(os.RemoveAll(m.path("archive", "state", "ledger")))
		return m.program("doctor", "--import", file)
	}
	panic("no such command: " + words[0])
}

// report is what the last command printed, and the failures of the last run.
func (m *model) report() string {
	said := m.output
	m.program("failures")
	return said + m.output
}

// keeps reports whether somebody keeps a content under a name.
func (m *model) keeps(n, c string) bool {
	return slices.Contains(m.wants[n], c) || m.white[n] || m.drops[n] == c || m.broken
}

// foresee notes what the run that comes may schedule, or note in the history.
func (m *model) foresee(s state, deleting bool) {
	pairs(func(n, c, p string) {
		if !s.held(n, c) {
			return
		}
		if deleting && !m.keeps(n, c) {
			earliest(m.since, p, m.now)
		}
		if !slices.Contains(m.wants[n], c) {
			earliest(m.noted, p, m.now)
		}
	})
}

// earliest notes that something may have begun at now, unless it may have before:
// the clock steps back, and a run that was killed may have recorded nothing.
func earliest(times map[string]time.Time, p string, now time.Time) {
	if t, ok := times[p]; !ok || now.Before(t) {
		times[p] = now
	}
}

// old reports whether a delay may have passed for "NAME CONTENT".
func (m *model) old(since map[string]time.Time, p string, delay time.Duration) bool {
	t, ok := since[p]
	return ok && !t.After(m.now) && m.now.Sub(t) >= delay
}

// learn follows a command that the rules hold for.
func (m *model) learn(words []string, status int, before, after state) {
	purges := status == killed && words[0] == "mirror" && words[len(words)-1] == "delete"
	pairs(func(n, c, p string) {
		if words[0] == "mirror" && (status == 0 || status == 1) && m.keeps(n, c) || words[0] == "undo" && words[1] == n && status == 0 {
			delete(m.since, p)
		}
		if !after.recycled(n, c) {
			delete(m.gone, p)
			delete(m.purging, p)
			return
		}
		earliest(m.gone, p, m.now)
		if purges && m.old(m.gone, p, modelRecycle) {
			m.purging[p] = true
		}
	})
	if status == killed {
		m.hands = true // the next run ends what it began
		return
	}
	if words[0] == "doctor" && len(words) > 1 {
		m.blind, m.stale = false, false
	}
	if words[0] != "mirror" {
		return
	}
	m.hands, m.relaid = false, false
	clear(m.purging)
	if status == exitOK || status == exitNew {
		m.unlisted = false
	}
	for n, cs := range m.wants {
		for i, c := range cs {
			if how := m.serve[c]; how != "" && how != "ok" || words[len(words)-1] == "full" || !m.satisfied(after, n, c, i == 0) {
				m.retry[pair(n, c)] = m.now.Add(25 * time.Hour)
			}
		}
	}
}
