//! A source and the plain filters downstream of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tidegate_config::RetryOptions;
use tidegate_sdk::{Class, Source, SourceBatch};
use tokio_util::sync::CancellationToken;

use super::Head;
use crate::budget::Budget;
use crate::chain::Chain;
use crate::checkpoint::{Checkpoint, Place};
use crate::failure::Failure;
use crate::graph_tasks::panicked;
use crate::lane::Lane;
use crate::parcel::Parcel;
use crate::settling::Settling;
use crate::status::Health;
use crate::tries::Tries;

/// Whether the graph is restarted after a failure of its source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    Yes,
    No,
}

/// A source with what it needs to run.
pub(crate) struct Reader {
    pub(crate) head: Head,
    pub(crate) source: Box<dyn Source>,
    pub(crate) chain: Chain,
    pub(crate) lane: Arc<Lane>,
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) budget: Budget,
    /// Where what becomes of its batches is gathered, if the sink acknowledges for it.
    pub(crate) settling: Option<Arc<Settling>>,
    /// Cancelled when the pipeline drains.
    pub(crate) stopping: CancellationToken,
}

impl Reader {
    /// Reads to the end of the input, or until the pipeline drains; then waits until everything that was read
    /// has ended.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let hard_stop = self.head.hard_stop().clone();
        let resumed = self.resume().await?;
        if !resumed {
            self.head.states.resumed(self.head.node, None);
        }
        let cx = self.head.cx.clone();
        let mut tries = Tries::new(&RetryOptions::default(), &self.head.meter, &cx, &hard_stop);
        self.chain.set_health(&Health::Ready);
        let mut failure = None;
        if resumed {
            match tries.open(&mut self.source, &self.stopping).await {
                Ok(false) => {}
                Ok(true) => {
                    self.lane.set_committer(self.source.committer());
                    failure = self.read(&mut tries).await?;
                }
                Err(Failure::Stopped) => return Err(Failure::Stopped),
                Err(fatal) => failure = Some(fatal),
            }
        }
        let failed = failure.map(|failure| self.failed(failure));
        self.chain.save(&self.head.states).await;
        let Self { head, mut source, chain, lane, checkpoint, .. } = self;
        // Whatever reads from here sees the end when the edges are dropped.
        let (cx, meter) = (head.cx.clone(), Arc::clone(&head.meter));
        chain.set_health(&Health::Ended);
        drop((head, chain));
        tokio::select! {
            () = lane.settled() => {}
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        // The source hears what is safe as long as it is there to hear it.
        tokio::select! {
            stored = lane.store(&checkpoint) => if let Err(error) = stored {
                tracing::error!(component = meter.name(), "the position cannot be stored: {error}");
            },
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        if failed == Some(Restart::Yes) {
            // It panicked, so nothing more can be asked of it.
            return Ok(());
        }
        tokio::select! {
            closed = source.close(&cx) => if let Err(error) = closed {
                tracing::warn!(component = meter.name(), "closing: {error}");
            },
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        cx.tasks().joined().await;
        if failed.is_none() {
            meter.set_health(Health::Ended);
        }
        Ok(())
    }

    /// Ends the run with this failure of the source, as soon as everything that was read is delivered.
    fn failed(&self, failure: Failure) -> Restart {
        let meter = &self.head.meter;
        let (restart, reason) = match &failure {
            Failure::Crashed(reason) | Failure::Replay(reason) => (Restart::Yes, reason),
            Failure::Fatal(reason) => (Restart::No, reason),
            Failure::Stopped => return Restart::No,
        };
        if self.lane.in_flight().0 > 0 {
            let events = self.lane.in_flight().0;
            tracing::warn!(
                component = meter.name(),
                events,
                "stops reading, and delivers what was read: {reason}"
            );
        }
        meter.set_health(Health::Unhealthy(reason.clone()));
        self.head.tasks.wind_down(failure);
        restart
    }

    /// Finds out where to go on. False if the pipeline drains before that is known.
    async fn resume(&mut self) -> Result<bool, Failure> {
        let name = self.head.meter.name();
        let mut places = self.checkpoint.load().map_err(|problem| Failure::fatal(name, problem))?;
        if let Some(claims) = &self.head.claims {
            tokio::select! {
                () = claims.all_claimed(name) => {}
                () = self.stopping.cancelled() => return Ok(false),
                () = self.head.hard_stop().cancelled() => return Err(Failure::Stopped),
            }
            places = claims.resume(name, &places).map_err(|problem| Failure::fatal(name, problem))?;
        }
        let position = |(partition, place): (&String, &Place)| {
            place.record.position.clone().map(|position| (partition.clone(), position))
        };
        self.head.cx = self.head.cx.clone().with_resume(places.iter().filter_map(position).collect());
        self.head.states.resumed(self.head.node, Some(&places));
        self.lane.resume(places);
        self.chain.restore(&self.head.states).await;
        Ok(true)
    }

    /// Reads to the end. A failure of the source itself is returned beside, because what was read is delivered first.
    async fn read(&mut self, tries: &mut Tries) -> Result<Option<Failure>, Failure> {
        loop {
            let since = Instant::now();
            let next = AssertUnwindSafe(self.source.next(&self.head.cx)).catch_unwind();
            let next = tokio::select! {
                next = next => next,
                () = self.head.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            self.head.meter.waited_upstream(since);
            let next = match next {
                Ok(next) => next,
                Err(panic) => return Ok(Some(panicked(&*panic))),
            };
            match next {
                Ok(Some(read)) => {
                    tries.went_well();
                    self.pass(read).await?;
                }
                Ok(None) => return Ok(None),
                Err(error) if error.class() != Class::Fatal && self.head.cx.is_stopping() => {
                    tracing::warn!(component = self.head.meter.name(), "stops reading: {error}");
                    return Ok(None);
                }
                Err(error) => match tries.again(&error).await {
                    Ok(_) => {}
                    Err(Failure::Stopped) => return Err(Failure::Stopped),
                    Err(failure) => return Ok(Some(failure)),
                },
            }
        }
    }

    /// Sends one batch on its way, once the budget allows it.
    async fn pass(&mut self, read: SourceBatch) -> Result<(), Failure> {
        let replaced = read.is_replaced_input();
        let SourceBatch { batch, rejected, receipts, client, settled } = read;
        if replaced {
            self.lane.replaced_input(&batch.runs()[0].origin.partition);
        }
        let batch = self.lane.stamp(batch, client.as_ref());
        self.head.meter.took(&batch);
        self.head.meter.gave(&batch);
        let since = Instant::now();
        let room = async {
            let room = match &self.settling {
                Some(settling) => Some((settling, settling.room().await)),
                None => None,
            };
            (self.budget.charge(batch.cost()).await, room)
        };
        let (charge, room) = tokio::select! {
            room = room => room,
            () = self.head.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        self.head.meter.waited_downstream(since);
        let settle = Arc::clone(&self.lane).reading(&batch, charge, settled);
        let parcel = match (room, receipts) {
            (None, _) => Parcel::root(batch, settle),
            (Some((settling, room)), Some(receipts)) => settling.begin(batch, receipts, room, settle),
            (Some(_), None) => {
                let reason = "a batch came without what the sink is to acknowledge it with";
                return Err(Failure::fatal(self.head.meter.name(), reason));
            }
        };
        if !rejected.is_empty() {
            let refused = self.head.outlets.refused(self.head.node, parcel.share(), rejected).await;
            refused.map_err(|failure| self.head.fail(failure))?;
        }
        if parcel.batch().is_empty() {
            parcel.done();
            return Ok(());
        }
        let leaving = self.chain.apply(&self.head, self.head.node, parcel).await;
        let leaving = leaving.map_err(|failure| self.head.fail(failure))?;
        self.head.send(leaving).await
    }
}
