//! The async contracts in a form that fits in a `Box<dyn ...>`. For the engine: plugins implement the plain
//! traits of this crate and get these for free.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::contract::{AsyncFilter, Commit, Sink, Source};
use crate::{
    Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Output, Receipts, Record, Replay,
    SourceBatch,
};

/// A boxed future: one allocation a call, and a call is a batch.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Source`], boxed.
pub trait ErasedSource: Send {
    /// [`Source::open`]
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
    /// [`Source::next`]
    fn next<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<Option<SourceBatch>, Error>>;
    /// [`Source::replay`]
    fn replay(&self) -> Replay;
    /// [`Source::domain`]
    fn domain(&self) -> Result<String, String>;
    /// [`Source::answered_by`]
    fn answered_by(&self) -> Option<&'static str>;
    /// [`Source::committer`]
    fn committer(&mut self) -> Option<Box<dyn Commit>>;
    /// [`Source::exclusive`]
    fn exclusive(&self) -> Vec<Exclusive>;
    /// [`Source::warnings`]
    fn warnings(&self) -> Vec<ConfigError>;
    /// [`Source::covers`]
    fn covers(&self, partition: &str) -> bool;
    /// [`Source::close`]
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
}

impl<S: Source> ErasedSource for S {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        Box::pin(Source::open(self, cx))
    }
    fn next<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<Option<SourceBatch>, Error>> {
        Box::pin(Source::next(self, cx))
    }
    fn replay(&self) -> Replay {
        Source::replay(self)
    }
    fn domain(&self) -> Result<String, String> {
        Source::domain(self)
    }
    fn answered_by(&self) -> Option<&'static str> {
        Source::answered_by(self)
    }
    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        Source::committer(self)
    }
    fn exclusive(&self) -> Vec<Exclusive> {
        Source::exclusive(self)
    }
    fn warnings(&self) -> Vec<ConfigError> {
        Source::warnings(self)
    }
    fn covers(&self, partition: &str) -> bool {
        Source::covers(self, partition)
    }
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        Box::pin(Source::close(self, cx))
    }
}

/// [`AsyncFilter`], boxed.
pub trait ErasedAsyncFilter: Send {
    /// [`AsyncFilter::open`]
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
    /// [`AsyncFilter::process`]
    fn process<'a>(
        &'a mut self,
        batch: &'a Batch,
        out: &'a mut Output,
        cx: &'a Cx,
    ) -> Promise<'a, Result<(), Error>>;
    /// [`AsyncFilter::fork`]
    fn fork(&self) -> Option<Box<dyn ErasedAsyncFilter>>;
    /// [`AsyncFilter::at_once`]
    fn at_once(&self) -> usize;
    /// [`AsyncFilter::outputs`]
    fn outputs(&self) -> Vec<String>;
    /// [`AsyncFilter::explain`]
    fn explain(&self) -> Option<String>;
    /// [`AsyncFilter::save`]
    fn save<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Option<Vec<u8>>>;
    /// [`AsyncFilter::restore`]
    fn restore<'a>(&'a mut self, state: &'a [u8], cx: &'a Cx) -> Promise<'a, Result<(), String>>;
    /// [`AsyncFilter::exclusive`]
    fn exclusive(&self) -> Vec<Exclusive>;
    /// [`AsyncFilter::warnings`]
    fn warnings(&self) -> Vec<ConfigError>;
    /// [`AsyncFilter::close`]
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
}

