//! Conformance suites and test helpers for Tidegate plugins, also for plugin authors.
//!
//! Calls a plugin like the engine does and checks the results; never runs a pipeline. Start with [`build_source`] and its
//! siblings, then [`apply`] and [`read_all`].

#![warn(clippy::match_bool)]

pub mod conformance;

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{AsyncFilter, Batch, Component, Cx, Error, Filter, Output, Plugin, Sink, Source};
use tokio_util::sync::CancellationToken;

/// A context for a component called `test`, and the switch that makes it stop.
pub fn context() -> (Cx, CancellationToken) {
    let stopping = CancellationToken::new();
    (Cx::new("test", stopping.clone()), stopping)
}

/// A batch of these payloads, as the first of a source called `test`.
pub fn batch<P: AsRef<[u8]>>(payloads: impl IntoIterator<Item = P>) -> Batch {
    let mut builder = Batch::builder();
    for payload in payloads {
        builder.push_copy(payload.as_ref());
    }
    builder.finish().stamped(&Arc::from("test"), 0)
}

/// The plugin of this name among `plugins`.
///
/// # Panics
/// If there is none.
pub fn plugin(plugins: impl IntoIterator<Item = Plugin>, name: &str) -> Plugin {
    plugins.into_iter().find(|plugin| plugin.name() == name).expect("the plugin is there")
}

/// A source with these options.
///
/// # Panics
/// If it cannot be built, or is not a source.
pub fn build_source(plugin: &Plugin, options: &Value) -> Box<dyn Source> {
    match plugin.build(options) {
        Ok(Component::Source(source)) => source,
        Ok(_) => panic!("{} is not a source", plugin.name()),
        Err(error) => panic!("{}: {error}", plugin.name()),
    }
}

/// A filter with these options that is a plain function.
///
/// # Panics
/// If it cannot be built, or is not such a filter.
pub fn build_filter(plugin: &Plugin, options: &Value) -> Box<dyn Filter> {
    match plugin.build(options) {
        Ok(Component::Filter(filter)) => filter,
        Ok(_) => panic!("{} is not a plain filter", plugin.name()),
        Err(error) => panic!("{}: {error}", plugin.name()),
    }
}

/// A filter with these options that waits.
///
/// # Panics
/// If it cannot be built, or is not such a filter.
pub fn build_async_filter(plugin: &Plugin, options: &Value) -> Box<dyn AsyncFilter> {
    match plugin.build(options) {
        Ok(Component::AsyncFilter(filter)) => filter,
        Ok(_) => panic!("{} is not an async filter", plugin.name()),
        Err(error) => panic!("{}: {error}", plugin.name()),
    }
}

/// A sink with these options.
///
/// # Panics
/// If it cannot be built, or is not a sink.
pub fn build_sink(plugin: &Plugin, options: &Value) -> Box<dyn Sink> {
    match plugin.build(options) {
        Ok(Component::Sink(sink)) => sink,
        Ok(_) => panic!("{} is not a sink", plugin.name()),
        Err(error) => panic!("{}: {error}", plugin.name()),
    }
}

/// Runs a filter on these payloads. Returns the events of its main output, and the rejected events by index with their
/// reasons.
///
/// # Panics
/// If the filter fails as a whole.
pub fn apply<P: AsRef<[u8]>>(
    filter: &mut dyn Filter,
    payloads: impl IntoIterator<Item = P>,
) -> (Vec<String>, Vec<(usize, String)>) {
    let batch = batch(payloads);
    let mut out = Output::new(&batch);
    filter.process(&batch, &mut out).expect("the filter goes on");
    let (emitted, rejected) = out.take();
    let main = emitted.iter().filter(|(port, _)| *port == 0);
    let texts = main.flat_map(|(_, batch)| batch.texts()).collect();
    (texts, rejected.into_iter().map(|one| (one.event, one.reason)).collect())
}

/// Opens a source and reads it to its end: every payload as text, and the reasons of what it refused.
///
/// # Errors
/// The first error of the source.
pub async fn read_all(source: &mut dyn Source) -> Result<(Vec<String>, Vec<String>), Error> {
    let (cx, _stopping) = context();
    source.open(&cx).await?;
    let (mut texts, mut refused) = (Vec::new(), Vec::new());
    while let Some(next) = source.next(&cx).await? {
        texts.extend(next.batch.texts());
        refused.extend(next.rejected.into_iter().map(|one| one.reason));
        if let Some(done) = next.done {
            done(tidegate_sdk::Outcome::Delivered);
        }
    }
    source.close(&cx).await?;
    Ok((texts, refused))
}
