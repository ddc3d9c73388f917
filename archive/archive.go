// Package archive is a run: it has the facts gathered, carries out what package plan
// makes of them, and reports. So it mirrors what packages want, takes over what is
// on disk already, and deletes what nobody has wanted for long enough.
//
// A distfile goes one way: catalog.Collect finds it, plan.Make decides what it
// needs and begins its record, package fetch gets and verifies its bytes in a .part
// file, and vault.Publish makes them durable, links them to their published paths
// and records them, in this order. What was killed between is found by the next run
// on disk and recorded then, without another transfer.
//
// Begin reading at Mirror, whose method steps has the steps in their order; each is
// a type of its own, or a package: survey gathers the facts, deletion is the way
// out, lists are what readers find beside the distfiles. DryRun prints the plan that
// Mirror executes; packages past, undo and relayout have the smaller
// runs. Trouble with one
// distfile is a failure in the Summary. An error of a run means that nothing could
// be done, or that the archive can hold nothing more: vault.Broken tells these
// apart.
package archive
