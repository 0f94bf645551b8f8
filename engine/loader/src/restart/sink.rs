//! A sink that is made anew when it breaks, and is given again what it has not answered for.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_sdk::erased::ErasedSink;
use tidegate_sdk::{Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Receipts, Record, Sink};

use super::bisect::{Bisection, Verdict};
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{blameless, gave_up, reason, unless_broken};
use crate::link::{Fault, Link, SinkLink};

/// A sink.
pub(crate) struct RestartingSink {
    recipe: InstanceSpec,
    link: Option<Box<dyn SinkLink>>,
    breaks: RestartPolicy,
    /// Whether an instance broke in the middle of settling the entries at hand, so that nobody knows which of them
    /// it was done with.
    doubtful: bool,
}

impl RestartingSink {
    pub(crate) fn new(recipe: InstanceSpec) -> Self {
        Self { breaks: RestartPolicy::new(&recipe), recipe, link: None, doubtful: false }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Sink(mut link) = self.recipe.make(cx).await? else {
            return Err(Error::fatal("the plugin is no sink any more"));
        };
        blameless(link.open(cx).await, "opened")?;
        self.link = Some(link);
        Ok(())
    }

    /// The instance; another one if the last one broke.
    async fn started(&mut self, cx: &Cx) -> Result<&mut dyn SinkLink, Error> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        Ok(self.link.as_deref_mut().expect("it was just started"))
    }

    async fn write_once(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Fault> {
        let written = self.started(cx).await?.write(batch, cx).await;
        unless_broken(&mut self.link, written)
    }

    async fn settle_once(&mut self, batch: &Batch, receipts: &Receipts, cx: &Cx) -> Result<Delivery, Fault> {
        let settled = self.started(cx).await?.settle(batch, receipts, cx).await;
        unless_broken(&mut self.link, settled)
    }

    /// What a break means in the middle of a transaction: the records say what was done, so the graph starts anew
    /// from them.
    fn in_transaction<T>(&mut self, result: Result<T, Fault>, cx: &Cx) -> Result<T, Error> {
        result.map_err(|fault| match fault {
            Fault::Error(error) => error,
            Fault::Broken(why) => {
                self.link = None;
                match self.breaks.another(cx.component(), &why) {
                    Ok(_the_graph_has_pauses) => Error::replay(format!("the plugin {why}")),
                    Err(error) => error,
                }
            }
        })
    }
}

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
                // What is through is through: the rest comes again.
                Err(Fault::Error(error)) => {
                    delivery.again(range.start..batch.len(), error);
                    return Ok(delivery);
                }
                Err(Fault::Broken(why)) => {
                    let pause = self.breaks.of(whole, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(event) => {
                            self.breaks.explained();
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
        self.recipe.facts.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.recipe.facts.warnings.clone()
    }

    fn transactional(&self) -> Result<(), String> {
        self.recipe.facts.transactional.clone()
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
        self.recipe.facts.domain.clone()
    }

    /// A break in here leaves open which entries are done. It is what a lost answer is, and has the same way out: the
    /// server knows. What is acknowledged is written too, in one step; so another instance is asked for the same
    /// entries again, and does those that are left. The one that broke cannot do harm later, whatever it had sent or
    /// still sends: an entry is acknowledged once. So there is no need for a claim, and none to start the graph anew.
    ///
    /// Where a batch breaks the plugin each time, it is halved between entries, because what was made of one stays
    /// together. The events of an entry that does it alone become dead letters, and the entry comes once more without
    /// them. (If the plugin breaks only behind the server's answer, they are dead letters and delivered: not lost.)
    ///
    /// What was "done elsewhere" after a break may have been done by the instance that broke, and is not counted so.
    async fn settle(&mut self, batch: &Batch, receipts: &Receipts, cx: &Cx) -> Result<Delivery, Error> {
        let all = receipts.range();
        let mut bisection = Bisection::of(all.len());
        let mut delivery = Delivery::complete();
        while let Some(range) = bisection.next() {
            let whole = range.len() == all.len();
            let entries = all.start + range.start..all.start + range.end;
            let events = events_of(batch, &entries, whole);
            let part = if whole { batch.clone() } else { batch.select(events.iter().copied()) };
            match self.settle_once(&part, &receipts.part(entries), cx).await {
                Ok(settled) => {
                    let elsewhere = settled.elsewhere().iter().filter(|_| !self.doubtful);
                    elsewhere.for_each(|event| delivery.done_elsewhere(events[*event]));
                    let (rejected, _) = settled.into_parts();
                    rejected.into_iter().for_each(|one| delivery.reject(events[one.event], one.reason));
                    bisection.survived();
                }
                // What is through is through, and will be found so.
                Err(Fault::Error(error)) => return Err(error),
                Err(Fault::Broken(why)) => {
                    self.doubtful = true;
                    let pause = self.breaks.of(whole, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(_) if !events.is_empty() => {
                            self.breaks.explained();
                            events.into_iter().for_each(|event| delivery.reject(event, reason(&why)));
                        }
                        Verdict::Reject(_) | Verdict::GiveUp => return Err(gave_up(&why)),
                    }
                }
            }
        }
        // What was rejected has the rest come again, of which much is done by now.
        self.doubtful &= !delivery.rejected().is_empty();
        Ok(delivery)
    }

    fn fork(&self) -> Option<Box<dyn ErasedSink>> {
        self.recipe.facts.parallel.then(|| Box::new(Self::new(self.recipe.clone())) as Box<dyn ErasedSink>)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.link.take() {
            Some(mut link) => blameless(link.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

/// The events that were made of these entries; `whole` if these are all there are.
fn events_of(batch: &Batch, entries: &Range<usize>, whole: bool) -> Vec<usize> {
    let is_of = |event: &usize| whole || entries.contains(&(batch.source_index(*event) as usize));
    (0..batch.len()).filter(is_of).collect()
}

#[cfg(test)]
mod tests;