impl<F: AsyncFilter> ErasedAsyncFilter for F {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        Box::pin(AsyncFilter::open(self, cx))
    }
    fn process<'a>(
        &'a mut self,
        batch: &'a Batch,
        out: &'a mut Output,
        cx: &'a Cx,
    ) -> Promise<'a, Result<(), Error>> {
        Box::pin(AsyncFilter::process(self, batch, out, cx))
    }
    fn fork(&self) -> Option<Box<dyn ErasedAsyncFilter>> {
        AsyncFilter::fork(self)
    }
    fn at_once(&self) -> usize {
        AsyncFilter::at_once(self)
    }
    fn outputs(&self) -> Vec<String> {
        AsyncFilter::outputs(self)
    }
    fn explain(&self) -> Option<String> {
        AsyncFilter::explain(self)
    }
    fn save<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Option<Vec<u8>>> {
        Box::pin(AsyncFilter::save(self, cx))
    }
    fn restore<'a>(&'a mut self, state: &'a [u8], cx: &'a Cx) -> Promise<'a, Result<(), String>> {
        Box::pin(AsyncFilter::restore(self, state, cx))
    }
    fn exclusive(&self) -> Vec<Exclusive> {
        AsyncFilter::exclusive(self)
    }
    fn warnings(&self) -> Vec<ConfigError> {
        AsyncFilter::warnings(self)
    }
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        Box::pin(AsyncFilter::close(self, cx))
    }
}

/// [`Sink`], boxed.
pub trait ErasedSink: Send {
    /// [`Sink::open`]
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
    /// [`Sink::write`]
    fn write<'a>(&'a mut self, batch: &'a Batch, cx: &'a Cx) -> Promise<'a, Result<Delivery, Error>>;
    /// [`Sink::transactional`]
    fn transactional(&self) -> Result<(), String>;
    /// [`Sink::claim`]
    fn claim<'a>(
        &'a mut self,
        claim: &'a Claim,
        cx: &'a Cx,
    ) -> Promise<'a, Result<BTreeMap<Lane, Record>, Error>>;
    /// [`Sink::commit`]
    fn commit<'a>(
        &'a mut self,
        batch: &'a Batch,
        lane: &'a Lane,
        record: &'a Record,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Delivery, Error>>;
    /// [`Sink::answers`]
    fn answers(&self) -> bool;
    /// [`Sink::domain`]
    fn domain(&self) -> Result<String, String>;
    /// [`Sink::settle`]
    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        receipts: &'a Receipts,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Delivery, Error>>;
    /// [`Sink::fork`]
    fn fork(&self) -> Option<Box<dyn ErasedSink>>;
    /// [`Sink::exclusive`]
    fn exclusive(&self) -> Vec<Exclusive>;
    /// [`Sink::warnings`]
    fn warnings(&self) -> Vec<ConfigError>;
    /// [`Sink::close`]
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
}

impl<S: Sink> ErasedSink for S {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        Box::pin(Sink::open(self, cx))
    }
    fn write<'a>(&'a mut self, batch: &'a Batch, cx: &'a Cx) -> Promise<'a, Result<Delivery, Error>> {
        Box::pin(Sink::write(self, batch, cx))
    }
    fn transactional(&self) -> Result<(), String> {
        Sink::transactional(self)
    }
    fn claim<'a>(
        &'a mut self,
        claim: &'a Claim,
        cx: &'a Cx,
    ) -> Promise<'a, Result<BTreeMap<Lane, Record>, Error>> {
        Box::pin(Sink::claim(self, claim, cx))
    }
    fn commit<'a>(
        &'a mut self,
        batch: &'a Batch,
        lane: &'a Lane,
        record: &'a Record,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Delivery, Error>> {
        Box::pin(Sink::commit(self, batch, lane, record, cx))
    }
    fn answers(&self) -> bool {
        Sink::answers(self)
    }
    fn domain(&self) -> Result<String, String> {
        Sink::domain(self)
    }
    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        receipts: &'a Receipts,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Delivery, Error>> {
        Box::pin(Sink::settle(self, batch, receipts, cx))
    }
    fn fork(&self) -> Option<Box<dyn ErasedSink>> {
        Sink::fork(self)
    }
    fn exclusive(&self) -> Vec<Exclusive> {
        Sink::exclusive(self)
    }
    fn warnings(&self) -> Vec<ConfigError> {
        Sink::warnings(self)
    }
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        Box::pin(Sink::close(self, cx))
    }
}
