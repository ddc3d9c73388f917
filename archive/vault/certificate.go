package vault

import (
	"errors"
	"io/fs"

	"distkeep/archive/certificate"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
)

// Certificate returns the certificate that the last run has left, or nil. One that
// cannot be read is none.
func (v *Vault) Certificate() *certificate.Certificate {
	c, err := certificate.Load(store.CertificateFile(v.State))
	if err != nil {
		v.Warn("%v", err)
	}
	return c
}

// Certify leaves a certificate in the place of the last one, which is gone when there
// is no room for it. A power failure may bring one back that was removed: after that,
// the lock says that it means nothing.
func (v *Vault) Certify(c *certificate.Certificate) error {
	data, err := c.Encode()
	if err == nil {
		err = v.Store.ReplaceSecret(store.CertificateFile(v.State), data)
	}
	if err != nil {
		return errors.Join(err, v.voidCertificate())
	}
	return nil
}

func (v *Vault) voidCertificate() error {
	if err := v.Store.Remove(store.CertificateFile(v.State)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// settle makes the ledger know of the last run that has found nothing changed, and
// has not opened it, and ends the certificate: what is done now it does not know.
func (v *Vault) settle() error {
	if v.Looks {
		return nil
	}
	c := v.Certificate()
	if c == nil {
		return nil
	}
	if c.Last.After(c.Made) {
		var b ledger.Batch
		b.PutRun(&ledger.Run{Start: c.Last, Summary: c.Summary})
		if c.Last.After(v.Index.Notes.Clock) {
			v.Note(&b, func(n *ledger.Notes) { n.Clock = c.Last })
		}
		if err := v.Commit(&b); err != nil {
			return err
		}
	}
	v.Recorded = false
	return Damage(v.voidCertificate())
}
