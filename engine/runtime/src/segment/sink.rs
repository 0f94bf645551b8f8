//! A sink behind its edge: batches are cut to its size, written, tried again, and answered for.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_config::RetryOptions;
use tidegate_sdk::{Claim, Class, Delivery, Error, Rejection, Sink};
use tokio::sync::{Mutex, mpsc};

use super::Head;
use super::cutter::Cutter;
use crate::chain::{Leaving, reject};
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;
use crate::parcel::Parcel;
use crate::status::Health;
use crate::tries::{FailureCounts, Tries};

/// One instance of a sink.
pub(crate) struct Writer {
    pub(crate) head: Head,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) retry: RetryOptions,
    /// With which it claims its lanes, if the graph is effectively-once.
    pub(crate) claim: Claim,
}

/// Runs the instances of a sink, each with one write at a time. With several, order is not kept.
pub(crate) async fn run(
    head: Head,
    mut writers: Vec<Writer>,
    cutter: Cutter,
    tasks: GraphTasks,
) -> Result<(), Failure> {
    match writers.pop() {
        Some(only) if writers.is_empty() => run_alone(only, cutter).await,
        last => run_together(head, writers.into_iter().chain(last), cutter, &tasks).await,
    }
}

async fn run_alone(mut writer: Writer, mut cutter: Cutter) -> Result<(), Failure> {
    let Some(mut tries) = writer.open().await? else { return Ok(()) };
    while let Some(parcel) = cutter.next(&writer.head).await? {
        writer.write(&mut tries, parcel).await?;
    }
    writer.close().await
}

async fn run_together(
    head: Head,
    writers: impl Iterator<Item = Writer>,
    mut cutter: Cutter,
    tasks: &GraphTasks,
) -> Result<(), Failure> {
    let (deal, waiting) = mpsc::channel::<Parcel>(1);
    let waiting = Arc::new(Mutex::new(waiting));
    for mut writer in writers {
        let waiting = Arc::clone(&waiting);
        tasks.spawn(async move {
            let Some(mut tries) = writer.open().await? else { return Ok(()) };
            loop {
                let parcel = waiting.lock().await.recv().await;
                match parcel {
                    Some(parcel) => writer.write(&mut tries, parcel).await?,
                    None => return writer.close().await,
                }
            }
        });
    }
    drop(waiting);
    while let Some(parcel) = cutter.next(&head).await? {
        tokio::select! {
            sent = deal.send(parcel) => sent.map_err(|_| Failure::Stopped)?,
            () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
        }
    }
    Ok(())
}

impl Writer {
    /// `None` if it was not open before there was nothing left to write.
    pub(super) async fn open(&mut self) -> Result<Option<Tries>, Failure> {
        let head = &self.head;
        // Opening has no limit on its tries: nothing has been asked of the sink yet that could be given up.
        let patient = RetryOptions { attempts: None, ..self.retry };
        let mut opening = Tries::new(&patient, &head.meter, &head.cx, head.hard_stop());
        let opened = opening.open(&mut self.sink, &head.idle).await? && self.claim(&mut opening).await?;
        let head = &self.head;
        Ok(opened.then(|| Tries::new(&self.retry, &head.meter, &head.cx, head.hard_stop())))
    }

