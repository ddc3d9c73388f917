package vault

import (
	"distkeep/archive/ledger"
	"distkeep/fetch/failure"
)

// ClearPaths moves the files at the paths of d, whose bytes are gone, to
// quarantine. Its error wraps store.ErrStuck when one of them cannot be moved.
func (v *Vault) ClearPaths(d *ledger.Distfile) error {
	rs, err := Replicas(v.PathsOf(d))
	if err != nil {
		return err
	}
	for _, r := range rs {
		_, err := v.Store.Quarantine.SetAside("changed."+d.SHA256().Hex(), r.Info, r.Paths)
		for _, path := range r.Paths {
			v.LookAgain(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Lose puts into b that the content of d is lost, and why.
func (v *Vault) Lose(b *ledger.Batch, d *ledger.Distfile, why string) {
	v.Changed = true
	b.DropDistfile(d.Key())
	b.DropDeletion(d.Key())
	v.forget(b, d, "damaged in the archive, the next run fetches it again: "+why)
}

// forget leaves a failure behind for the next run, which knows the whitelist and
// decides whether anybody misses d.
func (v *Vault) forget(b *ledger.Batch, d *ledger.Distfile, why string) {
	b.PutSuccess(ledger.NewSuccess(&d.Content, d.Origin, ledger.Gone, v.Now))
	b.PutFailure(&ledger.Failure{
		Name: d.Name, Want: d.Failure(ledger.Lost).Want, Class: string(failure.Local), Owner: d.Owner,
		Reason: why, First: v.Now, Last: v.Now, Count: 1,
	})
}
