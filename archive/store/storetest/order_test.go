package storetest

import (
	"strings"
	"testing"
)

func TestCheckOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, trace string
		err         string // what the error contains, "" for none
	}{
		{"each file", "write-part /p/a\nfsync /p/a\nmkdir /d/x\nlink /p/a /d/x/a\nfsync-dir /d/x\nfsync-dir /d\nledger-commit", ""},
		{"file system", "write-part /p/a\nsyncfs-begin\nsyncfs\nmkdir /d/x\nlink /p/a /d/x/a\nsyncfs-begin\nsyncfs\nledger-commit", ""},
		{"older file", "link /d/a /d/b\nfsync-dir /d\nledger-commit", ""},
		{"nothing in between", "ledger-commit\nledger-commit", ""},
		{"replaced", "write-part /p/a\nfsync /p/a\nlink /p/a /p/tmp\nrename /p/tmp /d/a\nfsync-dir /d\nunlink /p/a\nledger-commit", ""},
		{"replaced unrecorded", "write-part /p/a\nfsync /p/a\nlink /p/a /d/a\nlink /p/a /d/b\nunlink /d/a", ""},
		{"moved", "link /d/a /r/a\nfsync-dir /r\nunlink /d/a\nunlink /r/a", ""},
		{"part given up", "write-part /p/a\nfsync /p/a\nlink /p/a /d/a\nunlink /p/a\nfsync-dir /d\nledger-commit", ""},
		{"removed again", "link /d/a /d/b\nunlink /d/b\nmkdir /d/x\nrmdir /d/x\nledger-commit", ""},

		{"no sync of data", "write-part /p/a\nlink /p/a /d/a", "line 2: link\t/p/a\t/d/a: its bytes, written in line 1"},
		{"no sync of data, by rename", "write-part /p/a\nlink /p/a /p/tmp\nrename /p/tmp /d/a", "line 3: "},
		{"written anew", "write-part /p/a\nfsync /p/a\nwrite-part /p/a\nlink /p/a /d/a", "written in line 3"},
		{"other file synced", "write-part /p/a\nwrite-part /p/b\nfsync /p/b\nlink /p/a /d/a", "line 4: "},
		{"written while syncfs ran", "syncfs-begin\nwrite-part /p/a\nsyncfs\nlink /p/a /d/a", "line 4: "},
		{"syncfs not finished", "write-part /p/a\nsyncfs-begin\nlink /p/a /d/a", "line 3: "},
		{"no sync of entry", "link /d/a /d/b\nledger-commit", "/d/b, made in line 1, is not durable"},
		{"entry after sync", "fsync-dir /d\nlink /d/a /d/b\nledger-commit", "/d/b, made in line 2"},
		{"no sync of symbolic link", "symlink /x /d/b\nledger-commit", "/d/b, made in line 1"},
		{"linked while syncfs ran", "syncfs-begin\nlink /d/a /d/b\nsyncfs\nledger-commit", "/d/b, made in line 2"},
		{"no sync of new directory", "mkdir /d/x\nlink /d/a /d/x/a\nfsync-dir /d/x\nledger-commit", "/d/x, made in line 1"},
		{"file instead of directory", "link /d/a /d/b\nfsync /d/b\nledger-commit", "/d/b"},
		{"removed too early", "link /d/a /r/a\nunlink /d/a", "its other links are not durable"},
		{"recorded and removed too early", "write-part /p/a\nfsync /p/a\nlink /p/a /d/a\nfsync-dir /d\nledger-commit\nlink /d/a /r/a\nunlink /d/a", "line 7: "},
		{"replaced too early", "link /d/a /r/a\nlink /d/b /p/tmp\nrename /p/tmp /d/a", "its other links are not durable"},
		{"unknown", "write /p/a", "unknown operation"},
		{"cut off", "link /p/a", "want 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			trace := strings.ReplaceAll(c.trace, " /", "\t/")
			n, err := CheckOrder(strings.NewReader(trace), "/p")
			if c.err == "" && (err != nil || n != strings.Count(trace, "ledger-commit")) {
				t.Errorf("%d commits, error = %v, want none", n, err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error = %v, want %q", err, c.err)
			}
		})
	}
}
