//! Components made of functions, so that each test says what its component does.

use schemars::JsonSchema;
use serde::Deserialize;

use tidegate_sdk::{
    AsyncFilter, Batch, BoxFuture, Cx, Delivery, Error, Filter, Output, Plugin, Position, Replay, Sink,
    Source, SourceBatch, async_trait,
};

/// No options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

type Read = Result<Option<SourceBatch>, Error>;

/// A source that reads like this.
pub(super) fn source(
    next: impl Fn(Cx) -> BoxFuture<'static, Read> + Clone + Send + Sync + 'static,
) -> Plugin {
    struct Reading<F>(F);
    #[async_trait]
    impl<F: Fn(Cx) -> BoxFuture<'static, Read> + Send + Sync + 'static> Source for Reading<F> {
        async fn next(&mut self, cx: &Cx) -> Read {
            (self.0)(cx.clone()).await
        }
        fn replay(&self) -> Replay {
            Replay::Position
        }
    }
    Plugin::source("reading", "reads", "", move |_: Nothing| Ok(Reading(next.clone())))
}

/// A filter that does this. It can be forked.
pub(super) fn filter(
    process: impl Fn(&Batch, &mut Output) -> Result<(), Error> + Clone + Send + Sync + 'static,
) -> Plugin {
    #[derive(Clone)]
    struct Plain<F>(F);
    impl<F: Fn(&Batch, &mut Output) -> Result<(), Error> + Clone + Send + Sync + 'static> Filter for Plain<F> {
        fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
            (self.0)(batch, out)
        }
        fn fork(&self) -> Option<Box<dyn Filter>> {
            Some(Box::new(Plain(self.0.clone())))
        }
        fn outputs(&self) -> Vec<String> {
            vec!["left".into(), "right".into()]
        }
        fn explain(&self) -> Option<String> {
            Some("it is plain".into())
        }
    }
    Plugin::filter("plain", "filters", "", move |_: Nothing| Ok(Plain(process.clone())))
}

/// A filter that puts out, in the end, what this returns.
pub(super) fn async_filter(
    process: impl Fn(Batch, Cx) -> BoxFuture<'static, Result<(Batch, Option<usize>), Error>>
    + Clone
    + Send
    + Sync
    + 'static,
) -> Plugin {
    struct Waiting<F>(F);
    #[async_trait]
    impl<F> AsyncFilter for Waiting<F>
    where
        F: Fn(Batch, Cx) -> BoxFuture<'static, Result<(Batch, Option<usize>), Error>> + Send + Sync + 'static,
    {
        async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
            let (emitted, left) = (self.0)(batch.clone(), cx.clone()).await?;
            out.emit(emitted);
            if let Some(left) = left {
                assert!(out.defer_from(left), "the engine can do that");
            }
            Ok(())
        }
    }
    Plugin::async_filter("waiting", "waits", "", move |_: Nothing| Ok(Waiting(process.clone())))
}

type Written = Result<Delivery, Error>;

/// A sink that writes like this. It can be forked.
pub(super) fn sink(
    write: impl Fn(Batch, Cx) -> BoxFuture<'static, Written> + Clone + Send + Sync + 'static,
) -> Plugin {
    struct Writing<F>(F);
    #[async_trait]
    impl<F: Fn(Batch, Cx) -> BoxFuture<'static, Written> + Clone + Send + Sync + 'static> Sink for Writing<F> {
        async fn write(&mut self, batch: &Batch, cx: &Cx) -> Written {
            (self.0)(batch.clone(), cx.clone()).await
        }
        fn fork(&self) -> Option<Box<dyn Sink>> {
            Some(Box::new(Writing(self.0.clone())))
        }
    }
    Plugin::sink("writing", "writes", "", move |_: Nothing| Ok(Writing(write.clone())))
}

/// A sink that stores its last record, in one step with the events.
pub(super) struct Transactional(pub(super) tidegate_sdk::Record);

#[async_trait]
impl Sink for Transactional {
    async fn write(&mut self, _: &Batch, _: &Cx) -> Written {
        Ok(Delivery::complete())
    }
    fn transactional(&mut self) -> Result<&mut dyn tidegate_sdk::TransactionalSink, Error> {
        Ok(self)
    }
}

#[async_trait]
impl tidegate_sdk::TransactionalSink for Transactional {
    async fn claim(
        &mut self,
        claim: &tidegate_sdk::Claim,
        _: &Cx,
    ) -> Result<std::collections::BTreeMap<tidegate_sdk::Lane, tidegate_sdk::Record>, Error> {
        let lane = tidegate_sdk::Lane { source: claim.pipeline.clone(), partition: claim.sink.clone() };
        Ok([(lane, self.0.clone())].into())
    }
    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &tidegate_sdk::Lane,
        record: &tidegate_sdk::Record,
        _: &Cx,
    ) -> Written {
        match record.done {
            0 => Err(Error::replay("the record is gone")),
            done if done == self.0.done => Ok(Delivery::complete()),
            done => {
                let mut delivery = Delivery::complete();
                delivery.reject(batch.len(), format!("{}/{} {done}", lane.source, lane.partition));
                Ok(delivery)
            }
        }
    }
}

/// The plugin of [`Transactional`].
pub(super) fn transactional() -> Plugin {
    Plugin::sink("once", "once", "", |_: Nothing| {
        Ok(Transactional(tidegate_sdk::Record { position: Some(Position::new(&5)), base: 5, done: 6 }))
    })
}

/// The batch as a component sees it, one line for each event.
pub(super) fn seen(batch: &Batch) -> Vec<String> {
    let event = |i: usize| {
        let origin = batch.origin(i);
        let key = batch.key(i).map(|key| String::from_utf8_lossy(key).into_owned());
        let own: Vec<_> = batch.own_attributes(i).map(|own| own.iter().collect()).unwrap_or_default();
        let common: Vec<_> = origin.attributes.iter().collect();
        format!(
            "{} {key:?} {:?} {own:?} {common:?} {}/{}/{}/{}/{:?} #{}",
            String::from_utf8_lossy(batch.payload(i)),
            batch.timestamp(i),
            origin.source,
            origin.partition,
            origin.sequence,
            origin.first,
            origin.position,
            batch.source_index(i),
        )
    };
    (0..batch.len()).map(event).collect()
}
