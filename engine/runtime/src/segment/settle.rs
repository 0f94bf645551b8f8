//! A sink that acknowledges for its sources: it settles source batches one by one, with all that became of each.

use std::sync::Arc;

use tidegate_sdk::{Class, Delivery};
use tokio_stream::StreamExt;

use super::Head;
use super::sink::{Writer, all};
use crate::edge::EdgeReceiver;
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;
use crate::parcel::Parcel;
use crate::settling::{Settlement, Settling};
use crate::tries::Tries;

/// Runs the instances of a sink. What comes is gathered; each instance settles one source batch at a time.
pub(crate) async fn run(
    head: Head,
    writers: Vec<Writer>,
    mut input: EdgeReceiver,
    settling: Arc<Settling>,
    tasks: GraphTasks,
) -> Result<(), Failure> {
    for writer in writers {
        tasks.spawn(writer.settle_all(Arc::clone(&settling)));
    }
    loop {
        let parcel = tokio::select! {
            parcel = input.next() => parcel,
            () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        match parcel {
            Some(parcel) => settling.gather(parcel),
            None => return Ok(()),
        }
    }
}

impl Writer {
    async fn settle_all(mut self, settling: Arc<Settling>) -> Result<(), Failure> {
        let Some(mut tries) = self.open().await? else { return Ok(()) };
        loop {
            let due = tokio::select! {
                due = settling.next(&self.head.idle) => due,
                () = self.head.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            match due {
                Some(settlement) => self.settle(&mut tries, settlement).await?,
                None => return self.close().await,
            }
        }
    }

    /// Settles one source batch. What the sink rejects of it goes to the dead letters first, and is durable
    /// there before its entry is acknowledged.
    async fn settle(&mut self, tries: &mut Tries, settlement: Settlement) -> Result<(), Failure> {
        let Settlement { mut parcel, receipts, entries } = settlement;
        self.head.meter.took(parcel.batch());
        loop {
            let delivery = loop {
                let head = &self.head;
                let busy = head.meter.busy();
                let settled = tokio::select! {
                    settled = self.sink.settle(parcel.batch(), &receipts, &head.cx) => settled,
                    () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
                };
                drop(busy);
                match settled {
                    Ok(delivery) => break delivery,
                    Err(error) if error.class() == Class::Reject => {
                        break rejected(&parcel, &error.to_string());
                    }
                    // It is never given up: nobody could tell whether a try that got no answer was done.
                    Err(error) => drop(tries.again(&error).await?),
                }
            };
            let elsewhere = delivery.elsewhere().to_vec();
            let (bad, _) = delivery.into_parts();
            if bad.is_empty() {
                tries.went_well();
                self.head.done_elsewhere(elsewhere.len());
                self.head.answer(parcel, Vec::new(), &elsewhere, 1).await?;
                entries.done();
                return Ok(());
            }
            let refused = |event: &usize| bad.iter().any(|rejection| rejection.event == *event);
            let good: Vec<usize> = (0..parcel.batch().len()).filter(|event| !refused(event)).collect();
            let rest = parcel.select(good.iter().copied());
            self.head.answer(parcel, bad, &good, 1).await?;
            parcel = rest;
        }
    }
}

impl Head {
    /// Counts events that were done by another process, and tells of them.
    fn done_elsewhere(&self, events: usize) {
        if events > 0 {
            self.meter.done_elsewhere(events);
            tracing::info!(component = self.meter.name(), events, "done by another worker before");
        }
    }
}

fn rejected(parcel: &Parcel, reason: &str) -> Delivery {
    let mut delivery = Delivery::complete();
    all(parcel, reason).into_iter().for_each(|one| delivery.reject(one.event, one.reason));
    delivery
}
