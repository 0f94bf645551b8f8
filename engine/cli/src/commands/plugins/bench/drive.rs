//! Calls of a component, as the engine makes them, with a count of wakes.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use serde_json::Value;
use tidegate_sdk::{AsyncFilter, Batch, Component, Cx, Filter, Kind, Outcome, Output, Plugin, Sink, Source};

use super::idle;

/// Result of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Events in, or read by a source.
    pub(super) events: usize,
    /// Events emitted by a filter.
    pub(super) out: usize,
    /// Wakes of the waiting task.
    pub(super) wakes: usize,
}

/// Factory of the measured components.
pub(super) enum Factory<'a> {
    /// Plugin with these options.
    Plugin(&'a Plugin, &'a Value),
    /// Built-in plugin of this kind that does nothing. A source returns this batch.
    Idle(Kind, &'a Batch),
}

impl Factory<'_> {
    /// An open component.
    pub(super) async fn open(&self, cx: &Cx) -> Result<Driven, String> {
        let component = match self {
            Self::Plugin(plugin, options) => plugin.build(options).map_err(|error| error.to_string())?,
            Self::Idle(kind, batch) => idle::component(*kind, batch),
        };
        let (driven, opened) = match component {
            Component::Filter(filter) => (Driven::Plain(filter), Ok(())),
            Component::AsyncFilter(mut filter) => {
                let opened = filter.open(cx).await;
                (Driven::Waiting(filter), opened)
            }
            Component::Source(mut source) => {
                let opened = source.open(cx).await;
                (Driven::Source(source), opened)
            }
            Component::Sink(mut sink) => {
                let opened = sink.open(cx).await;
                (Driven::Sink(sink), opened)
            }
        };
        opened.map(|()| driven).map_err(|error| error.to_string())
    }
}

/// An open component.
pub(super) enum Driven {
    Source(Box<dyn Source>),
    Plain(Box<dyn Filter>),
    Waiting(Box<dyn AsyncFilter>),
    Sink(Box<dyn Sink>),
}

impl Driven {
    /// Calls it once. Returns `None` if it is a source that has ended.
    pub(super) async fn call(&mut self, batch: &Batch, cx: &Cx) -> Result<Option<Done>, String> {
        let mut wakes = 0;
        let done = match self {
            Self::Source(source) => match counted(source.next(cx), &mut wakes).await {
                Ok(None) => return Ok(None),
                Ok(Some(read)) => {
                    if let Some(done) = read.done {
                        done(Outcome::Delivered);
                    }
                    Ok(Done { events: read.batch.len(), ..Done::default() })
                }
                Err(error) => Err(error),
            },
            Self::Plain(filter) => {
                let mut out = Output::new(batch);
                filter.process(batch, &mut out).map(|()| put_out(batch, &mut out))
            }
            Self::Waiting(filter) => {
                let mut out = Output::new(batch);
                let processed = counted(filter.process(batch, &mut out, cx), &mut wakes).await;
                processed.map(|()| put_out(batch, &mut out))
            }
            Self::Sink(sink) => {
                let written = counted(sink.write(batch, cx), &mut wakes).await;
                match written.map(tidegate_sdk::Delivery::into_parts) {
                    Ok((_, Some((_, error)))) | Err(error) => Err(error),
                    Ok(_) => Ok(Done { events: batch.len(), ..Done::default() }),
                }
            }
        };
        done.map(|done| Some(Done { wakes, ..done })).map_err(|error| error.to_string())
    }

    /// Closes it.
    pub(super) async fn close(self, cx: &Cx) -> Result<(), String> {
        let closed = match self {
            Self::Source(mut source) => source.close(cx).await,
            Self::Plain(_) => Ok(()),
            Self::Waiting(mut filter) => filter.close(cx).await,
            Self::Sink(mut sink) => sink.close(cx).await,
        };
        closed.map_err(|error| error.to_string())
    }
}

fn put_out(batch: &Batch, out: &mut Output) -> Done {
    let (emitted, _) = out.take();
    Done { events: batch.len(), out: emitted.iter().map(|(_, batch)| batch.len()).sum(), wakes: 0 }
}

/// Waits for `work`, and counts its wakes.
async fn counted<T>(work: impl Future<Output = T>, wakes: &mut usize) -> T {
    let mut work = pin!(work);
    std::future::poll_fn(|task| {
        let polled = work.as_mut().poll(task);
        *wakes += usize::from(matches!(polled, Poll::Pending));
        polled
    })
    .await
}
