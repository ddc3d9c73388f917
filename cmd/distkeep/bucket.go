package main

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/config"

	"distkeep/archive/bucket"
)

// openBucket returns the bucket of the URL. Credentials, and the region where none is
// given, are found as the AWS tools find them: variables, files, roles.
func openBucket(ctx context.Context, url, endpoint, region string) (*bucket.Bucket, error) {
	o := bucket.Options{Endpoint: endpoint, Proxy: http.ProxyFromEnvironment}
	var err error
	if o.Bucket, o.Prefix, err = bucket.Parse(url); err != nil {
		return nil, usagef("--archive: %w", err)
	}
	var more []func(*config.LoadOptions) error
	if region != "" {
		more = append(more, config.WithRegion(region))
	}
	c, err := config.LoadDefaultConfig(ctx, more...)
	if err != nil {
		return nil, usagef("%s: %w", url, err)
	}
	o.Region, o.Credentials = c.Region, c.Credentials
	b, err := bucket.New(o)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return b, nil
}
