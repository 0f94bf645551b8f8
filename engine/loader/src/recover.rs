//! What makes a component whole again when its instance breaks: another one is made, told where to go on, and given again
//! what the first has not answered for. The events at which it breaks each time are rejected.
//!
//! One path for every library and every isolation: only who runs the instance differs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tidegate_sdk::erased::{ErasedSink, Promise};
use tidegate_sdk::{
    AsyncFilter, Batch, Claim, Commit, Cx, Delivery, Error, Filter, Lane, Output, Position, Record,
    Rejection, Replay, Sink, Source, SourceBatch,
};
use tokio::time::Instant;

use crate::bisect::{Bisection, Verdict};
use crate::link::{CommitLink, Facts, Fault, FilterLink, Home, Link, PlainLink, SinkLink, SourceLink, Who};

/// The pause before an instance that broke for the second time in a row is made anew; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so long without a break, the next one counts as the first.
const FORGIVEN: Duration = Duration::from_secs(60);

/// What it takes to make an instance.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) home: Arc<dyn Home>,
    pub(crate) options: Value,
    pub(crate) facts: Facts,
    /// The plugin's name, until the component's is known.
    pub(crate) plugin: String,
    /// An instance that breaks is not made anew: the component fails for good.
    pub(crate) strict: bool,
}

impl Recipe {
    fn make(&self, cx: &Cx) -> Result<Link, Error> {
        let who = Who { component: cx.component().to_owned(), event_size: cx.event_size() };
        // It was made before, so what keeps it from being made again is not in the options.
        let made = self.home.create(&self.options, &who);
        made.map(|(link, _)| link).map_err(|error| Error::retry(format!("no instance can be made: {error}")))
    }
}

/// How often an instance broke lately.
#[derive(Default)]
struct Breaks {
    row: u32,
    last: Option<Instant>,
}

impl Breaks {
    /// Tells of a break, and says how long to wait before the next instance is made.
    fn another(&mut self, recipe: &Recipe, component: &str, why: &str) -> Result<Duration, Error> {
        if recipe.strict {
            return Err(Error::fatal(format!("the plugin {why}")));
        }
        if self.last.is_none_or(|last| last.elapsed() > FORGIVEN) {
            self.row = 0;
        }
        self.row += 1;
        self.last = Some(Instant::now());
        tracing::warn!(component, "the plugin {why}; starting it anew");
        Ok(match self.row {
            1 => Duration::ZERO,
            row => FIRST_PAUSE.saturating_mul(1 << (row - 2).min(16)).min(LONGEST_PAUSE),
        })
    }
}

/// A source.
pub(crate) struct SafeSource {
    recipe: Recipe,
    link: Option<Box<dyn SourceLink>>,
    /// Where it goes on: behind what it has handed over, whether that is safe yet or not.
    places: BTreeMap<String, Position>,
    committing: Arc<Committing>,
    breaks: Breaks,
}

/// The newest instance's half for commits.
#[derive(Default)]
struct Committing(Mutex<Option<Arc<dyn CommitLink>>>);

impl Committing {
    fn set(&self, link: Option<Arc<dyn CommitLink>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn get(&self) -> Option<Arc<dyn CommitLink>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SafeSource {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            link: None,
            places: BTreeMap::new(),
            committing: Arc::default(),
            breaks: Breaks::default(),
        }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Source(mut link) = self.recipe.make(cx)? else {
            return Err(Error::fatal("the plugin is no source any more"));
        };
        let mut resume = cx.resume_all().clone();
        resume.extend(self.places.iter().map(|(name, place)| (name.clone(), place.clone())));
        match link.open(cx, &resume).await {
            Ok(()) => {}
            Err(Fault::Error(error)) => return Err(error),
            Err(Fault::Broken(why)) => return Err(Error::retry(format!("the plugin {why} while it opened"))),
        }
        self.committing.set(Some(link.committing()));
        self.link = Some(link);
        Ok(())
    }
}

