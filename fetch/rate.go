package fetch

import (
	"context"

	"golang.org/x/time/rate"
)

// A limiter bounds bytes a second. The zero value bounds nothing.
type limiter struct{ l *rate.Limiter }

func newLimiter(bytesPerSecond int64) limiter {
	if bytesPerSecond <= 0 {
		return limiter{}
	}
	// A burst of one buffer: WaitN refuses more than the burst.
	return limiter{rate.NewLimiter(rate.Limit(bytesPerSecond), bufferSize)}
}

// wait blocks until n bytes, at most bufferSize, may have come.
func (l limiter) wait(ctx context.Context, n int) error {
	if l.l == nil {
		return nil
	}
	return l.l.WaitN(ctx, n)
}
