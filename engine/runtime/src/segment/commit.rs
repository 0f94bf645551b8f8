//! How a sink of an effectively-once graph is written: each batch together with the record of its lane.

use tidegate_sdk::{Batch, Class, Delivery, Lane, Record, Rejection};

use super::sink::{Writer, all};
use crate::claims::Claims;
use crate::failure::Failure;
use crate::parcel::Parcel;
use crate::status::Health;
use crate::tries::Tries;

impl Writer {
    /// Takes over the sink's lanes, if the graph is effectively-once. False if nothing is left to be written.
    pub(super) async fn claim(&mut self, tries: &mut Tries) -> Result<bool, Failure> {
        let head = &self.head;
        let Some(claims) = &head.claims else { return Ok(true) };
        loop {
            let claimed = tokio::select! {
                claimed = self.sink.claim(&self.claim, &head.cx) => claimed,
                () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
                () = head.idle.cancelled() => return Ok(false),
            };
            match claimed {
                Ok(records) => {
                    claims.claimed(head.meter.name(), records);
                    head.meter.set_health(Health::Ready);
                    return Ok(true);
                }
                Err(error) => {
                    tries.again(&error).await?;
                }
            }
        }
    }

    /// Commits a parcel, which is of one lane, with its record.
    pub(super) async fn commit(
        &mut self,
        claims: &Claims,
        tries: &mut Tries,
        parcel: Parcel,
    ) -> Result<(), Failure> {
        let meter = std::sync::Arc::clone(&self.head.meter);
        let name = meter.name();
        let origin = &parcel.batch().origin(0);
        let lane = Lane { source: origin.source.clone(), partition: origin.partition.clone() };
        let Some(parcel) = not_done(parcel, claims.done_when_claimed(name, &lane)) else { return Ok(()) };
        if number(parcel.batch(), 0) < claims.done(name, &lane) {
            let reason = "events come out of order, or one event in several batches, so a record cannot say \
                          which are done";
            return Err(Failure::fatal(name, reason));
        }
        let record = record(parcel.batch());
        let mut parcel = parcel;
        loop {
            let rejected = self.commit_until_answered(tries, &parcel, &lane, &record).await?;
            if rejected.is_empty() {
                claims.committed(name, &lane, record.done);
                tries.went_well();
                return self.head.answer(parcel, Vec::new(), &[], 1).await;
            }
            // Nothing was written. The bad events go to the dead letters, and the others are committed.
            let bad: Vec<usize> = rejected.iter().map(|rejection| rejection.event).collect();
            let good: Vec<usize> = (0..parcel.batch().len()).filter(|event| !bad.contains(event)).collect();
            let rest = parcel.select(good.iter().copied());
            self.head.answer(parcel, rejected, &good, 1).await?;
            parcel = rest;
        }
    }

    /// The events that the sink rejects, in which case nothing was written.
    async fn commit_until_answered(
        &mut self,
        tries: &mut Tries,
        parcel: &Parcel,
        lane: &Lane,
        record: &Record,
    ) -> Result<Vec<Rejection>, Failure> {
        loop {
            let head = &self.head;
            let busy = head.meter.busy();
            let committed = tokio::select! {
                committed = self.sink.commit(parcel.batch(), lane, record, &head.cx) => committed,
                () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let error = match committed {
                Ok(delivery) => match Delivery::into_parts(delivery) {
                    (rejected, None) => return Ok(rejected),
                    (_, Some((_, error))) => error,
                },
                Err(error) if error.class() == Class::Reject => return Ok(all(parcel, &error.to_string())),
                Err(error) => error,
            };
            let tried = tries.failures() + 1;
            if !tries.again(&error).await? {
                let reason = format!("given up after {tried} tries: {error}");
                return Ok(all(parcel, &reason));
            }
        }
    }
}

/// The number of an event within its partition.
fn number(batch: &Batch, event: usize) -> u64 {
    batch.origin(event).first + u64::from(batch.source_index(event))
}

/// The events of `parcel` from number `done` on; the others were done before this process began.
fn not_done(parcel: Parcel, done: u64) -> Option<Parcel> {
    let count = parcel.batch().len();
    let first = (0..count).find(|event| number(parcel.batch(), *event) >= done);
    match first {
        Some(0) => Some(parcel),
        Some(first) => {
            let rest = parcel.select(first..count);
            parcel.done();
            Some(rest)
        }
        None => {
            parcel.done();
            None
        }
    }
}

/// How far the lane is when these events are done.
fn record(batch: &Batch) -> Record {
    let last = batch.len() - 1;
    let origin = batch.origin(last);
    let done = number(batch, last) + 1;
    match (&origin.position, done == origin.first + u64::from(origin.events)) {
        (Some(position), true) => Record { position: Some(position.clone()), base: done, done },
        _ => Record { position: origin.before.clone(), base: origin.first, done },
    }
}