impl Source for SafeSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        let link = self.link.as_mut().expect("it was just started");
        match link.next(cx).await {
            Ok(Some(read)) => {
                for run in read.batch.runs() {
                    if let Some(position) = &run.origin.position {
                        self.places.insert(run.origin.partition.to_string(), position.clone());
                    }
                }
                Ok(Some(read))
            }
            Ok(None) => Ok(None),
            Err(Fault::Error(error)) => Err(error),
            Err(Fault::Broken(why)) => {
                self.link = None;
                self.committing.set(None);
                let pause = self.breaks.another(&self.recipe, cx.component(), &why)?;
                Err(Error::retry(format!("the plugin {why}")).after(pause))
            }
        }
    }

    fn replay(&self) -> Replay {
        self.recipe.facts.replay
    }

    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        self.recipe
            .facts
            .commits
            .then(|| Box::new(Committer(Arc::clone(&self.committing))) as Box<dyn Commit>)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.committing.set(None);
        match self.link.take() {
            Some(mut link) => closed(link.close(cx).await),
            None => Ok(()),
        }
    }
}

struct Committer(Arc<Committing>);

impl Commit for Committer {
    fn commit<'a>(
        &'a mut self,
        partition: &'a str,
        position: &'a Position,
    ) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            let Some(link) = self.0.get() else {
                return Err(Error::retry("the plugin is not there at the moment"));
            };
            match link.commit(partition, position).await {
                Ok(()) => Ok(()),
                Err(Fault::Error(error)) => Err(error),
                Err(Fault::Broken(why)) => Err(Error::retry(format!("the plugin {why} at a commit"))),
            }
        })
    }
}

fn closed(result: Result<(), Fault>) -> Result<(), Error> {
    result.map_err(|fault| match fault {
        Fault::Error(error) => error,
        Fault::Broken(why) => Error::retry(format!("the plugin {why} while it closed")),
    })
}

fn reason(why: &str) -> String {
    format!("the plugin {why}, each time that it is given this event")
}

fn gave_up(why: &str) -> Error {
    Error::retry(format!("the plugin {why}, at too many events of one batch for it to be the events"))
}

/// Puts what was made of a part of a batch to what was made of the parts before it.
fn merge(whole: &mut Output, mut part: Output, start: usize) {
    let (emitted, rejected) = part.take();
    emitted.into_iter().for_each(|(port, batch)| whole.emit_to(port, batch));
    let shifted = |one: Rejection| whole.reject(one.event + start, one.reason);
    rejected.into_iter().for_each(shifted);
}

/// A filter that is called through a task of its own.
pub(crate) struct SafeFilter {
    recipe: Recipe,
    link: Option<Box<dyn FilterLink>>,
    breaks: Breaks,
}

impl SafeFilter {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { recipe, link: None, breaks: Breaks::default() }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Fault> {
        let Link::Filter(mut link) = self.recipe.make(cx)? else {
            return Err(Error::fatal("the plugin is no filter any more").into());
        };
        link.open(cx).await?;
        self.link = Some(link);
        Ok(())
    }

    async fn once(&mut self, batch: &Batch, resumable: bool, cx: &Cx) -> Result<Output, Fault> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        let link = self.link.as_mut().expect("it was just started");
        let made = link.process(batch, resumable, cx).await;
        if matches!(made, Err(Fault::Broken(_))) {
            self.link = None;
        }
        made
    }
}

impl AsyncFilter for SafeFilter {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        closed(self.start(cx).await)
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut bisection = Bisection::of(batch.len());
        while let Some(range) = bisection.next() {
            let whole = range.len() == batch.len();
            let part = if whole { batch.clone() } else { batch.select(range.clone()) };
            match self.once(&part, whole && out.is_resumable(), cx).await {
                Ok(mut made) => {
                    let left = made.take_left();
                    merge(out, made, range.start);
                    if let Some(left) = left.filter(|_| whole) {
                        let _known_to_work = out.leave_from(left);
                    }
                    bisection.survived();
                }
                Err(Fault::Error(error)) => return Err(error),
                Err(Fault::Broken(why)) => {
                    let pause = self.breaks.another(&self.recipe, cx.component(), &why)?;
                    match bisection.broke() {
                        // While the culprit is looked for, the breaks are to be expected.
                        Verdict::Again if whole => drop(cx.sleep(pause).await),
                        Verdict::Again => {}
                        Verdict::Reject(event) => out.reject(event, reason(&why)),
                        Verdict::GiveUp => return Err(gave_up(&why)),
                    }
                }
            }
        }
        Ok(())
    }

    fn outputs(&self) -> Vec<String> {
        self.recipe.facts.outputs.clone()
    }

    fn explain(&self) -> Option<String> {
        self.recipe.facts.explain.clone()
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.link.take() {
            Some(mut link) => closed(link.close(cx).await),
            None => Ok(()),
        }
    }
}

