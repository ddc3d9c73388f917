package ebuild

import (
	"strings"
	"testing"
)

// TestNesting opens very much, in each way that there is: what is beyond the bound
// is refused, and what is just below it does not fill the stack.
func TestNesting(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"$(", "(", "{ ", "((", "${a:-", "${a#", "[[ ( ", "[[ ! ", "if ", "\"$(", "\"${a:-", "! ", "a=$((", "a=$((-", "a=$((1+", "a=$((~", "a=$((a?1:",
		"case x in x) ", "case x in x) if ", "f() { ", "f() ", "while ", "until ", "for x in $(", "a && ", "a | ", "<(", "a=(", "`", "a[", "${a[", "time ", "coproc ", "$((", "$[", "<<E $(",
		"a=$((- ", "a=$((a=", "a=$((1,",
	} {
		for _, n := range []int{maxNesting - 100, 1 << 15} {
			evaluate(t, "EAPI=8\n"+strings.Repeat(u, n))
			if i := strings.LastIndex(u, "("); i >= 0 { // what stands inside, often
				evaluate(t, "EAPI=8\n"+u[:i+1]+strings.Repeat(u[i+1:], n))
			}
		}
	}
}
