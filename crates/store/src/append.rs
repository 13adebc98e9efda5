//! An append on its way to the disk.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use model::Record;
use tokio::sync::oneshot;

use crate::sync::block_on;
use crate::{Head, StoreError};

/// Resolves when its records are durable, to the ledger's end at that moment. Dropping it does not take them back.
#[derive(Debug)]
#[must_use = "nothing may be promised before the append is durable"]
pub struct Append {
    records: Arc<[Record]>,
    done: oneshot::Receiver<Result<Head, StoreError>>,
}

impl Append {
    pub(crate) const fn new(records: Arc<[Record]>, done: oneshot::Receiver<Result<Head, StoreError>>) -> Self {
        Self { records, done }
    }

    /// The records as they will be in the ledger. Until the append resolves they may still come to nothing.
    #[must_use]
    pub fn records(&self) -> &Arc<[Record]> {
        &self.records
    }

    /// Waits on this thread, without a runtime.
    ///
    /// # Errors
    /// The records are not in the ledger; the error says why.
    pub fn wait(self) -> Result<Head, StoreError> {
        block_on(self)
    }
}

impl Future for Append {
    type Output = Result<Head, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The writer answers every append, or is gone.
        Pin::new(&mut self.done).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}
