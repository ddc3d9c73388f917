// Package failure names the kinds of trouble that keep a distfile out of an
// archive. Every failure has one [Class]; reports, the ledger, exit statuses and
// the pauses between tries go by it.
//
// All that is known of a class stands in one table: what it means, what an
// operator can do, whether asking again may help within a run, and whether it
// may help in the next. A new class is a new row.
package failure

import (
	"slices"
	"time"
)

// A Class says what kind of trouble a failure is. The list is closed.
type Class string

// The classes of failures.
const (
	Gone      Class = "gone"
	Forbidden Class = "forbidden"
	Throttled Class = "throttled"
	Server    Class = "server"
	DNS       Class = "dns"
	Refused   Class = "refused"
	TLS       Class = "tls"
	Stalled   Class = "stalled"
	Truncated Class = "truncated"
	Size      Class = "size"
	Digest    Class = "digest"
	HTML      Class = "html"
	Conflict  Class = "conflict"
	Local     Class = "local"
	// Restricted: nothing was tried.
	Restricted Class = "restricted"
	NoURI      Class = "no-uri"
	BadURI     Class = "bad-uri"
	Policy     Class = "policy"
	// Package is of a package, which names no file.
	Package Class = "package"
	Disk    Class = "disk"
	// Interrupted is no failure of the file, and never recorded as one.
	Interrupted Class = "interrupted"
)

// How often a class is worth another try.
const (
	// eachRun: in every run, once.
	eachRun = iota
	// inRun: the same source may well deliver in the same run, after a pause.
	inRun
	// seldom: not before something changes, so that the pauses grow over the
	// runs.
	seldom
)

type property struct {
	class Class
	again int
	text  string
	hint  string
}

// classes is ordered: of several sources that failed in different ways, the
// class that stands first speaks for the file. Trouble of a host that is alive
// comes before what is certain, so that the next run tries again, and what is
// certain before dead hosts: a mirror that has died years ago must not hide
// that the file is gone everywhere else.
var classes = []property{
	{Interrupted, eachRun, "the run was ended", "run distkeep again; what had arrived is kept"},
	{Disk, eachRun, "our own disk is full or broken", "free some space, or check the disk and the permissions of the state directory"},
	{Throttled, inRun, "the server asks us to come back later", "the next run tries again; if it stays, lower --host-limit for this host or set --contact"},
	{Server, inRun, "the server is in trouble, or talks nonsense", "the next run tries again; if it stays, tell the host's operator or name another mirror"},
	{Stalled, inRun, "bytes came too slowly, or no more", "the next run continues the file; if it stays, raise --stall or lower --min-rate"},
	{Truncated, inRun, "the transfer broke off", "the next run continues the file; if it stays, name another mirror"},
	{Conflict, seldom, "another package has the name for another content", "rename the file in one of the two packages"},
	{Digest, seldom, "the bytes are not those that the tree says, or the tree says nothing that can be verified", "compare the quarantined bytes with the tree: upstream changed the file, or the Manifest is wrong"},
	{Size, seldom, "the file has another size than the tree says", "upstream changed the file, or the Manifest is wrong: fetch by hand and compare"},
	{HTML, seldom, "a web page came in place of the file", "open the URL in a browser: the file was moved, or needs a login; fix the URI or use distfiles-local"},
	{Forbidden, seldom, "the server refuses to give the file to us", "open the URL in a browser; set --contact or netrc, or supply the file in distfiles-local"},
	{Gone, seldom, "the server answered, and has no such file", "fix the URI in the package, or supply the file in distfiles-local"},
	{TLS, inRun, "the host cannot prove that it is the host", "the host's certificate is at fault: tell its operator, or --tls-skip-verify-host if digests suffice"},
	{Refused, inRun, "no connection to the host comes about", "the host is down or does not serve this protocol: if it stays, fix the URI in the package"},
	{DNS, inRun, "the host name does not resolve", "the host is gone or misspelt: fix the URI in the package; if it is so with every host, look at the network of this machine"},
	{Local, eachRun, "a file of the archive or the drop box is not what it should be", "look at the file named: replace it in the drop box, or move it out of the way; what is damaged in the archive is fetched again"},
	{Restricted, seldom, "the tree forbids mirroring", "obtain it from where its package says: it is published from distfiles-local only where the tree allows that"},
	{Policy, eachRun, "the URI leads where we do not go", "fix the name or the URI in the package, or allow the URI: --allow-scheme, --allow-port, --allow-private"},
	{BadURI, seldom, "the tree, or a redirect, names a URI that is malformed", "fix the URI in the package"},
	{Package, eachRun, "what a package wants cannot be known", "mend the package, or its metadata: until then everything that it may want is kept"},
	{NoURI, eachRun, "the tree names nothing that can be asked", "add a URI to the package, or supply the file in distfiles-local"},
}

// Classes are all classes that a failure of a file may have, by name.
func Classes() []Class {
	var cs []Class
	for _, c := range classes {
		if c.class != Interrupted {
			cs = append(cs, c.class)
		}
	}
	slices.Sort(cs)
	return cs
}

// Rank tells, of several failures, which speaks for the file: the lowest.
func (c Class) Rank() int {
	for i := range classes {
		if classes[i].class == c {
			return i
		}
	}
	return len(classes)
}

// property returns the row of c; for a class that is not in the table, one that
// says nothing.
func (c Class) property() property {
	if i := c.Rank(); i < len(classes) {
		return classes[i]
	}
	return property{class: c}
}

// Text says in a few words what the class means.
func (c Class) Text() string { return c.property().text }

// Hint is one line that says what an operator can do.
func (c Class) Hint() string { return c.property().hint }

// Transient reports whether the same source may well deliver in the same run.
func (c Class) Transient() bool { return c.property().again == inRun }

// Unreached reports whether no connection to the host came about.
func (c Class) Unreached() bool { return c == DNS || c == Refused || c == TLS || c == Stalled }

// OfHost reports whether the class is trouble of a host, or of the way to it, and not
// of a file, of a tree or of ours.
func (c Class) OfHost() bool {
	return c == Throttled || c == Server || c == Truncated || c.Unreached()
}

// Permanent reports whether trying again in the next run is unlikely to help.
func (c Class) Permanent() bool { return c.property().again == seldom }

// Failures that are permanent are tried again after an hour, and after twice as
// long each time, up to a day.
const (
	firstPause = time.Hour
	maxPause   = 24 * time.Hour
	// slack is taken off a pause: an hourly job does not start on the second,
	// and must not miss its turn by one.
	slack = 5 * time.Minute
)

// Pause is how long a failure waits for its next try when it waited for last
// before the one that has just failed: zero is never. A pause of zero means the
// next run.
func (c Class) Pause(last time.Duration) time.Duration {
	switch {
	case !c.Permanent():
		return 0
	case last <= 0:
		return firstPause - slack
	}
	return min(2*(last+slack), maxPause) - slack
}
