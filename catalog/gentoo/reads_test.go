package gentoo

import "testing"

// TestPassedOver: what a scan reads is not passed over.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	for rel, want := range map[string]bool{
		"app-misc": false, "app-misc/a": false, "app-misc/a/a-1.ebuild": false, "app-misc/a/Manifest": false, "app-misc/a/metadata.xml": false,
		"app-misc/metadata.xml": false, "eclass/x.eclass": false, "profiles/categories": false, "profiles/thirdpartymirrors": false,
		"metadata/layout.conf": false, "metadata/md5-cache": false,
		".git": true, ".git/index": true, "app-misc/a/files": true, "app-misc/a/x/y": true, "eclass/tests/x": true, "profiles/default/linux": true, "metadata/glsa/x": true,
		"metadata/md5-cache/app-misc": true,
	} {
		if passedOver(rel) != want {
			t.Errorf("%s is passed over: %v", rel, !want)
		}
	}
}
