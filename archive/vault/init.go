package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/store"
)

// Holder returns who holds the lock of the archive whose state directory is
// given, or, when held is false, whoever had it last and was killed or could not
// make all that it did durable. It returns "" when all is in order.
func Holder(state string) (who string, held bool, err error) { return store.Holder(state) }

// Check returns an error that wraps ErrNoArchive unless both halves of an
// archive are there, and another one when they are where they harm each other.
func Check(distfiles, state string) error {
	for _, d := range []string{state, distfiles} {
		if fi, err := os.Stat(d); err != nil || !fi.IsDir() {
			return fmt.Errorf("%s: %w", d, ErrNoArchive)
		}
	}
	return checkPlaces(distfiles, state)
}

// Init makes an archive, or leaves one that exists as it is. When conf is not
// empty, it becomes the layout.conf. Its error wraps ErrLocked where that is the
// cause.
func Init(distfiles, state string, conf layout.Conf, now time.Time) (err error) {
	var text []byte
	if len(conf) > 0 {
		text = conf.Format()
		// What Format writes can be read, unless a layout stands there twice.
		if conf, err = layout.ParseConf("layout.conf", bytes.NewReader(text)); err != nil {
			return err
		}
	}
	if err := checkPlaces(distfiles, state); err != nil {
		return err
	}
	lock, err := store.Lock(state, "distkeep init", now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if len(conf) == 0 {
		if conf, err = layout.Load(distfiles); err != nil {
			return err
		}
	}
	s, err := openStore(distfiles, state, conf, lock, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.KeepReserve(store.LeastReserve); err != nil {
		return err
	}
	if len(text) == 0 {
		return nil
	}
	return writeConf(s, text)
}

// writeConf replaces layout.conf, unless it has that text already.
func writeConf(s *store.Store, text []byte) error {
	_, err := history.WriteFileIfChanged(s.Path("layout.conf"), s.PartsDir(), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}, s.Replace)
	return err
}
