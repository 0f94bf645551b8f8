//! The task that acknowledges delivered entries, and gives signs of life for the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_sdk::Error;
use tracing::{info, warn};

use crate::server::connection::Connection;
use crate::source::ledger::Ledger;
use crate::source::member::Member;

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// The time limit of the last acknowledgements when a server does not answer.
const LAST_TRIES: Duration = Duration::from_secs(10);

/// The interval between two searches for dead consumers.
const LOOK_FOR_DEAD: Duration = Duration::from_secs(3600);

/// A consumer with nothing pending is dead after this time without a sign of life, or after ten times `claim_after`
/// if that is longer. A consumer that waits for entries gives one twice a second.
const DEAD_AFTER: Duration = Duration::from_secs(3600);

/// The task.
pub(crate) struct Release {
    pub(crate) member: Arc<Member>,
    pub(crate) ledger: Arc<Ledger>,
    /// The time between the delivery of an entry and its acknowledgement.
    pub(crate) lag: Duration,
    /// The time after which other consumers take an entry over.
    pub(crate) claim_after: Duration,
}

impl Release {
    /// Runs until the source is closed and all delivered entries are acknowledged.
    pub(crate) async fn run(self) {
        let mut connection = None;
        let mut touched = Instant::now();
        let mut looked = None;
        let mut failing: Option<Instant> = None;
        loop {
            let changed = self.ledger.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next = match self.work(&mut connection, &mut touched, &mut looked).await {
                Ok(next) => {
                    failing = None;
                    next
                }
                Err(error) => {
                    connection = None;
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
            // After an error the pause is kept, whatever changes.
            match failing {
                Some(_) => pause.await,
                None => tokio::select! { () = changed => {}, () = pause => {} },
            }
        }
        if let Some(connection) = connection {
            connection.close().await;
        }
    }

    async fn work(
        &self,
        connection: &mut Option<Connection>,
        touched: &mut Instant,
        looked: &mut Option<Instant>,
    ) -> Result<Instant, Error> {
        let next = self.step(connection, touched).await?;
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_FOR_DEAD) && !self.ledger.is_closing() {
            *looked = Some(Instant::now());
            let idle = DEAD_AFTER.max(self.claim_after.saturating_mul(10));
            let removed = self.member.remove_dead(self.connected(connection).await?, idle).await?;
            if !removed.is_empty() {
                let (group, count) = (&self.member.group, removed.len());
                info!(group, count, "removed consumers that are dead and have nothing pending");
            }
        }
        Ok(next)
    }

    /// Does what is due. Returns the time at which more is due.
    async fn step(
        &self,
        connection: &mut Option<Connection>,
        touched: &mut Instant,
    ) -> Result<Instant, Error> {
        let (due, next) = self.ledger.take_due(self.lag);
        if !due.ids().is_empty() {
            let connected = self.connected(connection).await;
            let acknowledged = match connected {
                Ok(connection) => self.member.acknowledge(connection, due.ids()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = acknowledged {
                self.ledger.give_back(due);
                return Err(error);
            }
            self.ledger.acknowledged(&due);
        }
        // An entry in flight gives a sign of life three times in `claim_after`. One that was just delivered needs no
        // other before it is acknowledged.
        if touched.elapsed() >= self.claim_after / 3 {
            let busy = self.ledger.busy(self.claim_after / 3);
            if !busy.is_empty() {
                self.member.touch(self.connected(connection).await?, &busy, self.claim_after / 4).await?;
            }
            *touched = Instant::now();
        }
        let touch = *touched + self.claim_after / 3;
        Ok(next.map_or(touch, |next| next.min(touch)))
    }

    async fn connected<'w>(
        &self,
        connection: &'w mut Option<Connection>,
    ) -> Result<&'w mut Connection, Error> {
        if connection.as_mut().is_some_and(Connection::is_closed) {
            *connection = None;
        }
        match connection {
            Some(known) => Ok(known),
            None => Ok(connection.insert(self.member.dial().await?)),
        }
    }
}
