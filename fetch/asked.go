package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"distkeep/catalog"
)

// rules is the version of what this package makes of answers: a change that lets
// something be had that could not be had before counts it up.
const rules = 1

// Asked returns a mark of all that decides what becomes of a file: the URLs that
// its sources stand for, and what the Fetcher may do. While it is the same, asking
// again is asking the same question.
func (f *Fetcher) Asked(name catalog.Name, sources []catalog.Source) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s", rules, f.question)
	urls := f.o.order(&Request{Name: name, Sources: sources})
	slices.Sort(urls)
	for _, u := range urls {
		fmt.Fprintf(h, "\n%s", u)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// question spells the options that decide what may be had. The token of the user
// agent has the version of the program.
func (o *Options) question() string {
	roots := o.RootCAs != nil
	return fmt.Sprintf("%q %q %q %q %d %v %q %q %q %q %v %d %v %v %d %v", o.UserAgent, o.Contact, o.UserAgents, o.Schemes, o.Ports, o.AllowPrivate,
		o.AllowNets, o.TLSSkipVerifyHosts, o.Fallbacks, o.Netrc, roots, o.MaxSize, o.Proxy != nil, o.MinRate < 0, o.TLSMin, o.NoDowngrade)
}
