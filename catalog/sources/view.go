package sources

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Views returns the directory Options.At, if the last Scan had a list for it.
func (r *Repository) Views() []*catalog.View {
	if r.view == nil {
		return nil
	}
	return []*catalog.View{r.view}
}

// Named returns the files of a published list.
func (r *Repository) Named(index string) ([]*catalog.Distfile, error) {
	data, err := regular.Read(index, maxList)
	if err != nil {
		return nil, err
	}
	c := &collector{repo: r.o.Name}
	if err := parseSums(&parser{text: plainText(index, data), collector: c}); err != nil {
		return nil, err
	}
	return c.ds, nil
}

// makeView makes the view of the files of t, whose entries c has.
func (r *Repository) makeView(t *text, c *collector) error {
	v := &catalog.View{Dir: r.o.At}
	for _, d := range c.ds {
		if strings.Contains(string(d.Name), "/") {
			v.Blocked = fmt.Sprintf("%s is in a directory below that of the list", d.Name)
		}
		v.Links = append(v.Links, catalog.ViewLink{Distfile: d})
	}
	if n := len(c.problems) + c.unsaid; n > 0 {
		v.Blocked = fmt.Sprintf("%d of its lines cannot be understood", n)
	}
	name := path.Base(t.path)
	if _, err := catalog.ParseName(name); err != nil || name == "-" {
		return fmt.Errorf("at=%s: the list has no name of a file", r.o.At)
	}
	if t.sig != nil {
		if err := r.addIndex(v, name+t.suffix, t.sig, t); err != nil {
			return err
		}
	}
	if err := r.addIndex(v, name, t.data, t); err != nil {
		return err
	}
	r.view = v
	return nil
}

// addIndex adds a file to the index of v, from a copy of our own.
func (r *Repository) addIndex(v *catalog.View, name string, data []byte, t *text) error {
	f := catalog.IndexFile{
		Name: catalog.Name(name), Path: filepath.Join(r.o.State, "index", name),
		Size: int64(len(data)), SHA256: digest.SHA256.Sum(data).Hex(), ModTime: t.modTime,
	}
	if f.ModTime.IsZero() {
		f.ModTime = r.o.Now()
	}
	v.Index = append(v.Index, f)
	if old, err := regular.Read(f.Path, maxList); r.o.Dry || r.o.Offline || err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := r.o.Room(f.Size); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	return regular.Write(f.Path, data, 0o644)
}
