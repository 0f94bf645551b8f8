//! A sink that is restarted when it breaks, and receives its unfinished batch again.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_sdk::{
    AckHandles, AcknowledgingSink, Batch, Claim, Component, ConfigError, Cx, Delivery, Error, Exclusive,
    Lane, Record, Sink, TransactionalSink, async_trait,
};

use super::bisect::{Bisection, Verdict};
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{broken, drop_if_broken, gave_up, lifecycle_result, reason};

/// A sink that is restarted when it breaks.
pub(crate) struct RestartingSink {
    spec: InstanceSpec,
    instance: Option<Box<dyn Sink>>,
    policy: RestartPolicy,
    /// True if an instance broke while it acknowledged the current entries, so that it is unknown which are done.
    doubtful: bool,
}

impl RestartingSink {
    pub(crate) fn new(spec: InstanceSpec) -> Self {
        Self { policy: RestartPolicy::new(&spec), spec, instance: None, doubtful: false }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Component::Sink(mut instance) = self.spec.create(cx).await? else {
            return Err(Error::fatal("the plugin is no sink any more"));
        };
        lifecycle_result(instance.open(cx).await, "opened")?;
        self.instance = Some(instance);
        Ok(())
    }

    /// The instance; a new one if the last one broke.
    async fn started(&mut self, cx: &Cx) -> Result<&mut dyn Sink, Error> {
        if self.instance.is_none() {
            self.start(cx).await?;
        }
        Ok(self.instance.as_deref_mut().expect("the instance is started"))
    }

    async fn write_once(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let written = self.started(cx).await?.write(batch, cx).await;
        drop_if_broken(&mut self.instance, written)
    }

    async fn acknowledge_once(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let written = self.started(cx).await?.acknowledging()?.ack_and_write(batch, handles, cx).await;
        drop_if_broken(&mut self.instance, written)
    }

    /// The instance of a transaction. A new instance could not continue it.
    fn in_transaction(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        match &mut self.instance {
            Some(instance) => instance.transactional(),
            None => Err(Error::replay("the plugin is not there any more")),
        }
    }

    /// The result of a call within a transaction. After a break the graph restarts from the stored records.
    fn restarted<T>(&mut self, result: Result<T, Error>, cx: &Cx) -> Result<T, Error> {
        result.map_err(|error| {
            let Some(why) = broken(&error) else { return error };
            self.instance = None;
            match self.policy.broke(cx.component(), why) {
                // The restart of the graph has a delay of its own.
                Ok(_) => Error::replay(format!("the plugin {why}")),
                Err(error) => error,
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
                    let (rejected, retry) = part.into_parts();
                    rejected.into_iter().for_each(|one| delivery.reject(one.event + range.start, one.reason));
                    if let Some((events, error)) = retry {
                        delivery.retry(events.into_iter().map(|event| event + range.start), error);
                    }
                    bisection.survived();
                }
                Err(error) => {
                    let Some(why) = broken(&error) else {
                        if whole {
                            return Err(error);
                        }
                        // The parts before are delivered; the rest is retried.
                        delivery.retry(range.start..batch.len(), error);
                        return Ok(delivery);
                    };
                    let pause = self.policy.broke_at(whole, cx.component(), why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(event) => {
                            self.policy.found_cause();
                            delivery.reject(event, reason(why));
                        }
                        Verdict::GiveUp => {
                            delivery.retry(range.start..batch.len(), gave_up(why));
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

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        self.spec.capabilities.is_transactional()?;
        Ok(self)
    }

    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        self.spec.capabilities.is_acknowledging()?;
        Ok(self)
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        self.spec.capabilities.parallel.then(|| Box::new(Self::new(self.spec.clone())) as Box<dyn Sink>)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.instance.take() {
            Some(mut instance) => lifecycle_result(instance.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl TransactionalSink for RestartingSink {
    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        let claimed = self.in_transaction()?.claim(claim, cx).await;
        self.restarted(claimed, cx)
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let committed = self.in_transaction()?.commit(batch, lane, record, cx).await;
        self.restarted(committed, cx)
    }
}

#[async_trait]
impl AcknowledgingSink for RestartingSink {
    fn transaction_domain(&self) -> String {
        self.spec.capabilities.transaction_domain.clone().unwrap_or_default()
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
    /// already done.
    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let all = handles.range();
        let mut bisection = Bisection::of(all.len());
        let mut delivery = Delivery::complete();
        while let Some(range) = bisection.next() {
            let whole = range.len() == all.len();
            let entries = all.start + range.start..all.start + range.end;
            let events = events_of(batch, &entries, whole);
            let part = if whole { batch.clone() } else { batch.select(events.iter().copied()) };
            match self.acknowledge_once(&part, &handles.part(entries), cx).await {
                Ok(part) => {
                    let already_done = part.events_already_done().iter().filter(|_| !self.doubtful);
                    already_done.for_each(|event| delivery.already_done(events[*event]));
                    let (rejected, _) = part.into_parts();
                    rejected.into_iter().for_each(|one| delivery.reject(events[one.event], one.reason));
                    bisection.survived();
                }
                Err(error) => {
                    // Entries that are done are reported as already done when they are retried.
                    let Some(why) = broken(&error) else { return Err(error) };
                    self.doubtful = true;
                    let pause = self.policy.broke_at(whole, cx.component(), why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(_) if !events.is_empty() => {
                            self.policy.found_cause();
                            events.into_iter().for_each(|event| delivery.reject(event, reason(why)));
                        }
                        Verdict::Reject(_) | Verdict::GiveUp => return Err(gave_up(why)),
                    }
                }
            }
        }
        // After a rejection the remaining entries come again, and many of them are done.
        self.doubtful &= !delivery.rejected().is_empty();
        Ok(delivery)
    }
}

/// The events made from these entries; `whole` if these are all entries of the batch.
fn events_of(batch: &Batch, entries: &Range<usize>, whole: bool) -> Vec<usize> {
    let is_of = |event: &usize| whole || entries.contains(&(batch.source_index(*event) as usize));
    (0..batch.len()).filter(is_of).collect()
}

#[cfg(test)]
mod tests;
