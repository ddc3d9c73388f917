package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// workAsOwner makes this process, when root has started it, one of the user to whom
// the archive belongs, for good and with all its threads: the job that runs as that
// user must be able to write whatever a command has left. An archive that is not
// there yet will belong to whom its directory belongs.
func (e *env) workAsOwner(p place) error {
	if p.resolve() != nil {
		return nil // the command says what is missing
	}
	e.at = &p
	if os.Geteuid() != 0 {
		return nil
	}
	where, st := ownedBy(p)
	if st == nil || st.Uid == 0 {
		return nil
	}
	name := userName(st.Uid)
	if err := become(st); err != nil {
		return usagef("%s belongs to %s, and root cannot work as that user here: %w: run distkeep as %s, or give the archive to root by: chown -R root %s %s",
			where, name, err, name, p.distfiles, p.state)
	}
	e.actsAs = name
	if text := fmt.Sprintf("working as %s, to whom %s belongs", name, where); e.logJSON {
		log := e.logger(false, true)
		log.Log().Msg(text)
	} else {
		fmt.Fprintf(e.stderr, "distkeep: %s\n", text)
	}
	return nil
}

// ownedBy returns the directory that says whose an archive is: its state directory
// or, before there is one, what it is going to be made for or in.
func ownedBy(p place) (dir string, st *syscall.Stat_t) {
	for _, dir := range []string{p.state, p.distfiles} {
		if st := statOf(dir); st != nil {
			return dir, st
		}
	}
	dir, err := filepath.Abs(p.state)
	if err != nil {
		return "", nil
	}
	for st == nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		st = statOf(dir)
	}
	return dir, st
}

// statOf returns what the system says of a path, or nil.
func statOf(path string) *syscall.Stat_t {
	fi, err := os.Stat(path)
	if err != nil {
		return nil
	}
	st, _ := fi.Sys().(*syscall.Stat_t)
	return st
}

// become makes this process one of the owner of a directory, with the groups that
// the system knows of that user, or else the group of the directory alone. Package
// syscall does so for all threads.
func become(st *syscall.Stat_t) error {
	gid, groups := int(st.Gid), []int{}
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		if id, err := strconv.Atoi(u.Gid); err == nil {
			gid = id
		}
		ids, _ := u.GroupIds() // none is enough
		for _, s := range ids {
			if id, err := strconv.Atoi(s); err == nil {
				groups = append(groups, id)
			}
		}
		os.Setenv("HOME", u.HomeDir) // for programs that are started
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := syscall.Setgid(gid); err != nil {
		return err
	}
	return syscall.Setuid(int(st.Uid))
}

func userName(uid uint32) string {
	id := strconv.Itoa(int(uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// ownership says in one line whom to run as, or what gives the archive to one user,
// when err is that this user may not do something in it. Otherwise it returns "".
func (e *env) ownership(err error) string {
	if e.at == nil || !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	me := uint32(os.Geteuid())
	mend := fmt.Sprintf("chown -R %s %s %s", userName(me), e.at.distfiles, e.at.state)
	if where, st := ownedBy(*e.at); st != nil && st.Uid != me {
		return fmt.Sprintf("%s belongs to %s: run distkeep as that user, or let root give the archive to you by: %s", where, userName(st.Uid), mend)
	}
	if path, uid := foreignIn(e.at.distfiles, e.at.state, me); path != "" {
		return fmt.Sprintf("%s belongs to %s: let root give the archive to you by: %s", path, userName(uid), mend)
	}
	if pe := (*fs.PathError)(nil); e.actsAs != "" && errors.As(err, &pe) {
		return fmt.Sprintf("root works as %s here, to whom the archive belongs: give %s the right to %s, and make it for that user if it is not there", e.actsAs, e.actsAs, pe.Path)
	}
	return ""
}

// foreignIn returns the published directory, or the first path of the state
// directory, that does not belong to the user me, or "".
func foreignIn(distfiles, state string, me uint32) (path string, uid uint32) {
	if st := statOf(distfiles); st != nil && st.Uid != me {
		return distfiles, st.Uid
	}
	// What cannot be read is passed over.
	_ = filepath.WalkDir(state, func(p string, d fs.DirEntry, _ error) error {
		if d == nil {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return nil
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid != me {
			path, uid = p, st.Uid
			return fs.SkipAll
		}
		return nil
	})
	return path, uid
}
