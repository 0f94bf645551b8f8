//! A sink that is made anew when it breaks, and is given again what it has not answered for.

use std::collections::BTreeMap;

use tidegate_sdk::erased::ErasedSink;
use tidegate_sdk::{Batch, Claim, Cx, Delivery, Error, Lane, Record, Sink};

use super::{Breaks, Recipe, blameless, gave_up, reason};
use crate::bisect::{Bisection, Verdict};
use crate::link::{Fault, Link, SinkLink};

/// A sink.
pub(crate) struct SafeSink {
    recipe: Recipe,
    link: Option<Box<dyn SinkLink>>,
    breaks: Breaks,
}

impl SafeSink {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { breaks: Breaks::new(&recipe), recipe, link: None }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Sink(mut link) = self.recipe.make(cx).await? else {
            return Err(Error::fatal("the plugin is no sink any more"));
        };
        blameless(link.open(cx).await, "opened")?;
        self.link = Some(link);
        Ok(())
    }

    async fn once(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Fault> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        let link = self.link.as_mut().expect("it was just started");
        let written = link.write(batch, cx).await;
        if matches!(written, Err(Fault::Broken(_))) {
            self.link = None;
        }
        written
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

impl Sink for SafeSink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let mut bisection = Bisection::of(batch.len());
        let mut delivery = Delivery::complete();
        while let Some(range) = bisection.next() {
            let whole = range.len() == batch.len();
            let part = if whole { batch.clone() } else { batch.select(range.clone()) };
            match self.once(&part, cx).await {
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
