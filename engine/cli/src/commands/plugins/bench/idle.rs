//! Built-in plugins that do nothing: the lower limit of a call.

use tidegate_sdk::{
    Batch, Component, Cx, Delivery, Error, Filter, Kind, Output, Sink, Source, SourceBatch, async_trait,
};

/// Builds a component of this kind. A source returns `batch` forever.
pub(super) fn component(kind: Kind, batch: &Batch) -> Component {
    match kind {
        Kind::Source => Component::Source(Box::new(Same(batch.clone()))),
        Kind::Filter => Component::Filter(Box::new(Idle)),
        Kind::Sink => Component::Sink(Box::new(Idle)),
    }
}

struct Idle;

impl Filter for Idle {
    fn process(&mut self, _: &Batch, out: &mut Output) -> Result<(), Error> {
        out.keep_all();
        Ok(())
    }
}

#[async_trait]
impl Sink for Idle {
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        Ok(Delivery::complete())
    }
}

struct Same(Batch);

#[async_trait]
impl Source for Same {
    async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
        Ok(Some(SourceBatch::from(self.0.clone())))
    }
}
