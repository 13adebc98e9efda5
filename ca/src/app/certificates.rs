//! See certificates.

use access::{Certificate, State};
use model::{CertificateProfile, RequestSpec, Serial, Timestamp};

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
        let look = |state: &State, _| -> Vec<(Timestamp, Serial)> {
            state.certificates().map(|certificate| (certificate.intended, certificate.body.serial)).collect()
        };
        let keys = self.engine.read(look).await?;
        let fetch = |state: &State, serial: &Serial, _| {
            let certificate = state.certificate(*serial)?.clone();
            let request = certificate.request.as_ref().and_then(|id| state.request(id));
            let spec = request.map(|request| request.spec.clone());
            Some((certificate, spec))
        };
        let show = |(certificate, spec): &(Certificate, Option<RequestSpec>)| match (certificate.body.profile, spec) {
            (CertificateProfile::Person | CertificateProfile::Session, Some(spec)) => sight.request(self, spec),
            (CertificateProfile::Person | CertificateProfile::Session, None)
            | (CertificateProfile::Host | CertificateProfile::Front, _) => sight.is_all(),
        };
        let page = page(&self.engine, keys, after, fetch, show).await?;
        Ok(page.map(|(certificate, _)| certificate))
    }
}
