#!/bin/sh
# demo.sh runs the main job on real bytes: the module files that this project is
# built with, served from the module cache on loopback, are mirrored into
# demo/archive by the Manifests of testdata/demo/tree. make demo calls it with
# the program built and the upstream running.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PWD/bin:$PATH
rm -rf demo
mkdir demo
export DISTKEEP_ARCHIVE=demo/archive

# run prints a command, runs it and checks its exit status.
run() {
	want=$1
	shift
	echo
	echo "\$ $*"
	got=0
	"$@" || got=$?
	if [ "$got" -ne "$want" ]; then
		echo "demo: exit status $got, want $want" >&2
		exit 1
	fi
}

mirror() {
	distkeep mirror --repo gentoo:testdata/demo/tree --mirror-override "goproxy=$UPSTREAM" --allow-private --allow-port "$UPSTREAM_PORT" "$@"
}

run 0 distkeep init
echo
echo "# The first run fetches everything; one package wants a file that does not exist."
run 1 mirror --delete
echo
echo "# The second has nothing to do, and the failure is known: status 0."
run 0 mirror --delete
run 0 distkeep status
run 0 distkeep failures --hints
run 0 distkeep whitelist add --author "Demo <demo@example.org>" --reason "kept for a test of old releases" "old-release-1.0.tar.gz"
run 0 distkeep whitelist list
run 0 distkeep whitelist check
run 0 distkeep history --repo gentoo:testdata/demo/tree
echo
echo "# What distinfo promises is what coreutils finds."
cd demo/archive/distfiles
if command -v sha256sum >/dev/null; then
	run 0 sha256sum -c distinfo
else
	run 0 shasum -a 256 -c distinfo
fi
echo
echo "demo: the archive is in demo/archive"
