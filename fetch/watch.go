package fetch

import (
	"context"
	"sync/atomic"
	"time"
)

// A watchdog ends a transfer that makes no progress: net/http has no limit for
// the time between two reads.
type watchdog struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	d      time.Duration
	reason atomic.Pointer[error]
}

// watch returns a context that ends with cause why when neither feed nor allow
// has been called for d. stop must be called.
func watch(ctx context.Context, d time.Duration, why error) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{cancel: cancel, d: d}
	w.reason.Store(&why)
	w.timer = time.AfterFunc(d, func() { cancel(*w.reason.Load()) })
	return ctx, w
}

// allow sets another limit and reason, from now on. A negative d is none.
func (w *watchdog) allow(d time.Duration, why error) {
	w.reason.Store(&why)
	w.d = d
	w.feed()
}

// feed notes progress.
func (w *watchdog) feed() {
	if w.d < 0 {
		w.timer.Stop()
		return
	}
	w.timer.Reset(w.d)
}

// hold suspends the limit until feed or allow is called.
func (w *watchdog) hold() { w.timer.Stop() }

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}