    /// Writes a parcel until each of its events is delivered or rejected.
    async fn write(&mut self, tries: &mut Tries, parcel: Parcel) -> Result<(), Failure> {
        self.head.meter.took(parcel.batch());
        if let Some(claims) = self.head.claims.clone() {
            return self.commit(&claims, tries, parcel).await;
        }
        let mut parcel = parcel;
        let mut counts = FailureCounts::new(parcel.batch().len());
        loop {
            let head = &self.head;
            if let Some(live) = parcel.batch().without_cancelled() {
                counts.select(&live);
                parcel = parcel.only(&live, &head.meter);
                if live.is_empty() {
                    tries.cancelled();
                    parcel.done();
                    return Ok(());
                }
            }
            let busy = head.meter.busy();
            let written = tokio::select! {
                written = self.sink.write(parcel.batch(), &head.cx) => written,
                () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let Written { rejected, left, error, alone, done } = judge(written, &parcel, &mut counts, tries);
            let attempts = if alone { counts.most() } else { tries.failures() + 1 };
            let rest = error.map(|error| (parcel.select(left.iter().copied()), error));
            head.answer(parcel, rejected, &left, attempts).await?;
            let Some((rest, error)) = rest else {
                tries.went_well();
                return Ok(());
            };
            counts.select(&left);
            if done {
                tries.progressed();
            }
            if alone {
                if counts.most() > 0 {
                    tries.pause_for(&error, rest.batch()).await?;
                }
                parcel = rest;
                continue;
            }
            if !tries.again_for(&error, rest.batch()).await? {
                let reason = format!("given up after {attempts} tries: {error}");
                let rejected = all(&rest, &reason);
                return head.answer(rest, rejected, &[], attempts).await;
            }
            parcel = rest;
        }
    }

    pub(super) async fn close(mut self) -> Result<(), Failure> {
        let head = &self.head;
        let closed = tokio::select! {
            closed = self.sink.close(&head.cx) => closed,
            () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        if let Err(error) = closed {
            tracing::warn!(component = head.meter.name(), "closing: {error}");
        }
        head.cx.tasks().joined().await;
        head.meter.set_health(Health::Ended);
        Ok(())
    }
}

/// The outcome of one write.
struct Written {
    rejected: Vec<Rejection>,
    /// The events that are to be written again, with the reason.
    left: Vec<usize>,
    error: Option<Error>,
    /// Whether the tries are counted for each event, because the sink said which ones failed alone.
    alone: bool,
    /// Whether any event needs no further write although others do, and failed alone.
    done: bool,
}

/// Sorts the events of `parcel` by what was written of them. Events that failed alone and have used up their
/// attempts are rejected, each with its own reason.
fn judge(
    written: Result<Delivery, Error>,
    parcel: &Parcel,
    counts: &mut FailureCounts,
    tries: &Tries,
) -> Written {
    let everything = 0..parcel.batch().len();
    let (mut rejected, again, failed) = match written {
        Ok(mut delivery) => {
            let failed = delivery.take_failed();
            let (rejected, again) = delivery.into_parts();
            (rejected, again, failed)
        }
        Err(error) if error.class() == Class::Reject => (all(parcel, &error.to_string()), None, Vec::new()),
        Err(error) => (Vec::new(), Some((everything.clone().collect(), error)), Vec::new()),
    };
    let alone = !failed.is_empty();
    let (mut left, error) = again.map_or((Vec::new(), None), |(events, error)| (events, Some(error)));
    let given_up = counts.count(failed, tries.attempts());
    if !given_up.is_empty() {
        let events: HashSet<usize> = given_up.iter().map(|rejection| rejection.event).collect();
        left.retain(|event| !events.contains(event));
        rejected.extend(given_up);
    }
    let done = alone && left.len() < everything.len();
    let error = error.filter(|_| !left.is_empty());
    Written { rejected, left, error, alone, done }
}

impl Head {
    /// Counts and answers for the events of `parcel`: some were rejected, those in `left` are still under way
    /// in a parcel of their own, and the others are delivered.
    pub(super) async fn answer(
        &self,
        parcel: Parcel,
        rejected: Vec<Rejection>,
        left: &[usize],
        attempts: u32,
    ) -> Result<(), Failure> {
        let away = left.iter().copied().chain(rejected.iter().map(|rejection| rejection.event));
        self.meter.gave_but(parcel.batch(), away);
        let refused = reject(self.node, &self.meter, &parcel, rejected);
        parcel.done();
        match refused {
            Some(Leaving::Rejected { node, parcel, reasons }) => {
                self.outlets.rejected(node, parcel, reasons, attempts).await
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn all(parcel: &Parcel, reason: &str) -> Vec<Rejection> {
    (0..parcel.batch().len()).map(|event| Rejection { event, reason: reason.to_owned() }).collect()
}
