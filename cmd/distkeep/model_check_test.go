package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// wrong says that a rule does not hold.
func (m *model) wrong(rule, format string, args ...any) *modelError {
	return &modelError{rule: rule, detail: fmt.Sprintf(format, args...)}
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
