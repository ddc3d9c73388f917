package imported

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"distkeep/catalog"
)

// readPickles reads what shelve-utils dump writes: pickles of (key, value), one
// after the other. Which database they are of the values tell.
func (f *Facts) readPickles(file string, r *bufio.Reader) error {
	for n := 1; ; n++ {
		if _, err := r.Peek(1); err == io.EOF {
			return nil
		}
		v, err := unpickle(r)
		if err == nil {
			err = f.addPickle(v)
		}
		if err != nil {
			return fmt.Errorf("%s: pickle %d: %w", file, n, err)
		}
	}
}

// addPickle adds one key of a database with its value.
func (f *Facts) addPickle(v any) error {
	pair, ok := v.(tuple)
	if !ok || len(pair) != 2 {
		return errors.New("it is no key with a value")
	}
	key, ok := pair[0].(string)
	if !ok {
		return errors.New("its key is no string")
	}
	text, isContent := strings.CutPrefix(key, "filename:")
	if set, ok := pair[1].(*set); ok && !isContent {
		return nil // from a digest to names: the names have the digests, too
	} else if ok {
		key = text
		return f.addNamed(key, func(name catalog.Name) error { return f.addContents(name, set.contents()) })
	}
	return f.addNamed(key, func(name catalog.Name) error {
		switch v := pair[1].(type) {
		case string:
			return f.addOwner(name, v)
		case float64:
			return f.addDeletion(name, strconv.FormatFloat(v, 'f', -1, 64))
		case tuple:
			if len(v) == 2 {
				return f.addRecycled(name, numberText(v[0]), numberText(v[1]))
			}
		}
		return fmt.Errorf("%q: its value is of no database of emirrordist", key)
	})
}

func (f *Facts) addNamed(key string, add func(catalog.Name) error) error {
	name, err := catalog.ParsePath(key)
	if err != nil {
		f.Skipped = append(f.Skipped, err)
		return nil
	}
	return add(name)
}

