//! The task that acknowledges what was delivered, and shows that the rest is still being worked on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_sdk::Error;
use tracing::warn;

use crate::server::wire::Wire;
use crate::source::ledger::Ledger;
use crate::source::member::Member;

/// For how long nothing is tried after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the end may take once a server does not answer.
const LAST_TRIES: Duration = Duration::from_secs(10);

/// What the task needs.
pub(crate) struct Release {
    pub(crate) member: Arc<Member>,
    pub(crate) ledger: Arc<Ledger>,
    /// How long after its delivery an entry is acknowledged.
    pub(crate) lag: Duration,
    /// After how long an entry is taken over by others.
    pub(crate) claim_after: Duration,
}

impl Release {
    /// Works until the source is closed and all that was delivered is acknowledged.
    pub(crate) async fn run(self) {
        let mut wire = None;
        let mut touched = Instant::now();
        let mut failing: Option<Instant> = None;
        loop {
            let changed = self.ledger.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next = match self.step(&mut wire, &mut touched).await {
                Ok(next) => {
                    failing = None;
                    next
                }
                Err(error) => {
                    wire = None;
                    let since = *failing.get_or_insert_with(|| {
                        warn!(%error, "entries cannot be acknowledged, it is tried again");
                        Instant::now()
                    });
                    if self.ledger.is_closing() && since.elapsed() > LAST_TRIES {
                        warn!("entries that were delivered are not acknowledged, and will come again");
                        return;
                    }
                    Instant::now() + PAUSE
                }
            };
            if self.ledger.is_over() {
                break;
            }
            let pause = tokio::time::sleep_until(next.into());
            // After an error a change is no reason to try again at once.
            match failing {
                Some(_) => pause.await,
                None => tokio::select! { () = changed => {}, () = pause => {} },
            }
        }
        if let Some(wire) = wire {
            wire.close().await;
        }
    }

    /// Does what is due, and says when there is more.
    async fn step(&self, wire: &mut Option<Wire>, touched: &mut Instant) -> Result<Instant, Error> {
        let (due, next) = self.ledger.take_due(self.lag);
        if !due.is_empty() {
            let since = Instant::now().checked_sub(self.lag).unwrap_or_else(Instant::now);
            let connected = self.connected(wire).await;
            let acknowledged = match connected {
                Ok(wire) => self.member.acknowledge(wire, &due).await,
                Err(error) => Err(error),
            };
            if let Err(error) = acknowledged {
                self.ledger.give_back(due, since);
                return Err(error);
            }
            self.ledger.released(&due);
        }
        if touched.elapsed() >= self.claim_after / 3 {
            let busy = self.ledger.in_flight();
            if !busy.is_empty() {
                self.member.touch(self.connected(wire).await?, &busy, self.claim_after / 4).await?;
            }
            *touched = Instant::now();
        }
        let touch = *touched + self.claim_after / 3;
        Ok(next.map_or(touch, |next| next.min(touch)))
    }

    async fn connected<'w>(&self, wire: &'w mut Option<Wire>) -> Result<&'w mut Wire, Error> {
        if wire.as_mut().is_some_and(Wire::is_closed) {
            *wire = None;
        }
        match wire {
            Some(known) => Ok(known),
            None => Ok(wire.insert(self.member.dial().await?)),
        }
    }
}
