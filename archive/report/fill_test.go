package report

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestFill: no field of a Summary comes and goes, and no list is null.
func TestFill(t *testing.T) {
	t.Parallel()
	var s Summary
	s.Views, s.Layouts = []View{{}}, new(Layouts)
	Fill(&s)
	text, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(string(text), `"outage":null`, ""); strings.Contains(got, "null") {
		t.Errorf("null in %s", got)
	}
	for _, want := range []string{`"problems":[]`, `"failures":{}`, `"missing":[]`, `"guard":""`, `"within":[]`, `"gone":0`, `"start":"0001-01-01T00:00:00Z"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}
