//! The feed of facts, as each caller may see it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::Token;
use model::{Record, Seq};
use store::{Follower, StoreError};
use tokio::sync::watch;

use super::ledger::unreadable;
use super::sight::Sight;
use super::{App, AppError, Caller};

/// After so long without a fact, the feed says that it is alive.
const QUIET: Duration = Duration::from_secs(5);
/// What policy said is asked anew after so long: it may depend on the time of the day.
const STALE: Duration = Duration::from_secs(60);

/// A feed of facts. It ends when its caller's session token does, or a lock falls on them.
pub struct Feed {
    app: Arc<App>,
    token: Token,
    address: IpAddr,
    follower: Follower,
    sight: Sight,
    seen: Instant,
    closing: watch::Receiver<bool>,
}

/// What a feed tells.
#[derive(Debug)]
pub enum Told {
    /// A fact, in the order of the ledger.
    Fact(Box<Record>),
    /// Nothing new that the caller may see; everything before this place was told.
    Quiet(Seq),
}

enum Woken {
    Record(Box<Result<Record, StoreError>>),
    Closing,
    Quiet,
}

impl App {
    /// Follows the ledger from `from` on: every fact that the caller may see, once and in order.
    ///
    /// # Errors
    /// The ledger does not reach that far.
    pub fn events(self: &Arc<Self>, caller: &Caller, token: &str, from: Option<Seq>) -> Result<Feed, AppError> {
        caller.unlocked()?;
        caller.directly()?;
        let token = Token::from_text(token).map_err(|_| AppError::Unauthenticated)?;
        let end = self.engine.store().durable().next;
        let from = from.unwrap_or(end);
        if from > self.engine.tail() {
            return Err(AppError::Invalid(format!("the ledger has only {end} records; is this the right one?")));
        }
        Ok(Feed {
            follower: self.engine.store().follow(from),
            sight: Sight::new(self, caller),
            seen: Instant::now(),
            closing: self.closing.subscribe(),
            app: Arc::clone(self),
            token,
            address: caller.address(),
        })
    }
}

impl Feed {
    /// What comes next; `None` when the feed has ended.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn next(&mut self) -> Result<Option<Told>, AppError> {
        let quiet = tokio::time::sleep(QUIET);
        tokio::pin!(quiet);
        loop {
            let woken = tokio::select! {
                biased;
                record = self.follower.next() => Woken::Record(Box::new(record)),
                _ = self.closing.wait_for(|closing| *closing) => Woken::Closing,
                () = &mut quiet => Woken::Quiet,
            };
            let record = match woken {
                Woken::Record(record) => match *record {
                    Ok(record) => record,
                    Err(StoreError::Closed) => return Ok(None),
                    Err(error) => return Err(unreadable(&error)),
                },
                Woken::Closing => return Ok(None),
                Woken::Quiet => return Ok(self.welcome().then(|| Told::Quiet(self.follower.position()))),
            };
            // A fact may be the very one that takes the right to see it away.
            if !self.welcome() {
                return Ok(None);
            }
            if self.sight.record(&self.app, &record).await {
                return Ok(Some(Told::Fact(Box::new(record))));
            }
        }
    }

    /// Whether the caller is still logged in and not locked; renews what is remembered of their rights.
    fn welcome(&mut self) -> bool {
        let Ok(caller) = self.app.authenticate(self.token.expose(), self.address) else { return false };
        if caller.unlocked().is_err() {
            return false;
        }
        if !self.sight.is_current(&self.app) || self.seen.elapsed() > STALE {
            self.sight = Sight::new(&self.app, &caller);
            self.seen = Instant::now();
        }
        true
    }
}
