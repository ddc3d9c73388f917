#!/bin/sh
# maketree.sh writes testdata/demo/tree from testdata/demo/modules: a gentoo
# repository whose packages want the module files that this project depends on,
# with the sizes and digests of the real bytes in the module cache. Run it when
# the list of modules has changed.
set -eu
cd "$(dirname "$0")"
cache=$(go env GOMODCACHE)/cache/download
rm -rf tree
mkdir -p tree/profiles tree/metadata/md5-cache/dev-go
echo demo >tree/profiles/repo_name
echo dev-go >tree/profiles/categories
printf 'masters =\nthin-manifests = true\nmanifest-hashes = BLAKE2B SHA512\ncache-formats = md5-dict\n' >tree/metadata/layout.conf
# The mirrors of goproxy are given on the command line of the demo.
echo '# name URL...' >tree/profiles/thirdpartymirrors

# package NAME VERSION SRC_URI writes ebuild and cache entry.
package() {
	mkdir -p "tree/dev-go/$1"
	printf 'EAPI=8\nDESCRIPTION="A module that distkeep is built with"\nSRC_URI="%s"\nSLOT=0\n' "$3" >"tree/dev-go/$1/$1-$2.ebuild"
	md5=$(md5sum "tree/dev-go/$1/$1-$2.ebuild")
	printf 'DESCRIPTION=A module that distkeep is built with\nEAPI=8\nSLOT=0\nSRC_URI=%s\n_md5_=%s\n' "$3" "${md5%% *}" >"tree/metadata/md5-cache/dev-go/$1-$2"
}

while IFS=@ read -r module version; do
	# The module cache writes an upper-case letter as "!" and the small one.
	module=$(printf %s "$module" | sed 's/[A-Z]/!\l&/g')
	name=$(printf %s "$module" | sed 's|^.*/\(.*/v[0-9]*\)$|\1|; s|/v[0-9]*$||; s|^.*/||')
	uris=
	mkdir -p "tree/dev-go/$name"
	: >"tree/dev-go/$name/Manifest"
	for ext in mod zip; do
		path=$module/@v/$version.$ext
		file=$(printf %s "$path" | sed 's|/|%2F|g')
		size=$(wc -c <"$cache/$path")
		b2=$(b2sum <"$cache/$path")
		sha=$(sha512sum <"$cache/$path")
		echo "DIST $file $((size)) BLAKE2B ${b2%% *} SHA512 ${sha%% *}" >>"tree/dev-go/$name/Manifest"
		uris="$uris${uris:+ }mirror://goproxy/$path -> $file"
	done
	package "$name" "${version#v}" "$uris"
done <modules

# A deliberate failure: a version that was never published.
file=github.com%2Fgoogle%2Fgo-cmp%2F@v%2Fv9.9.9.zip
mkdir -p tree/dev-go/go-cmp
b2=$(printf never | b2sum)
sha=$(printf never | sha512sum)
echo "DIST $file 5 BLAKE2B ${b2%% *} SHA512 ${sha%% *}" >tree/dev-go/go-cmp/Manifest
package go-cmp 9.9.9 "mirror://goproxy/github.com/google/go-cmp/@v/v9.9.9.zip -> $file"
