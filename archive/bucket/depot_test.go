package bucket

import (
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/layout"
	"distkeep/archive/vault"
	"distkeep/archive/vault/depottest"
)

var _ vault.Remote = (*Bucket)(nil)

func TestDepot(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			depottest.Test(t, func(t *testing.T) *depottest.World {
				b, err := New(Options{Bucket: s3test.Bucket, Endpoint: start(t), Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, "")})
				if err != nil {
					t.Fatal(err)
				}
				return &depottest.World{
					Depot: b,
					Part:  func(t *testing.T, data string) string { return item(t, "x", data).Part },
					Damage: func(t *testing.T, c *layout.Content, data string) {
						key := b.blob(c.SHA256())
						if err := b.remove(t.Context(), key, ""); err != nil {
							t.Fatal(err)
						}
						if _, err := b.putBytes(t.Context(), key, []byte(data), condition{}); err != nil {
							t.Fatal(err)
						}
					},
				}
			})
		})
	}
}

// TestProbeServers: servers that are in use are fit, and nothing is left there.
func TestProbeServers(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := New(Options{Bucket: s3test.Bucket, Endpoint: start(t), Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, "")})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Probe(t.Context()); err != nil {
				t.Error(err)
			}
			var left []string
			if err := b.list(t.Context(), "", func(o *Object) error { left = append(left, o.Key); return nil }); err != nil || len(left) > 0 {
				t.Errorf("left there: %s (%v)", strings.Join(left, " "), err)
			}
		})
	}
}
