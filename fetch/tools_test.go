package fetch_test

import (
	"context"
	"io"
	"log"
	"net"
)

// quiet is the log of servers whose clients are expected to go away.
var quiet = log.New(io.Discard, "", 0)

// A redirectDialer connects to one address, whatever is asked for.
type redirectDialer struct{ addr string }

func (d *redirectDialer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "udp", d.addr)
}