/// A filter that is called where it is.
pub(crate) struct SafePlain {
    recipe: Recipe,
    link: Box<dyn FilterLink>,
    breaks: Breaks,
}

impl SafePlain {
    pub(crate) fn new(recipe: Recipe, link: Box<dyn FilterLink>) -> Self {
        Self { recipe, link, breaks: Breaks::default() }
    }

    fn renew(&mut self) -> Result<(), Error> {
        let who = Who { component: self.recipe.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.recipe.home.create(&self.recipe.options, &who) {
            Ok((Link::Filter(link), _)) => self.link = link,
            Ok(_) => return Err(Error::fatal("the plugin is no filter any more")),
            Err(error) => return Err(Error::fatal(format!("no instance can be made: {error}"))),
        }
        Ok(())
    }

    fn plain(&mut self) -> &mut dyn PlainLink {
        self.link.plain().expect("it was plain when it was built")
    }
}

impl Filter for SafePlain {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        match self.plain().process(batch) {
            Ok(made) => *out = made,
            Err(Fault::Error(error)) => return Err(error),
            Err(Fault::Broken(why)) => {
                let mut bisection = Bisection::of(batch.len());
                self.broke(&mut bisection, &why, out)?;
                while let Some(range) = bisection.next() {
                    match self.plain().process(&batch.select(range.clone())) {
                        Ok(made) => {
                            merge(out, made, range.start);
                            bisection.survived();
                        }
                        Err(Fault::Error(error)) => return Err(error),
                        Err(Fault::Broken(why)) => self.broke(&mut bisection, &why, out)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        if !self.recipe.facts.parallel {
            return None;
        }
        let who = Who { component: self.recipe.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.recipe.home.create(&self.recipe.options, &who) {
            Ok((Link::Filter(link), _)) => Some(Box::new(Self::new(self.recipe.clone(), link))),
            _ => None,
        }
    }

    fn outputs(&self) -> Vec<String> {
        self.recipe.facts.outputs.clone()
    }

    fn explain(&self) -> Option<String> {
        self.recipe.facts.explain.clone()
    }
}

impl SafePlain {
    fn broke(&mut self, bisection: &mut Bisection, why: &str, out: &mut Output) -> Result<(), Error> {
        let _nobody_waits_here = self.breaks.another(&self.recipe, &self.recipe.plugin, why)?;
        self.renew()?;
        match bisection.broke() {
            Verdict::Again => {}
            Verdict::Reject(event) => out.reject(event, reason(why)),
            // A plain filter has no other way to say that the component is of no use.
            Verdict::GiveUp => return Err(Error::fatal(gave_up(why).message())),
        }
        Ok(())
    }
}

/// A sink.
pub(crate) struct SafeSink {
    recipe: Recipe,
    link: Option<Box<dyn SinkLink>>,
    breaks: Breaks,
}

impl SafeSink {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { recipe, link: None, breaks: Breaks::default() }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Fault> {
        let Link::Sink(mut link) = self.recipe.make(cx)? else {
            return Err(Error::fatal("the plugin is no sink any more").into());
        };
        link.open(cx).await?;
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
                match self.breaks.another(&self.recipe, cx.component(), &why) {
                    Ok(_the_graph_has_pauses) => Error::replay(format!("the plugin {why}")),
                    Err(error) => error,
                }
            }
        })
    }
}

impl Sink for SafeSink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        closed(self.start(cx).await)
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
                    let pause = self.breaks.another(&self.recipe, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again if whole => drop(cx.sleep(pause).await),
                        Verdict::Again => {}
                        Verdict::Reject(event) => delivery.reject(event, reason(&why)),
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
            Some(mut link) => closed(link.close(cx).await),
            None => Ok(()),
        }
    }
}
