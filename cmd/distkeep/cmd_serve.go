package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/archive"
	"distkeep/archive/demand"
	"distkeep/archive/serve"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

const serveHelp = `Serve what is published over HTTP, to clients of many kinds at once. It only reads, needs
no lock and no rights but to read, and follows the runs of the archive.

Everything in the published tree is at its path. What is not is looked for by digest,
by name, or by the URL that it came from, as these clients ask:

{dialects}
A file that the archive has verified has its SHA-256 as its ETag. A name that several
contents may be meant by is answered with status 300 and the list of their digests.
/report tells people how the last run ended, /metrics tells Prometheus, and /healthz
whether all is well.

With --on-demand, what the repositories want and the archive has not is fetched when
somebody asks for it, once for all who do, and kept like everything else. They get it
while it arrives, but for the end, which waits until all of it is verified. Nothing
is fetched that no repository names. The options are those of mirror, and with
--mirror-every it does all that mirror does in the same process, which holds the lock
meanwhile; what somebody waits for goes before all that it has to fetch.

The contents of an archive in a bucket are sent from there: a client is redirected to
a URL that is good for an hour, or gets them through this server with --stream.

Without --listen, the sockets are those that systemd hands over. SIGTERM and SIGINT let
what is under way end, for half a minute. With --accel-redirect, a web server before
this one sends the files: see README.

EXIT STATUS:
   0    it was told to stop
   2    wrong usage or configuration`

// serveFlags are the options of serve.
type serveFlags struct {
	*mirrorFlags
	onDemand    bool
	mirrorEvery durationValue
	listen      *cli.StringSlice
	cert, key   string
	log         string
	accel       string
	stream      bool
	limits      serve.Limits
}

func serveCommand(e *env) *cli.Command {
	o := &serveFlags{mirrorFlags: newMirrorFlags(), listen: cli.NewStringSlice()}
	return &cli.Command{
		Name:        "serve",
		Usage:       "serve what is published over HTTP",
		UsageText:   "distkeep serve --archive DIR --listen ADDRESS [OPTIONS]",
		Description: strings.Replace(serveHelp, "{dialects}", dialectHelp(), 1),
		Flags: append(slices.DeleteFunc(o.mirrorFlags.flags(), func(f cli.Flag) bool {
			return slices.Contains([]string{"dry-run", "json", "fail-on"}, f.Names()[0])
		}),
			&cli.BoolFlag{Name: "on-demand", Usage: "fetch what the repositories want and the archive has not when somebody asks for it", Destination: &o.onDemand},
			&cli.GenericFlag{Name: "mirror-every", Usage: "with --on-demand, do all that mirror does, now and each `DURATION` after", Value: &o.mirrorEvery},
			&cli.StringSliceFlag{Name: "listen", Usage: "listen on `ADDRESS`, such as :8080, 127.0.0.1:8080 or unix:PATH; repeatable", Destination: o.listen},
			&cli.StringFlag{Name: "tls-cert", Usage: "talk TLS with the certificate and its chain in `FILE`; it is read again when it changes", Destination: &o.cert},
			&cli.StringFlag{Name: "tls-key", Usage: "the key of the certificate is in `FILE`", Destination: &o.key},
			&cli.StringFlag{Name: "access-log", Usage: "append a line a request to `FILE`, in the combined format; - is standard output", Destination: &o.log},
			&cli.StringFlag{Name: "accel-redirect", Usage: "let the web server before this one send the files, which has the published tree at `PATH`", Destination: &o.accel},
			&cli.BoolFlag{Name: "stream", Usage: "send what is in a bucket through this server, in place of telling clients where to get it", Destination: &o.stream},
			&cli.IntFlag{Name: "max-connections", Usage: "take at most `N` connections at one time; 0 is no limit", Value: 4096, Destination: &o.limits.Connections},
			&cli.IntFlag{Name: "max-per-address", Usage: "take at most `N` connections from one address; 0 is no limit", Value: 64, Destination: &o.limits.PerAddress},
		),
		Action: func(c *cli.Context) error { return runServe(c.Context, e, o) },
	}
}

// dialectHelp lists how clients ask.
func dialectHelp() string {
	var b strings.Builder
	for _, d := range serve.Dialects() {
		fmt.Fprintf(&b, "   %-39s %s\n", d.Form, d.Clients)
	}
	return b.String()
}

