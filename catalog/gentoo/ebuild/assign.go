package ebuild

import (
	"maps"

	"mvdan.cc/sh/v3/syntax"
)

// before is the variable that a assigns to, as it is.
func (x *shell) before(a *syntax.Assign) variable {
	if a.Name == nil || a.Naked {
		x.refuse("an unusual assignment")
	}
	v, ok := x.lookup(a.Name.Value)
	if !ok && a.Append {
		return x.get(a.Name.Value)
	}
	return v
}

// assign carries out one assignment by means of set. before is the variable as
// it is; the value is expanded first, and may change it.
func (x *shell) assign(a *syntax.Assign, before func() variable, set func(string, variable)) {
	name := a.Name.Value
	switch {
	case a.Array != nil:
		set(name, x.arrayValue(a, before()))
	case a.Index != nil:
		s := x.literal(a.Value)
		set(name, x.withElement(a, before(), s))
	default:
		s := x.literal(a.Value)
		switch old := before(); {
		case old.kind == table:
			x.refuse("a value without an index for an associative array")
		case old.kind == array:
			list := append([]string(nil), old.list...)
			if len(list) == 0 {
				list = []string{""}
			}
			if a.Append {
				s = list[0] + s
			}
			list[0] = s
			set(name, variable{set: true, kind: array, list: list})
		case a.Append:
			set(name, text(old.str+s))
		default:
			set(name, text(s))
		}
	}
}

// arrayValue is name=(...) or name+=(...).
func (x *shell) arrayValue(a *syntax.Assign, old variable) variable {
	if old.kind == table {
		return x.tableValue(a, old)
	}
	v := variable{set: true, kind: array}
	if a.Append {
		switch {
		case old.kind == array:
			v.list = append(v.list, old.list...)
		case old.set:
			x.decidable(old.str, a.Name.Value)
			v.list = append(v.list, old.str)
		}
	}
	for _, e := range a.Array.Elems {
		if e.Index != nil {
			x.refuse("an array with indices")
		}
		if e.Value != nil {
			v.list = append(v.list, x.fields([]*syntax.Word{e.Value})...)
		}
	}
	return v
}

func (x *shell) tableValue(a *syntax.Assign, old variable) variable {
	v := variable{set: true, kind: table, keys: make(map[string]string)}
	if a.Append {
		maps.Copy(v.keys, old.keys)
	}
	for _, e := range a.Array.Elems {
		if e.Index == nil {
			x.refuse("an associative array without indices")
		}
		v.keys[x.key(e.Index)] = x.literal(e.Value)
	}
	return v
}

// withElement is name[index]=value.
func (x *shell) withElement(a *syntax.Assign, old variable, s string) variable {
	if old.kind == table {
		k := x.key(a.Index)
		if a.Append {
			s = old.keys[k] + s
		}
		v := variable{set: true, kind: table, keys: maps.Clone(old.keys)}
		if v.keys == nil {
			v.keys = make(map[string]string)
		}
		v.keys[k] = s
		return v
	}
	list := append([]string(nil), old.list...)
	if old.kind == scalar && old.set {
		list = []string{old.str}
	}
	switch i := x.number(a.Index); {
	case i >= 0 && i < len(list):
		if a.Append {
			s = list[i] + s
		}
		list[i] = s
	case i == len(list):
		list = append(list, s)
	default:
		x.refuse("an array with holes")
	}
	return variable{set: true, kind: array, list: list}
}
