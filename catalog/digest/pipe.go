package digest

import (
	"hash"
	"runtime"
	"slices"
	"sync"
)

const (
	// worthPipe is how much of a stream comes before the rest goes through a pipe,
	// whose blocks take a megabyte.
	worthPipe = 4 << 20
	blockSize = 128 << 10
	blocks    = 8
)

// A pipe computes the digests of a stream behind its writer, from copies of the last
// pieces: helpers do while the program leaves cores idle, and the writer does when they
// are not quick enough. Nobody waits for a core that somebody else has.
type pipe struct {
	hashes []hash.Hash

	mu      sync.Mutex
	moved   *sync.Cond // a helper has done something
	ring    [blocks][]byte
	written int    // pieces
	done    []int  // pieces, by hash
	busy    []bool // by hash
	helpers int    // goroutines, which end when there is nothing to do
}

func newPipe(hashes []hash.Hash) *pipe {
	p := &pipe{hashes: hashes, done: make([]int, len(hashes)), busy: make([]bool, len(hashes))}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// write takes data, unless all cores are busy: then it would only be copied.
func (p *pipe) write(data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hire(); p.helpers == 0 {
		return false
	}
	for piece := range slices.Chunk(data, blockSize) {
		for p.written-slices.Min(p.done) == blocks {
			p.work()
		}
		block := &p.ring[p.written%blocks]
		*block = append((*block)[:0], piece...)
		p.written++
	}
	return true
}

// hire starts another helper while there are idle cores. p.mu is held.
func (p *pipe) hire() {
	switch {
	case p.helpers == len(p.hashes):
	case hashing.Add(1) > int32(runtime.GOMAXPROCS(0)):
		hashing.Add(-1)
	default:
		p.helpers++
		go p.help()
	}
}

func (p *pipe) help() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.step() {
	}
	p.helpers--
	hashing.Add(-1)
	p.moved.Signal()
}

// step hashes a piece with the hash that is the farthest behind, and reports whether
// one was. p.mu is held, but not meanwhile.
func (p *pipe) step() bool {
	last := -1
	for i, done := range p.done {
		if !p.busy[i] && done < p.written && (last < 0 || done < p.done[last]) {
			last = i
		}
	}
	if last < 0 {
		return false
	}
	p.busy[last] = true
	block := p.ring[p.done[last]%blocks]
	p.mu.Unlock()
	p.hashes[last].Write(block)
	p.mu.Lock()
	p.busy[last] = false
	p.done[last]++
	p.moved.Signal()
	return true
}

// work does something of what is left, or waits until somebody has. p.mu is held.
func (p *pipe) work() {
	if !p.step() {
		p.moved.Wait()
	}
}

// wait returns when all that was written is hashed.
func (p *pipe) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.helpers > 0 || slices.Min(p.done) < p.written {
		p.work()
	}
}
