package sources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestView: the directory of a list has its files and then the list; what is
// not understood, or below it, holds it back.
func TestView(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		list, blocked string
		index         string
	}{
		"plain":     {sums("a", "b"), "", "SHA256SUMS"},
		"signature": {sums("a"), "", "SHA256SUMS.sign SHA256SUMS"},
		"a line":    {sums("a") + "x\n", "1 of its lines cannot be understood", "SHA256SUMS"},
		"below":     {sums("a", "b/c"), "b/c is in a directory below that of the list", "SHA256SUMS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := newSite(t)
			o.At = "iso/latest"
			s.files[listURL] = tc.list
			if name == "signature" {
				s.files[listURL+".sign"] = "signature"
			}
			r, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Views()) > 0 {
				t.Error("a view before the scan")
			}
			scanned, err := r.Scan(t.Context())
			if err != nil || len(r.Views()) != 1 {
				t.Fatalf("%d views, %v", len(r.Views()), err)
			}
			v := r.Views()[0]
			var index []string
			for _, f := range v.Index {
				index = append(index, string(f.Name))
				if data, err := os.ReadFile(f.Path); err != nil || int64(len(data)) != f.Size || f.ModTime.IsZero() {
					t.Errorf("%+v has %d bytes: %v", f, len(data), err)
				}
			}
			if v.Dir != "iso/latest" || v.Blocked != tc.blocked || strings.Join(index, " ") != tc.index || len(v.Links) != len(scanned.Distfiles) {
				t.Errorf("view is %+v", v)
			}
			named, err := r.Named(v.Names().Path)
			if err != nil || len(named) != len(v.Links) || named[0].Name != "a" {
				t.Errorf("named %v, %v", named, err)
			}
		})
	}
	s, o := newSite(t)
	o.At, o.Dry = "iso", true
	if names, problems := scan(t, o); names != "a b" || problems != "" || s.closed != 1 {
		t.Errorf("dry: %q, %q", names, problems)
	}
	if _, err := os.Stat(filepath.Join(o.State, "index")); err == nil {
		t.Error("a dry run keeps the list")
	}
}
