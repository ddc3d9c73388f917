package ebuild

import "strings"

// pypi sets SRC_URI to the source distribution of the project.
func (x *shell) pypi(first bool) {
	if !first {
		return
	}
	pn := x.input("PYPI_PN", x.pkg.Name)
	x.setString("PYPI_PN", pn)
	url := x.pypiSdist(pn, pypiVersion(x.version), ".tar.gz", x.input("PYPI_NO_NORMALIZE", "") == "")
	uri := url
	if x.input("PYPI_VERIFY_REPO", "") != "" {
		dist := url[strings.LastIndexByte(url, '/')+1:]
		uri += " verify-provenance? ( " + pypiProvenance(dist, pn, pypiVersion(x.version)) + " -> " + dist + ".provenance )"
	}
	x.setString("SRC_URI", uri)
}

// pypiNormalize turns runs of ".", "_" and "-" into one underscore.
func pypiNormalize(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c != '.' && c != '_' && c != '-':
			b.WriteByte(c)
		case i == 0 || strings.IndexByte("._-", name[i-1]) < 0:
			b.WriteByte('_')
		}
	}
	return strings.ToLower(b.String())
}

func pypiVersion(v string) string {
	for _, r := range [][2]string{{"_alpha", "a"}, {"_beta", "b"}, {"_pre", ".dev"}, {"_rc", "rc"}, {"_p", ".post"}} {
		v = strings.Replace(v, r[0], r[1], 1)
	}
	return v
}

func (x *shell) pypiSdist(project, version, suffix string, normalize bool) string {
	if project == "" {
		x.refuse("a project without a name")
	}
	file := project
	if normalize {
		file = pypiNormalize(project)
	}
	return "https://files.pythonhosted.org/packages/source/" + project[:1] + "/" + project + "/" + file + "-" + version + suffix
}

func pypiProvenance(dist, project, version string) string {
	return "https://pypi.org/integrity/" + project + "/v" + version + "/" + dist + "/provenance"
}

// optional fills args up with what otherwise has.
func (x *shell) optional(args []string, otherwise ...string) []string {
	if len(args) > len(otherwise) {
		x.refuse("%d arguments", len(args))
	}
	return append(append([]string(nil), args...), otherwise[len(args):]...)
}

func (x *shell) pypiSdistURL(args []string) {
	normalize := len(args) == 0 || args[0] != "--no-normalize"
	if !normalize {
		args = args[1:]
	}
	a := x.optional(args, x.input("PYPI_PN", ""), pypiVersion(x.version), ".tar.gz")
	x.print(x.pypiSdist(a[0], a[1], a[2], normalize) + "\n")
}

func (x *shell) pypiWheel(args []string) string {
	a := x.optional(args, "", pypiVersion(x.version), "py3", "none-any")
	if a[0] == "" {
		a[0] = x.input("PYPI_PN", "")
	}
	return pypiNormalize(a[0]) + "-" + a[1] + "-" + a[2] + "-" + a[3] + ".whl"
}

func (x *shell) pypiWheelURL(args []string) {
	unpack := len(args) > 0 && args[0] == "--unpack"
	if unpack {
		args = args[1:]
	}
	file := x.pypiWheel(args)
	a := x.optional(args, x.input("PYPI_PN", ""), "", "py3", "")
	if a[0] == "" {
		x.refuse("a project without a name")
	}
	x.print("https://files.pythonhosted.org/packages/" + a[2] + "/" + a[0][:1] + "/" + a[0] + "/" + file)
	if unpack {
		x.print(" -> " + file + ".zip\n")
	}
}

func (x *shell) pypiProvenanceURL(args []string) {
	if len(args) == 0 {
		x.refuse("pypi_provenance_url without an argument")
	}
	a := x.optional(args, "", x.input("PYPI_PN", ""), pypiVersion(x.version))
	x.print(pypiProvenance(a[0], a[1], a[2]) + "\n")
}
