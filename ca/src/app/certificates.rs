//! See certificates.

use access::{Certificate, State};
use model::CertificateProfile;

use super::page::{Cursor, Paged, page};
use super::sight::Sight;
use super::{App, AppError, Caller};

impl App {
    /// The certificates that the caller may see, newest first: those under requests that they may see; host
    /// certificates are for those who see everything.
    ///
    /// # Errors
    /// A proxy asked, or the ledger keeps failing.
    pub async fn certificates(&self, caller: &Caller, after: Option<&Cursor>) -> Result<Paged<Certificate>, AppError> {
        caller.identity()?;
        let mut sight = Sight::new(self, caller);
        let look = |state: &State, _| {
            let with_spec = |certificate: &Certificate| {
                let request = certificate.request.as_ref().and_then(|id| state.request(id));
                (certificate.clone(), request.map(|request| request.spec.clone()))
            };
            state.certificates().map(with_spec).collect::<Vec<_>>()
        };
        let all = self.engine.read(look).await?;
        let key = |(certificate, _): &(Certificate, _)| (certificate.intended, certificate.body.serial);
        let paged = page(all, key, after, |(certificate, spec)| match (certificate.body.profile, spec) {
            (CertificateProfile::Person | CertificateProfile::Session, Some(spec)) => sight.request(self, spec),
            (CertificateProfile::Person | CertificateProfile::Session, None) | (CertificateProfile::Host, _) => {
                sight.is_all()
            }
        });
        Ok(paged.map(|(certificate, _)| certificate))
    }
}
