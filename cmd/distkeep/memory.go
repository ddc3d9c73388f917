package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"distkeep/archive/vault"
)

// A run that transfers very many files makes garbage as fast as they come, and the
// collector lets that grow to as much as there is in use. What is in use grows little from
// then on, so it can be told where to stop: that costs it few rounds more.
const (
	// worthBounding is from how many files on a run looks at the memory that it uses:
	// to count that takes the time of a hundred transfers.
	worthBounding = 4096
	// perFile is what a file that has come takes, in the index and in what is exported, and as
	// much again for the collector to wait for.
	perFile = 1 << 10
	// besides is what buffers, the ledger's tables, and the collector take.
	besides = 24 << 20
)

// memoryLimit is where the memory of a run is bounded that is about to transfer files, and
// has live bytes in use. What is exported at its end takes half as much again, and the
// collector is to have time.
func memoryLimit(live uint64, files int) int64 {
	return 2*int64(live) + perFile*int64(files) + besides
}

// boundMemory has the transfers that ev is told of bound the memory of the process, unless
// the operator has done so. end takes the bound off.
func boundMemory(ev *vault.Events) (end func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	former, tell := debug.SetMemoryLimit(-1), ev.Phase
	ev.Phase = func(name string, files int, bytes int64) {
		if name == "fetch" && files >= worthBounding {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			debug.SetMemoryLimit(memoryLimit(m.HeapAlloc, files))
		}
		tell(name, files, bytes)
	}
	return func() { debug.SetMemoryLimit(former) }
}
