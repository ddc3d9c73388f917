// Package archive runs an archive of distfiles: it gathers the facts, carries out
// what package plan makes of them, and reports. So it mirrors what packages want,
// takes over what is on disk already, and deletes what nobody has wanted for long
// enough.
//
// The commit protocol is the same everywhere: bytes are verified while they
// arrive in a .part file, made durable, linked to their published paths, made
// durable there, and only then recorded in the ledger. A record therefore
// always has its bytes. What a crash leaves unrecorded is found by the next run
// in the published tree or among the parts and recorded then, without another
// transfer.
package archive
