package main

import "strings"

// examples are command lines for the help of each command that does something. A test
// runs them in this order.
var examples = []struct {
	command string
	lines   []string
}{
	{"init", []string{
		"distkeep init --archive /srv/mirror",
		`distkeep init --archive /srv/hashed --layout "filename-hash BLAKE2B 8"`,
	}},
	{"mirror", []string{
		"distkeep mirror --archive /srv/mirror --repo gentoo:/var/db/repos/gentoo --dry-run",
		"distkeep mirror --archive /srv/mirror --repo gentoo:/var/db/repos/gentoo --delete",
	}},
	{"pull", []string{
		"distkeep pull --archive /srv/hashed https://distfiles.example.org/distfiles",
		"distkeep pull --archive /srv/hashed --delete https://distfiles.example.org/distfiles",
	}},
	{"history", []string{
		"distkeep history --archive /srv/mirror --repo gentoo:/var/db/repos/gentoo",
		"distkeep history --archive /srv/mirror --repo gentoo:/var/db/repos/gentoo --clean --before 90d",
	}},
	{"status", []string{
		"distkeep status --archive /srv/mirror",
		"distkeep status --archive /srv/mirror --json",
	}},
	{"failures", []string{
		"distkeep failures --archive /srv/mirror --hints",
		"distkeep failures --archive /srv/mirror --class gone",
	}},
	{"deletions", []string{
		"distkeep deletions --archive /srv/mirror",
		"distkeep deletions --archive /srv/mirror --json",
	}},
	{"whitelist add", []string{
		`distkeep whitelist add --archive /srv/mirror --author "Jo Doe <jo@example.org>" --reason "media of 2024" foo-1.0.tar.xz`,
		`distkeep whitelist add --file /srv/keep --author "Jo Doe <jo@example.org>" --reason "a bug" foo-1.0.tar.xz bar-2.zip`,
	}},
	{"whitelist list", []string{
		"distkeep whitelist list --archive /srv/mirror",
		"distkeep whitelist list --file /srv/keep --json",
	}},
	{"whitelist check", []string{
		"distkeep whitelist check --archive /srv/mirror",
		"distkeep whitelist check --file /srv/keep",
	}},
	{"whitelist remove", []string{
		"distkeep whitelist remove --archive /srv/mirror foo-1.0.tar.xz",
		"distkeep whitelist remove --file /srv/keep foo-1.0.tar.xz bar-2.zip",
	}},
	{"verify", []string{
		"distkeep verify --archive /srv/mirror --budget 200GiB",
		"distkeep verify --archive /srv/mirror foo-1.0.tar.xz",
	}},
	{"why", []string{
		"distkeep why --archive /srv/mirror foo-1.0.tar.xz",
		"distkeep why --archive /srv/mirror --json foo-1.0.tar.xz",
	}},
	{"doctor", []string{
		"distkeep doctor --archive /srv/mirror",
		"distkeep doctor --archive /srv/mirror --repair",
	}},
	{"serve", []string{
		"distkeep serve --archive /srv/mirror --listen :8080 --access-log -",
		"distkeep serve --archive /srv/mirror --listen :8080 --on-demand --repo gentoo:/var/db/repos/gentoo",
	}},
	{"snapshot create", []string{
		"distkeep snapshot create --archive /srv/mirror",
		"distkeep snapshot create --archive /srv/mirror --label release-24",
	}},
	{"snapshot list", []string{
		"distkeep snapshot list --archive /srv/mirror",
		"distkeep snapshot list --archive /srv/mirror --json",
	}},
	{"snapshot diff", []string{
		"distkeep snapshot diff --archive /srv/mirror latest",
		"distkeep snapshot diff --archive /srv/mirror latest latest",
	}},
	{"snapshot prune", []string{
		"distkeep snapshot prune --archive /srv/mirror --keep-daily 7 --keep-monthly 12 --dry-run",
		"distkeep snapshot prune --archive /srv/mirror --keep-last 3",
	}},
	{"snapshot remove", []string{
		"distkeep snapshot remove --archive /srv/mirror 2026-01-02T030000Z.release-24",
		"distkeep snapshot remove --archive /srv/mirror --json 2026-01-02T030000Z",
	}},
	{"layout show", []string{
		"distkeep layout show --archive /srv/mirror",
		"distkeep layout show --archive /srv/hashed --json",
	}},
	{"layout set", []string{
		`distkeep layout set --archive /srv/mirror "filename-hash BLAKE2B 8" flat`,
		`distkeep layout set --archive /srv/mirror "content-hash SHA512 8:8" "filename-hash BLAKE2B 8" flat`,
	}},
	{"layout drop", []string{
		"distkeep layout drop --archive /srv/mirror flat",
		`distkeep layout drop --archive /srv/mirror "content-hash SHA512 8:8"`,
	}},
	{"import", []string{
		"distkeep import --archive /srv/mirror --recycle-dir /srv/recycle /srv/clocks.txt",
		"distkeep import --archive /srv/mirror /srv/dpb/history /srv/dpb/distinfo",
	}},
	{"quarantine list", []string{
		"distkeep quarantine list --archive /srv/mirror",
		"distkeep quarantine list --archive /srv/mirror --json",
	}},
	{"quarantine show", []string{
		"distkeep quarantine show --archive /srv/mirror bad-1.tar.xz",
		"distkeep quarantine show --archive /srv/mirror --json bad-1.tar.xz",
	}},
	{"quarantine release", []string{
		"distkeep quarantine release --archive /srv/mirror --to /srv/distfiles-local bad-1.tar.xz",
		"distkeep quarantine release --archive /srv/mirror --to /srv/distfiles-local replaced.bad-2.zip.0",
	}},
	{"quarantine drop", []string{
		"distkeep quarantine drop --archive /srv/mirror bad-3.tar.xz",
		"distkeep quarantine drop --archive /srv/mirror replaced.bad-4.zip.0",
	}},
	{"report", []string{
		"distkeep report --archive /srv/mirror --html /srv/pages",
		"distkeep report --archive /srv/mirror --html /srv/pages --whitelist-from /srv/keep",
	}},
	{"config", []string{
		"distkeep config mirror --config /etc/distkeep.toml",
		"distkeep config verify --archive /srv/mirror --rate 20MB",
	}},
	{"generate", []string{
		"distkeep generate bash",
		"distkeep generate man /srv",
	}},
	{"help", []string{
		"distkeep help mirror",
		"distkeep help whitelist add",
	}},
}

// examplesOf is the section of a command's help that has them, or "".
func examplesOf(command string) string {
	for _, x := range examples {
		if x.command == command {
			return "\n\nEXAMPLES:\n   " + strings.Join(x.lines, "\n   ")
		}
	}
	return ""
}
