//! Read the ledger, and prove it.

use ::ledger::{Checkpoint, InclusionProof, Note};
use model::{Fact, Record, RequestId, RequestSpec, Seq, Serial, Subject};
use policy::Action;
use store::{Query, Store, StoreError};

use super::engine::{blocking, unavailable};
use super::open_session::Bought;
use super::{App, AppError, Caller};

/// How many records one page has at most.
const PAGE: usize = 1_000;

/// A signed checkpoint.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Size and root.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: Note,
}

/// The proof that a record is in the ledger.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The record's canonical bytes.
    pub record: Vec<u8>,
    /// The audit path and what it is for.
    pub path: InclusionProof,
    /// The root that it leads to.
    pub root: ::ledger::Digest,
}

impl App {
    /// Up to `limit` records from `from` on that fit the query.
    ///
    /// # Errors
    /// The caller may neither lock nor administer, or the ledger cannot be read.
    pub async fn records(
        &self,
        caller: &Caller,
        query: Query,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, AppError> {
        self.reads_all(caller)?;
        let store = self.store();
        let limit = limit.clamp(1, PAGE);
        blocking(move || store.find(&query, from, limit).map_err(|error| unreadable(&error))).await
    }

    /// Who may lock or administer reads the whole ledger, as they see every event.
    fn reads_all(&self, caller: &Caller) -> Result<(), AppError> {
        let (rules, now) = (self.rules(), self.engine.now());
        if rules.may(caller, Action::Lock, now) {
            return Ok(());
        }
        rules.demand(caller, Action::Administer, now)
    }

    /// The signed checkpoint of what is durable now. It is no secret: anybody who is logged in may witness it.
    ///
    /// # Errors
    /// A proxy asked.
    pub fn checkpoint(&self, caller: &Caller) -> Result<Signed, AppError> {
        caller.identity()?;
        let head = self.engine.store().durable();
        let checkpoint = Checkpoint { origin: self.settings.origin.clone(), size: head.next.0, root: head.root };
        let note = checkpoint.sign(&self.checkpoints).map_err(|error| AppError::Internal(error.to_string()))?;
        Ok(Signed { checkpoint, note })
    }

    /// The ledger's public key, as a signed-note verifier key.
    #[must_use]
    pub fn ledger_key(&self) -> String {
        self.checkpoints.verifier().to_string()
    }

    /// Proves that a record is among the first `size`; `None`: among those that are durable now.
    ///
    /// # Errors
    /// The caller may neither lock nor administer, or there is no such record.
    pub async fn proof(&self, caller: &Caller, seq: Seq, size: Option<u64>) -> Result<Proof, AppError> {
        self.reads_all(caller)?;
        let store = self.store();
        blocking(move || {
            let size = size.unwrap_or_else(|| store.durable().next.0);
            if seq.0 >= size || size > store.durable().next.0 {
                return Err(AppError::not_found("proof for record", format_args!("{seq} among {size}")));
            }
            let path = store.inclusion_proof(seq, size).map_err(|error| unreadable(&error))?;
            let root = store.root_at(size).map_err(|error| unreadable(&error))?;
            let record = store.read(seq, 1).map_err(|error| unreadable(&error))?.into_iter().next();
            let record = record.ok_or_else(|| AppError::not_found("record", seq))?;
            let record = ::ledger::encode(&record).map_err(|error| AppError::Internal(error.to_string()))?;
            Ok(Proof { record, path, root })
        })
        .await
    }

    /// What a request was that the state has forgotten.
    pub(super) async fn spec_from_ledger(&self, id: &RequestId) -> Option<RequestSpec> {
        let query = Query { correlation: Some(id.into()), kind: Some("request.filed".to_owned()), ..Query::default() };
        let store = self.store();
        let found = blocking(move || store.find(&query, Seq(0), 1).map_err(|error| unreadable(&error))).await;
        let found = found.ok()?.into_iter().next()?;
        if let Fact::RequestFiled { spec, .. } = found.entry.fact { Some(spec) } else { None }
    }

    /// The digest of a certificate that was handed out, and how it was bought, that the state has forgotten.
    pub(super) async fn issued_from_ledger(&self, serial: Serial) -> Result<Option<(String, Bought)>, AppError> {
        let subject = Some(Subject::from_text(format!("certificate:{serial}")));
        let query = Query { subject, ..Query::default() };
        let store = self.store();
        // A certificate has an intent, and at most one outcome.
        let found = blocking(move || store.find(&query, Seq(0), 2).map_err(|error| unreadable(&error))).await?;
        let (mut digest, mut bought) = (None, None);
        for record in found {
            if let Fact::CertificateIntended { bought_with, .. } = &record.entry.fact {
                bought = Some(Bought { at: record.entry.time, with: bought_with.clone() });
            }
            if let Fact::CertificateIssued { sha256, .. } = record.entry.fact {
                digest = Some(sha256);
            }
        }
        Ok(digest.zip(bought))
    }

    pub(super) fn store(&self) -> std::sync::Arc<dyn Store> {
        std::sync::Arc::clone(self.engine.store())
    }
}

/// What all facts of one kind tell of what is asked for.
pub(super) fn told<T>(store: &dyn Store, kind: &str, of: impl Fn(Fact) -> Option<T>) -> Result<Vec<T>, AppError> {
    let query = Query { kind: Some(kind.to_owned()), ..Query::default() };
    let found = store.find(&query, Seq(0), usize::MAX).map_err(|error| unreadable(&error))?;
    Ok(found.into_iter().filter_map(|record| of(record.entry.fact)).collect())
}

/// A ledger that cannot be read, or that does not reach so far.
pub(super) fn unreadable(error: &StoreError) -> AppError {
    if let StoreError::Proof(_) | StoreError::Range { .. } = error {
        AppError::Invalid(error.to_string())
    } else {
        unavailable(error)
    }
}