func runServe(ctx context.Context, e *env, o *serveFlags) (err error) {
	if _, err := o.reading(ctx, e); err != nil {
		return err
	}
	if (o.cert == "") != (o.key == "") {
		return usagef("serve: --tls-cert and --tls-key go together")
	}
	if o.accel != "" && !strings.HasPrefix(o.accel, "/") {
		return usagef("serve: --accel-redirect %s is no path of a web server: it begins with /", o.accel)
	}
	var config *tls.Config
	if o.cert != "" {
		if config, err = serve.Certificate(o.cert, o.key); err != nil {
			return err
		}
	}
	w, err := o.openLog(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	log := e.logger(false, false)
	so := serve.Options{
		Distfiles: o.distfiles, Reports: store.ReportDir(o.state), Accel: o.accel, Log: w, Now: e.now,
		Warn: func(format string, args ...any) { log.Warn().Msgf(format, args...) },
	}
	if err := o.fromBucket(ctx, &so); err != nil {
		return err
	}
	if o.reader != nil {
		following, stop := context.WithCancel(ctx)
		done := o.follow(following, so.Warn)
		defer func() { stop(); <-done }()
	}
	if o.onDemand {
		if o.reader != nil {
			return usagef("serve: --on-demand is for a worker: %s is a reader's", o.state)
		}
		if so.Demand, err = o.demand(e, so.Warn); err != nil {
			return err
		}
	} else if o.mirrorEvery > 0 {
		return usagef("serve: --mirror-every goes with --on-demand")
	}
	if !o.onDemand {
		// A server keeps an index of an archive in few pieces, and little else: to
		// collect what requests leave is cheap.
		debug.SetGCPercent(gcPercent)
	}
	// Nothing ever writes to it, so that it takes no memory. It counts for the
	// collector, which would run every few hundred requests of a small archive.
	weight := make([]byte, 8<<20)
	defer runtime.KeepAlive(weight)
	s, err := serve.New(so)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ls, err := o.listeners()
	if err != nil {
		return err
	}
	for i, l := range ls {
		fmt.Fprintf(e.stderr, "distkeep: serving %s at %s\n", o.distfiles, l.Addr())
		ls[i] = o.limits.Limit(l)
	}
	return s.Serve(ctx, config, ls...)
}

// gcPercent is how much may become garbage, for each hundred bytes that are in use, before
// it is collected.
const gcPercent = 30

// rescan is how often the repositories are scanned for what may be asked for.
const rescan = 30 * time.Minute

// demand fetches what is asked for, and does the hourly job in between.
func (o *serveFlags) demand(e *env, warn func(format string, args ...any)) (*serve.Demand, error) {
	// What is wrong with the options is said before anything is served.
	if _, err := o.mirrorFlags.options(e); err != nil {
		return nil, err
	}
	d := &serve.Demand{Desk: demand.NewDesk(e.now), Every: rescan}
	d.Scan = func(ctx context.Context) (*catalog.Catalog, error) {
		repos, err := o.repoFlags.open(&opening{stdin: e.stdin, state: o.state, offline: true, now: e.now})
		if err != nil {
			return nil, err
		}
		c, err := catalog.Collect(ctx, repos)
		if err != nil {
			return nil, err
		}
		part, err := o.part()
		return c.Cut(part), err
	}
	d.Work = func(ctx context.Context, scanned func(*catalog.Catalog)) { o.work(ctx, e, d.Desk, scanned, warn) }
	return d, nil
}

// work brings what somebody waits for at desk, and does the hourly job when its time has
// come, until ctx ends.
func (o *serveFlags) work(ctx context.Context, e *env, desk *demand.Desk, scanned func(*catalog.Catalog), warn func(format string, args ...any)) {
	m := *o.mirrorFlags
	m.desk, m.scanned = desk, scanned
	for next := time.Now(); ctx.Err() == nil; {
		turn, stop := ctx, context.CancelFunc(func() {})
		if o.mirrorEvery > 0 {
			turn, stop = context.WithDeadline(ctx, next)
		}
		var err error
		select {
		case <-desk.Wake():
			err = m.bring(turn, e)
		case <-turn.Done():
			if ctx.Err() == nil {
				err = m.runWithin(ctx, e)
				next = time.Now().Add(time.Duration(o.mirrorEvery))
			}
		}
		if stop(); err != nil && ctx.Err() == nil {
			warn("%v", err)
			for _, f := range desk.Take() {
				desk.Drop(f, err)
			}
		}
	}
}

// bring brings into the archive what somebody waits for.
func (o *mirrorFlags) bring(ctx context.Context, e *env) (err error) {
	m, err := o.options(e)
	if err != nil {
		return err
	}
	logs, err := o.openLogs()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.close()) }()
	log := e.logger(o.verbose, o.logJSON)
	vo, err := o.vault(ctx, e, "distkeep serve", vault.Events{
		Warn: func(msg string) { log.Warn().Msg(msg) },
		Added: func(owner, name string, size int64, origin string) {
			if logs.success != nil {
				logs.success.Added(owner, name, size)
			}
			log.Info().Str("file", name).Int64("bytes", size).Str("from", origin).Msg("added")
		},
	})
	if err != nil {
		return err
	}
	return archive.Bring(ctx, vo, m)
}

// runWithin makes a run within another command, and says on standard error what it did.
// What it found is in its records: only what kept it from its work is an error.
func (o *mirrorFlags) runWithin(ctx context.Context, e *env) error {
	inner := *e
	inner.stdout = e.stderr
	err := runMirror(ctx, &inner, o, o)
	if s := status(0); errors.As(err, &s) {
		return nil
	}
	return err
}

// openLog opens the access log, which may be none.
func (o *serveFlags) openLog(e *env) (io.WriteCloser, error) {
	switch o.log {
	case "":
		return nopCloser{io.Discard}, nil
	case "-":
		return nopCloser{e.stdout}, nil
	}
	return os.OpenFile(o.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// listeners are those of --listen or, without it, those that systemd has opened.
func (o *serveFlags) listeners() (ls []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range ls {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	for _, addr := range o.listen.Value() {
		l, err := serve.Listen(addr)
		if err != nil {
			return ls, err
		}
		ls = append(ls, l)
	}
	if len(ls) > 0 {
		return ls, nil
	}
	for i := range handedOver() {
		const firstFD = 3 // as sd_listen_fds(3) has it
		f := os.NewFile(uintptr(firstFD+i), "socket of systemd")
		l, err := net.FileListener(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return ls, fmt.Errorf("socket %d of systemd: %w", i, err)
		}
		ls = append(ls, l)
	}
	if len(ls) == 0 {
		return nil, usagef("serve: say where to listen: --listen ADDRESS")
	}
	return ls, nil
}

// handedOver is the number of sockets that systemd has opened for this process.
func handedOver() int {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if pid != os.Getpid() {
		return 0
	}
	return max(n, 0)
}
