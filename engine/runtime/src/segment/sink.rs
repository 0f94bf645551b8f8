//! A sink behind its edge: batches are cut to its size, written, tried again, and answered for.

use std::sync::Arc;
use std::time::Instant;

use tidegate_config::{BatchOptions, RetryOptions};
use tidegate_sdk::erased::ErasedSink;
use tidegate_sdk::{Class, Delivery, Rejection};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::StreamExt;

use super::Head;
use crate::chain::{Leaving, reject};
use crate::edge::EdgeReceiver;
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;
use crate::parcel::Parcel;
use crate::status::Health;
use crate::tries::Tries;

/// One instance of a sink.
pub(crate) struct Writer {
    pub(crate) head: Head,
    pub(crate) sink: Box<dyn ErasedSink>,
    pub(crate) retry: RetryOptions,
}

/// Cuts what comes out of an edge into batches of a sink's size.
pub(crate) struct Cutter {
    input: EdgeReceiver,
    options: BatchOptions,
    /// What was read and did not fit the batch before.
    left: Option<Parcel>,
}

impl Cutter {
    pub(crate) fn new(input: EdgeReceiver, options: BatchOptions) -> Self {
        Self { input, options, left: None }
    }

    /// The next batch: what is there, up to the sink's size; with a `linger`, what comes within that time.
    async fn next(&mut self, head: &Head) -> Result<Option<Parcel>, Failure> {
        let since = Instant::now();
        let first = match self.left.take() {
            Some(left) => Some(left),
            None => tokio::select! {
                parcel = self.input.next() => parcel,
                () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
            },
        };
        head.meter.waited_upstream(since);
        let Some(first) = first else { return Ok(None) };
        let first = self.cut(first);
        let (mut events, mut bytes) = (first.batch().len(), first.batch().bytes());
        let mut parts = vec![first];
        let until = tokio::time::Instant::now() + *self.options.linger;
        while self.left.is_none() && events < self.options.events && bytes < self.options.bytes.as_usize() {
            let more = match self.input.ready() {
                Some(more) => Some(more),
                None if self.options.linger.is_zero() || head.cx.is_stopping() => None,
                None => tokio::select! {
                    more = self.input.next() => more,
                    () = tokio::time::sleep_until(until) => None,
                    () = head.cx.stopping() => None,
                    () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
                },
            };
            let Some(more) = more else { break };
            let fits = events + more.batch().len() <= self.options.events
                && bytes + more.batch().bytes() <= self.options.bytes.as_usize();
            match fits {
                true => {
                    events += more.batch().len();
                    bytes += more.batch().bytes();
                    parts.push(more);
                }
                false => self.left = Some(more),
            }
        }
        Ok(Parcel::merge(parts))
    }

    /// The first part of `parcel` that is within the sink's size; the rest is kept for later.
    fn cut(&mut self, parcel: Parcel) -> Parcel {
        let batch = parcel.batch();
        let limit = self.options.bytes.as_usize();
        if batch.len() <= self.options.events && (batch.bytes() <= limit || batch.len() == 1) {
            return parcel;
        }
        let (mut end, mut bytes) = (0, 0);
        for payload in batch.payloads().take(self.options.events) {
            bytes += payload.len();
            if end > 0 && bytes > limit {
                break;
            }
            end += 1;
        }
        if end == batch.len() {
            return parcel;
        }
        let first = parcel.select(0..end);
        self.left = Some(parcel.select(end..batch.len()));
        parcel.done();
        first
    }
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
    async fn open(&mut self) -> Result<Option<Tries>, Failure> {
        let head = &self.head;
        // Opening has no limit on its tries: nothing has been asked of the sink yet that could be given up.
        let patient = RetryOptions { attempts: None, ..self.retry };
        let mut opening = Tries::new(&patient, &head.meter, &head.cx, head.hard_stop());
        let opened = opening.open(&mut self.sink, &head.idle).await?;
        Ok(opened.then(|| Tries::new(&self.retry, &head.meter, &head.cx, head.hard_stop())))
    }

    /// Writes a parcel until each of its events is delivered or rejected.
    async fn write(&mut self, tries: &mut Tries, parcel: Parcel) -> Result<(), Failure> {
        let mut parcel = parcel;
        self.head.meter.took(parcel.batch());
        loop {
            let head = &self.head;
            let busy = head.meter.busy();
            let written = tokio::select! {
                written = self.sink.write(parcel.batch(), &head.cx) => written,
                () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let (rejected, again) = match written {
                Ok(delivery) => Delivery::into_parts(delivery),
                Err(error) if error.class() == Class::Reject => (all(&parcel, &error.to_string()), None),
                Err(error) => (Vec::new(), Some(((0..parcel.batch().len()).collect(), error))),
            };
            let attempts = tries.failures() + 1;
            let (left, error) = again.map_or((Vec::new(), None), |(events, error)| (events, Some(error)));
            let rest = error.map(|error| (parcel.select(left.iter().copied()), error));
            head.answer(parcel, rejected, &left, attempts).await?;
            let Some((rest, error)) = rest else {
                tries.went_well();
                return Ok(());
            };
            if !tries.again(&error).await? {
                let reason = format!("given up after {attempts} tries: {error}");
                let rejected = all(&rest, &reason);
                return head.answer(rest, rejected, &[], attempts).await;
            }
            parcel = rest;
        }
    }

    async fn close(mut self) -> Result<(), Failure> {
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

impl Head {
    /// Counts and answers for the events of `parcel`: some were rejected, those in `left` are still under way
    /// in a parcel of their own, and the others are delivered.
    async fn answer(
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

fn all(parcel: &Parcel, reason: &str) -> Vec<Rejection> {
    (0..parcel.batch().len()).map(|event| Rejection { event, reason: reason.to_owned() }).collect()
}
