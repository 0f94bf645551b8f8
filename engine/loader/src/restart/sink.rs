//! A sink that is restarted when it breaks, and receives its unfinished batch again.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_sdk::{
    Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Receipts, Record, Sink, async_trait,
};

use super::bisect::{Bisection, Verdict};
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{drop_if_broken, gave_up, lifecycle_result, reason};
use crate::link::{Fault, Link, SinkLink};

/// A sink that is restarted when it breaks.
pub(crate) struct RestartingSink {
    spec: InstanceSpec,
    link: Option<Box<dyn SinkLink>>,
    policy: RestartPolicy,
    /// True if an instance broke while it acknowledged the current entries, so that it is unknown which are done.
    doubtful: bool,
}

impl RestartingSink {
    pub(crate) fn new(spec: InstanceSpec) -> Self {
        Self { policy: RestartPolicy::new(&spec), spec, link: None, doubtful: false }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Sink(mut link) = self.spec.create(cx).await? else {
            return Err(Error::fatal("the plugin is no sink any more"));
        };
        lifecycle_result(link.open(cx).await, "opened")?;
        self.link = Some(link);
        Ok(())
    }

    /// The instance; a new one if the last one broke.
    async fn started(&mut self, cx: &Cx) -> Result<&mut dyn SinkLink, Error> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        Ok(self.link.as_deref_mut().expect("the instance is started"))
    }

    async fn write_once(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Fault> {
        let written = self.started(cx).await?.write(batch, cx).await;
        drop_if_broken(&mut self.link, written)
    }

    async fn acknowledge_once(
        &mut self,
        batch: &Batch,
        receipts: &Receipts,
        cx: &Cx,
    ) -> Result<Delivery, Fault> {
        let settled = self.started(cx).await?.settle(batch, receipts, cx).await;
        drop_if_broken(&mut self.link, settled)
    }

    /// The result of a call within a transaction. After a break the graph restarts from the stored records.
    fn in_transaction<T>(&mut self, result: Result<T, Fault>, cx: &Cx) -> Result<T, Error> {
        result.map_err(|fault| match fault {
            Fault::Error(error) => error,
            Fault::Broken(why) => {
                self.link = None;
                match self.policy.broke(cx.component(), &why) {
                    // The restart of the graph has a delay of its own.
                    Ok(_) => Error::replay(format!("the plugin {why}")),
                    Err(error) => error,
                }
            }
        })
    }
}

#[async_trait]
impl Sink for RestartingSink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let mut bisection = Bisection::of(batch.len());
        let mut delivery = Delivery::complete();
        while let Some(range) = bisection.next() {
            let whole = range.len() == batch.len();
            let part = if whole { batch.clone() } else { batch.select(range.clone()) };
            match self.write_once(&part, cx).await {
                Ok(part) => {
                    let (rejected, again) = part.into_parts();
                    rejected.into_iter().for_each(|one| delivery.reject(one.event + range.start, one.reason));
                    if let Some((events, error)) = again {
                        delivery.again(events.into_iter().map(|event| event + range.start), error);
                    }
                    bisection.survived();
                }
                Err(Fault::Error(error)) if whole => return Err(error),
                // The parts before are delivered; the rest is retried.
                Err(Fault::Error(error)) => {
                    delivery.again(range.start..batch.len(), error);
                    return Ok(delivery);
                }
                Err(Fault::Broken(why)) => {
                    let pause = self.policy.broke_at(whole, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(event) => {
                            self.policy.found_cause();
                            delivery.reject(event, reason(&why));
                        }
                        Verdict::GiveUp => {
                            delivery.again(range.start..batch.len(), gave_up(&why));
                            return Ok(delivery);
                        }
                    }
                }
            }
        }
        Ok(delivery)
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.spec.capabilities.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.spec.capabilities.warnings.clone()
    }

    fn transactional(&self) -> Result<(), String> {
        self.spec.capabilities.transactional.clone()
    }

    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        let Some(link) = self.link.as_mut() else {
            return Err(Error::replay("the plugin is not there any more"));
        };
        let claimed = link.claim(claim, cx).await;
        self.in_transaction(claimed, cx)
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let Some(link) = self.link.as_mut() else {
            return Err(Error::replay("the plugin is not there any more"));
        };
        let committed = link.commit(batch, lane, record, cx).await;
        self.in_transaction(committed, cx)
    }

    fn domain(&self) -> Result<String, String> {
        self.spec.capabilities.transaction_domain.clone()
    }

    /// After a break it is unknown which entries are done, as after a lost response. The server knows: an entry is
    /// acknowledged and written in one step, and only once. So the next instance receives the same entries and handles
    /// those that are left. Late requests of the broken instance do no harm. Neither a claim nor a restart of the graph
    /// is needed.
    ///
    /// A batch that breaks the plugin each time is halved between entries, because the events of one entry stay
    /// together. If a single entry breaks the plugin, its events become dead letters, and the entry is retried without
    /// them. (If the plugin breaks only after the response of the server, the events are both dead letters and
    /// delivered, but not lost.)
    ///
    /// Entries reported as already done after a break may have been done by the broken instance, and are not counted as
    /// done elsewhere.
    async fn settle(&mut self, batch: &Batch, receipts: &Receipts, cx: &Cx) -> Result<Delivery, Error> {
        let all = receipts.range();
        let mut bisection = Bisection::of(all.len());
        let mut delivery = Delivery::complete();
        while let Some(range) = bisection.next() {
            let whole = range.len() == all.len();
            let entries = all.start + range.start..all.start + range.end;
            let events = events_of(batch, &entries, whole);
            let part = if whole { batch.clone() } else { batch.select(events.iter().copied()) };
            match self.acknowledge_once(&part, &receipts.part(entries), cx).await {
                Ok(settled) => {
                    let elsewhere = settled.elsewhere().iter().filter(|_| !self.doubtful);
                    elsewhere.for_each(|event| delivery.done_elsewhere(events[*event]));
                    let (rejected, _) = settled.into_parts();
                    rejected.into_iter().for_each(|one| delivery.reject(events[one.event], one.reason));
                    bisection.survived();
                }
                // Entries that are done are reported as already done when they are retried.
                Err(Fault::Error(error)) => return Err(error),
                Err(Fault::Broken(why)) => {
                    self.doubtful = true;
                    let pause = self.policy.broke_at(whole, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(_) if !events.is_empty() => {
                            self.policy.found_cause();
                            events.into_iter().for_each(|event| delivery.reject(event, reason(&why)));
                        }
                        Verdict::Reject(_) | Verdict::GiveUp => return Err(gave_up(&why)),
                    }
                }
            }
        }
        // After a rejection the remaining entries come again, and many of them are done.
        self.doubtful &= !delivery.rejected().is_empty();
        Ok(delivery)
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        self.spec.capabilities.parallel.then(|| Box::new(Self::new(self.spec.clone())) as Box<dyn Sink>)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.link.take() {
            Some(mut link) => lifecycle_result(link.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

/// The events made from these entries; `whole` if these are all entries of the batch.
fn events_of(batch: &Batch, entries: &Range<usize>, whole: bool) -> Vec<usize> {
    let is_of = |event: &usize| whole || entries.contains(&(batch.source_index(*event) as usize));
    (0..batch.len()).filter(is_of).collect()
}

#[cfg(test)]
mod tests;
