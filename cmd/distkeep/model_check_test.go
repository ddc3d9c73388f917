package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
)

// The rules:
//
//   - bytes: what is published below by_cipher has the digest of its directory,
//     and what has the path of a name is a content that this name was given;
//   - distinfo: every line is true;
//   - published: what is wanted and can be had is at every path;
//   - kept: what a whitelist names comes back from recycle and does not go;
//   - early: nothing goes before its delays, or while somebody keeps it;
//   - drop: a file leaves the drop box only when the archive has its bytes;
//   - status: exit statuses are those of the help;
//   - stamped: a run reads no package of which nothing has changed. Sequences by hand
//     say how many those are.
//
// What people have changed by hand is excused at the paths where they did it,
// until it can be known.

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

func (m *model) wrong(rule, format string, args ...any) *modelError {
	return &modelError{rule: rule, detail: fmt.Sprintf(format, args...)}
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

// checkStamped is the rule "stamped", of the last run.
func (m *model) checkStamped(want string) *modelError {
	var s report.Summary
	m.must(report.LoadStatus(m.path("archive", "state", "report"), &s))
	if got := fmt.Sprint(s.Stamped); got != want {
		return m.wrong("stamped", "%s packages were not read, want %s", got, want)
	}
	return nil
}

// checkStatus compares the exit status with the table in the help.
func (m *model) checkStatus(words []string, status int, before, after state) *modelError {
	if status == panicked {
		return m.wrong("panic", "the program ended with one")
	}
	if status == killed {
		return nil
	}
	if (words[0] == "verify" || words[0] == "doctor") && status == exitBroken {
		clear(m.mourned) // it was told
	}
	if words[0] == "mirror" {
		for n := range m.mourned {
			if m.unreadable(before, n) {
				continue // it is not known yet
			}
			delete(m.mourned, n)
			back := slices.ContainsFunc(modelContents, func(c string) bool { return after.held(n, c) })
			if m.white[n] && !back && status != exitBroken && (status != exitGuard || !m.disorder) {
				return m.wrong("lost", "%s is on the whitelist, its only file is gone, and the status is %d", n, status)
			}
		}
	}
	ok := []int{exitOK}
	switch words[0] {
	case "mirror", "dry-run":
		ok = append(ok, exitNew)
	case "undo":
		ok = append(ok, exitNew, exitUsage)
		if p := words[1]; !m.blind && !m.spoilt && slices.ContainsFunc(modelContents, func(c string) bool { return before.recycled(p, c) }) {
			ok = ok[:1]
		}
	}
	if m.broken && slices.Contains([]string{"mirror", "dry-run", "history", "clean"}, words[0]) {
		ok = []int{exitIncomplete}
	}
	if m.disorder {
		ok = append(ok, exitGuard)
	}
	if m.hands || words[len(words)-1] == "full" || m.relaid && words[0] == "doctor" || m.spoilt && words[0] != "snapshot" && words[0] != "history" {
		ok = append(ok, exitBroken)
	}
	if slices.Contains(ok, status) {
		return nil
	}
	return m.wrong("status", "it is %d, want one of %v", status, ok)
}

// excused reports whether what is wrong with a path was done there by hand. What
// only reading would tell may have got another name since.
func excused(before state, rel string, f onDisk) bool {
	b, ok := before.published[rel]
	return f.tainted == "rotten" || ok && b.ino == f.ino && f.tainted != ""
}

var distinfoLine = regexp.MustCompile(`^SHA256 \((.+)\) = ([0-9a-f]{64})$`)

// checkBytes is the rule "bytes".
func (m *model) checkBytes(before, after state) *modelError {
	for rel, f := range after.published {
		if f.sum == "" || excused(before, rel, f) {
			continue
		}
		if strings.HasPrefix(rel, layout.CipherDir) {
			if dir := filepath.Base(filepath.Dir(rel)); dir != f.sum {
				return m.wrong("bytes", "%s is %s (%s)", rel, f.sum, modelBySum[f.sum])
			}
			continue
		}
		c := modelBySum[f.sum]
		right, known := false, false
		for _, n := range append(modelNames, "base") {
			for short, l := range modelSpecs {
				if l.IsContentHash() {
					for _, o := range append(modelContents, "Z") {
						if p, _ := l.Path(distName(n), setOf(o)); p == rel {
							known, right = true, right || o == c
						}
					}
				} else if p, ok := modelSpecs[short].Path(distName(n), nil); ok && p == rel {
					known, right = true, right || m.legit[pair(n, c)]
				}
			}
		}
		if known && !right {
			return m.wrong("bytes", "%s is %s (%s), which that name never was", rel, f.sum, c)
		}
	}
	return nil
}

// checkDistinfo is the rule "distinfo".
func (m *model) checkDistinfo(before, after state) *modelError {
	f, err := os.Open(m.published("distinfo"))
	if err != nil {
		return nil // no file yet
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := distinfoLine.FindStringSubmatch(sc.Text())
		if line == nil {
			return m.wrong("distinfo", "%q is no line of it", sc.Text())
		}
		if got := after.published[line[1]]; got.sum != line[2] && got.readable && got.tainted == "" && !m.stale {
			return m.wrong("distinfo", "%q, but it is %q (%s)", sc.Text(), got.sum, modelBySum[got.sum])
		}
	}
	return nil
}

// checkGone is the rule "early".
func (m *model) checkGone(words []string, before, after state, deleting bool) (err *modelError) {
	pairs(func(n, c, p string) {
		pub, rec := before.published[cipherPath(n, c)], before.recycle[recycleKey(n, c)]
		if before.held(n, c) && pub.tainted == "" && !after.held(n, c) {
			switch {
			case m.keeps(n, c):
				err = m.wrong("early", "%s, which somebody keeps, is not published any more", p)
			case !after.recycled(n, c) && !before.recycled(n, c):
				err = m.wrong("early", "%s is not published any more, and not in recycle", p)
			case before.recycled(n, c) && (m.old(m.since, p, modelDeletion) || m.old(m.noted, p, modelBefore)):
				// A run, or a cleaning, that was killed had moved it.
			case !deleting || words[0] == "mirror" && !m.old(m.since, p, modelDeletion) || words[0] == "clean" && !m.old(m.noted, p, modelBefore):
				err = m.wrong("early", "%s went to recycle before its time", p)
			}
		}
		if before.recycled(n, c) && rec.tainted == "" && !after.recycled(n, c) && !after.held(n, c) {
			elsewhere := slices.ContainsFunc(append(modelNames, "base"), func(o string) bool { return after.held(o, c) })
			switch {
			case m.keeps(n, c):
				err = m.wrong("early", "%s, which somebody keeps, is not in recycle any more", p)
			case !elsewhere && !m.purging[p] && !(words[0] == "mirror" && deleting && m.old(m.gone, p, modelRecycle)):
				err = m.wrong("early", "%s is not in recycle any more before its time", p)
			}
		}
	})
	return err
}

// checkDrops is the rule "drop".
func (m *model) checkDrops(before map[string]string, after state) *modelError {
	for n, c := range before {
		rotten := after.published[cipherPath(n, c)].tainted == "rotten" // nobody knows
		if m.drops[n] == "" && !after.held(n, c) && !rotten {
			return m.wrong("drop", "%s has left the drop box, and the archive does not have it", pair(n, c))
		}
	}
	return nil
}

// satisfied reports whether a name has a content at every path.
func (m *model) satisfied(s state, n, c string, named bool) bool {
	return m.missing(s, n, c, named) == ""
}

// missing returns a path at which a name does not have the content.
func (m *model) missing(s state, n, c string, named bool) string {
	rels := []string{cipherPath(n, c)}
	if named {
		rels = append(rels, layoutPaths(n, c, m.layouts)...)
	}
	for _, rel := range rels {
		if f, ok := s.published[rel]; !ok || f.sum != sumOf(c) && f.tainted != "rotten" && f.readable {
			return rel
		}
	}
	return ""
}

// contested reports whether the paths of a name may be those of a content.
func (m *model) contested(n string) bool {
	kinds := make(map[byte]bool)
	for _, l := range m.layouts {
		kinds[l[0]] = true
	}
	return n == "hB" && kinds['c'] && len(kinds) > 1
}

// checkPublished is the rules "published", "distinfo" and "kept", which hold
// after a run.
func (m *model) checkPublished(words []string, status int, before, after state) *modelError {
	if words[0] != "mirror" || status != exitOK && status != exitNew {
		return nil
	}
	for n, cs := range m.wants {
		for i, c := range cs {
			p := pair(n, c)
			how := m.serve[c]
			served := (how == "" || how == "ok") && words[len(words)-1] != "full" && !m.now.Before(m.retry[p]) && !m.disorder
			if m.contested(n) || !served && !m.had(before, n, c) || m.unreadable(before, n) || rotten(before, c) {
				continue
			}
			if rel := m.missing(after, n, c, i == 0); rel != "" {
				f := after.published[rel]
				return m.wrong("published", "%s is wanted and can be had, but %s is %q (%s, %s)", p, rel, f.sum, modelBySum[f.sum], f.tainted)
			}
		}
	}
	if err := m.checkDistinfo(before, after); err != nil {
		return err
	}
	if m.blind {
		return nil
	}
	for _, n := range modelNames {
		for _, c := range modelContents {
			rec := before.recycle[recycleKey(n, c)]
			if m.white[n] && before.recycled(n, c) && rec.sound() && !after.held(n, c) {
				return m.wrong("kept", "%s is in recycle and on the whitelist, and not published", pair(n, c))
			}
		}
	}
	return nil
}

// unreadable reports whether a path of a name cannot be read.
func (m *model) unreadable(s state, n string) bool {
	return slices.ContainsFunc(m.pathsOf(n), func(rel string) bool {
		f, ok := s.published[rel]
		return ok && !f.readable
	})
}

// rotten reports whether a file that was a content has rotted, which a run finds
// out when it links it: then it is for verify to put right.
func rotten(s state, c string) bool {
	for _, n := range append(modelNames, "base") {
		if s.published[cipherPath(n, c)].tainted == "rotten" {
			return true
		}
	}
	return false
}

// rest lets the world be well, and sees that the archive is, after a while.
func (m *model) rest() *modelError {
	if m.now.Before(modelBegin) || m.disorder {
		m.now = m.now.Add(2 * 400 * 24 * time.Hour)
	}
	m.kill = ""
	for _, c := range modelContents {
		m.do([]string{"serve", c, "ok"})
	}
	for _, op := range []string{"tree whole", "readable", "verify", "doctor repair", "days 3", "mirror", "days 9", "mirror", "days 3", "mirror"} {
		if err := m.step(op); err != nil {
			err.detail = op + ": " + err.detail
			return err
		}
	}
	s := m.scan()
	for n, cs := range m.wants {
		for i, c := range cs {
			if rel := m.missing(s, n, c, i == 0); rel != "" && !m.contested(n) {
				return m.wrong("at last", "%s is wanted, and %s is %q", pair(n, c), rel, s.published[rel].sum)
			}
		}
	}
	barred := m.contested("hB") // doctor says so for as long as the archive has it
	for command, args := range map[string][]string{"mirror": m.mirrorArgs(), "doctor": nil, "verify": nil} {
		if status := m.program(command, args...); status != 0 && !(command == "doctor" && barred) {
			return m.wrong("at last", "%s ends with %d", command, status)
		}
	}
	return nil
}
