package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"distkeep/archive/bucket/s3test"
)

func init() {
	moreCmds["s3"] = cmdS3
	moreCmds["objects"] = cmdObjects
	moreCmds["asked"] = cmdAsked
}

// TestReadmeBucket runs the commands of README.md about a bucket.
func TestReadmeBucket(t *testing.T) {
	srv := s3test.New(t)
	s := newStage(t, time.Now)
	for name, value := range s3Env {
		t.Setenv(name, value)
	}
	hosts := strings.NewReplacer("https://s3.example.org", srv.URL, "s3://distfiles/", "s3://"+s3test.Bucket+"/")
	for line := range strings.Lines(strings.Join(blocks(t, readme(t), "shell"), "")) {
		s.run(t, hosts.Replace(strings.TrimSpace(line)))
	}
	for _, key := range []string{"gentoo/doc/ledger.jsonl.gz", "gentoo/public/distfiles/package00000-part0-1.0.tar.xz", "large/1-of-2/doc/index.json", "large/2-of-2/doc/index.json"} {
		if _, ok := srv.Get(key); !ok {
			t.Errorf("no run has left %s", key)
		}
	}
}

type s3Key struct{}

// s3Env has the credentials, so that nobody is asked for others.
var s3Env = map[string]string{
	"AWS_ACCESS_KEY_ID": s3test.Key, "AWS_SECRET_ACCESS_KEY": s3test.Secret, "AWS_EC2_METADATA_DISABLED": "true",
	"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
}

// setupS3 prepares a script for a bucket.
func setupS3(e *testscript.Env) {
	e.Values[s3Key{}] = new(*s3test.Server)
	for name, value := range s3Env {
		e.Setenv(name, value)
	}
}

// s3 starts object storage whose one bucket is $BUCKET, on the server $S3; s3 lax does
// so with a server that ignores some conditions. s3 put KEY TEXT and s3 delete KEY do
// what somebody else may do there, and s3 has KEY TEXT checks what is there.
func cmdS3(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := ts.Value(s3Key{}).(**s3test.Server)
	switch {
	case neg && (len(args) != 3 || args[0] != "has"):
		ts.Fatalf("unsupported: ! s3")
	case len(args) < 2:
		var err error
		*s, err = s3test.Start()
		ts.Check(err)
		ts.Defer((*s).Close)
		(*s).Lax = len(args) == 1 && args[0] == "lax"
		ts.Setenv("S3", (*s).URL)
		ts.Setenv("BUCKET", s3test.Bucket)
	case args[0] == "put" && len(args) == 3:
		(*s).Put(args[1], args[2])
	case args[0] == "delete" && len(args) == 2:
		(*s).Delete(args[1])
	case args[0] == "has" && len(args) == 3:
		if got, ok := (*s).Get(args[1]); (ok && strings.TrimSuffix(got, "\n") == args[2]) == neg {
			ts.Fatalf("%s is %q (%v)", args[1], got, ok)
		}
	default:
		ts.Fatalf("usage: s3 [lax] | s3 put KEY TEXT | s3 has KEY TEXT | s3 delete KEY")
	}
}

// objects KEY... checks that the bucket has objects with these keys, and ! objects that
// it has none of them.
func cmdObjects(ts *testscript.TestScript, neg bool, args []string) {
	s := *ts.Value(s3Key{}).(**s3test.Server)
	for _, key := range args {
		if _, ok := s.Get(key); ok == neg {
			ts.Fatalf("%s is there: %v", key, ok)
		}
	}
}

// asked MOST checks that the bucket got at most so many requests since the last call.
func cmdAsked(ts *testscript.TestScript, neg bool, args []string) {
	s := *ts.Value(s3Key{}).(**s3test.Server)
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	if kinds, all := s.Requests(); neg || all > most {
		ts.Fatalf("%d requests: %v", all, kinds)
	}
	s.Reset()
}
