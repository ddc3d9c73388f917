package gentoo

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"distkeep/catalog/regular"
)

// readAge returns what a tree says of its age: what those who make it for rsync put into
// metadata/timestamp.chk each half hour, and when its newest commit came, which
// metadata/timestamp.commit has or, in a clone, the last line of the log of HEAD.
func readAge(root *os.Root) (made, commit time.Time) {
	if b, err := readProfile(root, "metadata/timestamp.chk"); err == nil {
		made = parseTimestamp(string(b))
	}
	if b, err := readProfile(root, "metadata/timestamp.commit"); err == nil {
		commit = parseCommit(string(b))
	}
	if commit.IsZero() {
		commit = parseHeadLog(tail(root, ".git/logs/HEAD"))
	}
	return made, commit
}

// tail returns the end of a file.
func tail(root *os.Root, name string) string {
	const most = 4 << 10
	f, err := regular.OpenIn(root, name)
	if err != nil {
		return ""
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	return string(b)
}

// parseTimestamp parses "Sat, 28 Nov 2026 12:30:01 +0000".
func parseTimestamp(text string) time.Time {
	t, err := time.Parse(time.RFC1123Z, strings.TrimSpace(text))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// parseCommit parses "HASH UNIXTIME DATE".
func parseCommit(text string) time.Time {
	if f := strings.Fields(text); len(f) > 1 {
		return seconds(f[1])
	}
	return time.Time{}
}

// parseHeadLog parses "OLD NEW NAME <ADDRESS> UNIXTIME ZONE<TAB>WHAT", the last of such
// lines.
func parseHeadLog(text string) time.Time {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	who, _, _ := strings.Cut(lines[len(lines)-1], "\t")
	if f := strings.Fields(who); len(f) > 4 {
		return seconds(f[len(f)-2])
	}
	return time.Time{}
}

// seconds is a number of seconds, of a year that has four digits.
func seconds(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > 253402300799 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