func numberText(v any) string {
	n, _ := v.(float64)
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// The values of a pickle are strings, numbers, which are all float64, and these.
type (
	tuple []any
	set   struct{ items []any }
	mark  struct{}
	// class is one that is not called: of all there are, only set is known.
	class struct{}
)

// contents are the texts of a set of revisions, which are tuples of pairs of
// algorithm and digest.
func (s *set) contents() (texts []string) {
	for _, r := range s.items {
		var words []string
		revision, _ := r.(tuple)
		for _, p := range revision {
			pair, _ := p.(tuple)
			if len(pair) != 2 {
				continue
			}
			alg, _ := pair[0].(string)
			hex, _ := pair[1].(string)
			words = append(words, alg+"="+hex)
		}
		texts = append(texts, strings.Join(words, " "))
	}
	return texts
}

// The opcodes of pickle that the values of emirrordist have, in any protocol from
// 2 to 5.
const (
	pickleProto      = 0x80
	pickleFrame      = 0x95
	pickleStop       = '.'
	pickleMark       = '('
	pickleMemoize    = 0x94
	pickleBinPut     = 'q'
	pickleLongBinPut = 'r'
	pickleBinGet     = 'h'
	pickleLongBinGet = 'j'
	pickleShortText  = 0x8c
	pickleText       = 'X'
	pickleShortBytes = 'C'
	pickleBytes      = 'B'
	pickleShortStr   = 'U'
	pickleFloat      = 'G'
	pickleInt        = 'J'
	pickleInt1       = 'K'
	pickleInt2       = 'M'
	pickleLong1      = 0x8a
	pickleTuple      = 't'
	pickleTuple0     = ')'
	pickleTuple1     = 0x85
	pickleTuple3     = 0x87
	pickleEmptySet   = 0x8f
	pickleAddItems   = 0x90
	pickleEmptyList  = ']'
	pickleAppend     = 'a'
	pickleAppends    = 'e'
	pickleGlobal     = 'c'
	pickleReduce     = 'R'
)

// maxPickle bounds the values of one pickle, and the length of a string.
const maxPickle = 1 << 16

var errPickle = errors.New("it has something that the databases of emirrordist do not have")

// An unpickler reads one pickle. Nothing in it is executed.
type unpickler struct {
	r     *bufio.Reader
	stack []any
	memo  map[uint32]any
	ops   int
	bytes int // of its strings
}

func unpickle(r *bufio.Reader) (any, error) {
	u := &unpickler{r: r, memo: make(map[uint32]any)}
	for ; u.ops < 4*maxPickle; u.ops++ {
		op, err := r.ReadByte()
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if op == pickleStop {
			if len(u.stack) != 1 {
				return nil, errPickle
			}
			return u.stack[0], nil
		}
		if err := u.step(op); err != nil {
			return nil, err
		}
		if len(u.stack) > maxPickle || len(u.memo) > maxPickle {
			break
		}
	}
	return nil, errors.New("it is too large")
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// pop takes n values off the stack.
func (u *unpickler) pop(n int) ([]any, error) {
	if n > len(u.stack) {
		return nil, errPickle
	}
	vs := u.stack[len(u.stack)-n:]
	u.stack = u.stack[:len(u.stack)-n]
	return append([]any(nil), vs...), nil
}

// marked takes the values above the last mark off the stack, and the mark.
func (u *unpickler) marked() ([]any, error) {
	for n := 0; n < len(u.stack); n++ {
		if _, ok := u.stack[len(u.stack)-1-n].(mark); ok {
			vs, err := u.pop(n)
			if err == nil {
				_, err = u.pop(1)
			}
			return vs, err
		}
	}
	return nil, errPickle
}

// number reads a little-endian number of n bytes.
func (u *unpickler) number(n int) (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(u.r, b[:n])
	return binary.LittleEndian.Uint32(b[:]), err
}

// step does what one opcode asks for.
func (u *unpickler) step(op byte) error {
	switch op {
	case pickleProto:
		_, err := u.number(1)
		return err
	case pickleFrame:
		_, err := io.CopyN(io.Discard, u.r, 8)
		return err
	case pickleShortText, pickleShortBytes, pickleShortStr:
		return u.text(1)
	case pickleText, pickleBytes:
		return u.text(4)
	case pickleFloat, pickleInt, pickleInt1, pickleInt2, pickleLong1:
		return u.numeral(op)
	case pickleMemoize, pickleBinPut, pickleLongBinPut, pickleBinGet, pickleLongBinGet:
		return u.memory(op)
	}
	return u.build(op)
}

func (u *unpickler) text(lengthBytes int) error {
	n, err := u.number(lengthBytes)
	if err != nil {
		return err
	}
	if n > maxPickle || u.bytes > maxLine {
		return errors.New("its strings are too long")
	}
	u.bytes += int(n)
	b := make([]byte, n)
	_, err = io.ReadFull(u.r, b)
	u.push(string(b))
	return err
}

func (u *unpickler) numeral(op byte) error {
	var b [8]byte
	n := map[byte]int{pickleFloat: 8, pickleInt: 4, pickleInt1: 1, pickleInt2: 2}[op]
	if op == pickleLong1 {
		length, err := u.number(1)
		if err != nil {
			return err
		}
		if n = int(length); n > len(b) {
			return errPickle
		}
	}
	if _, err := io.ReadFull(u.r, b[:n]); err != nil {
		return err
	}
	switch op {
	case pickleFloat:
		u.push(math.Float64frombits(binary.BigEndian.Uint64(b[:])))
	case pickleInt:
		u.push(float64(int32(binary.LittleEndian.Uint32(b[:]))))
	default: // none of ours is negative
		u.push(float64(binary.LittleEndian.Uint64(b[:])))
	}
	return nil
}

func (u *unpickler) memory(op byte) error {
	n := uint32(len(u.memo))
	if op != pickleMemoize {
		var err error
		size := 1
		if op == pickleLongBinPut || op == pickleLongBinGet {
			size = 4
		}
		if n, err = u.number(size); err != nil {
			return err
		}
	}
	if op == pickleBinGet || op == pickleLongBinGet {
		v, ok := u.memo[n]
		if !ok {
			return errPickle
		}
		u.push(v)
		return nil
	}
	if len(u.stack) == 0 {
		return errPickle
	}
	u.memo[n] = u.stack[len(u.stack)-1]
	return nil
}

// build makes tuples and sets of what is on the stack.
func (u *unpickler) build(op byte) error {
	switch op {
	case pickleMark:
		u.push(mark{})
	case pickleTuple0:
		u.push(tuple{})
	case pickleEmptySet, pickleEmptyList: // a list is what a set is made of
		u.push(&set{})
	case pickleTuple1, pickleTuple1 + 1, pickleTuple3:
		vs, err := u.pop(int(op) - pickleTuple1 + 1)
		u.push(tuple(vs))
		return err
	case pickleTuple:
		vs, err := u.marked()
		u.push(tuple(vs))
		return err
	case pickleAddItems, pickleAppends:
		vs, err := u.marked()
		return errors.Join(err, u.extend(vs))
	case pickleAppend:
		vs, err := u.pop(1)
		return errors.Join(err, u.extend(vs))
	case pickleGlobal:
		return u.global()
	case pickleReduce:
		vs, err := u.pop(2)
		if err != nil {
			return err
		}
		_, isClass := vs[0].(class)
		args, _ := vs[1].(tuple)
		if !isClass || len(args) != 1 {
			return errPickle
		}
		u.push(args[0])
	default:
		return errPickle
	}
	return nil
}

// extend adds values to the set on top of the stack.
func (u *unpickler) extend(vs []any) error {
	if len(u.stack) == 0 {
		return errPickle
	}
	s, ok := u.stack[len(u.stack)-1].(*set)
	if !ok {
		return errPickle
	}
	s.items = append(s.items, vs...)
	return nil
}

// global reads the name of a class.
func (u *unpickler) global() error {
	var name [2]string
	for i := range name {
		line, err := u.r.ReadString('\n')
		if err != nil || len(line) > 64 {
			return errPickle
		}
		name[i] = strings.TrimSuffix(line, "\n")
	}
	if name[1] != "set" || name[0] != "builtins" && name[0] != "__builtin__" {
		return errPickle
	}
	u.push(class{})
	return nil
}
