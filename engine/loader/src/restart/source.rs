//! A source that is made anew when it breaks, and goes on behind what it has handed over.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_sdk::erased::Promise;
use tidegate_sdk::{Commit, ConfigError, Cx, Error, Exclusive, Position, Replay, Source, SourceBatch};

use super::blameless;
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use crate::link::{CommitLink, Fault, Link, SourceLink};

/// A source.
pub(crate) struct RestartingSource {
    recipe: InstanceSpec,
    link: Option<Box<dyn SourceLink>>,
    /// Where it goes on: behind what it has handed over, whether that is safe yet or not.
    places: BTreeMap<String, Position>,
    committing: Arc<Committing>,
    breaks: RestartPolicy,
}

/// The newest instance's half for commits.
#[derive(Default)]
struct Committing(Mutex<Option<Arc<dyn CommitLink>>>);

impl Committing {
    fn set(&self, link: Option<Arc<dyn CommitLink>>) {
        *self.0.lock() = link;
    }

    fn get(&self) -> Option<Arc<dyn CommitLink>> {
        self.0.lock().clone()
    }
}

impl RestartingSource {
    pub(crate) fn new(recipe: InstanceSpec) -> Self {
        let (breaks, committing) = (RestartPolicy::new(&recipe), Arc::default());
        Self { recipe, link: None, places: BTreeMap::new(), committing, breaks }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Source(mut link) = self.recipe.make(cx).await? else {
            return Err(Error::fatal("the plugin is no source any more"));
        };
        let mut resume = cx.resume_all().clone();
        resume.extend(self.places.iter().map(|(name, place)| (name.clone(), place.clone())));
        blameless(link.open(cx, &resume).await, "opened")?;
        self.committing.set(Some(link.committing()));
        self.link = Some(link);
        Ok(())
    }
}

impl Source for RestartingSource {
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
                let pause = self.breaks.another(cx.component(), &why)?;
                Err(Error::retry(format!("the plugin {why}")).after(pause))
            }
        }
    }

    fn replay(&self) -> Replay {
        self.recipe.facts.replay
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.recipe.facts.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.recipe.facts.warnings.clone()
    }

    fn domain(&self) -> Result<String, String> {
        self.recipe.facts.domain.clone()
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
            Some(mut link) => blameless(link.close(cx).await, "closed"),
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
