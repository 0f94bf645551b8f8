//! The filter `jq`: each event becomes what a query makes of it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, ConfigError, Error, Filter, Output, Plugin, Span};

use crate::fast::{Answer, Results, Texts, range};
use crate::limit::{self, Limit};
use crate::meta::{empty_object, meta};
use crate::query::{Flow, Query, Stop};
use crate::room::{Room, Rooms, TooSmall};
use crate::writer;

const SAMPLE: &str = r#"[filter.active]
plugin = "jq"
query = 'select(.status == "active") | {name, age}'
"#;

pub(crate) fn plugin() -> Plugin {
    let summary = "selects, reshapes, splits and drops events with a jq query";
    Plugin::filter("jq", summary, SAMPLE, |options: Options| {
        let query = Query::compile(&options.query, "/query", &["$meta"])?;
        Ok::<_, ConfigError>(Jq::new(Arc::new(query), options.limit))
    })
}

/// Options of the filter `jq`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The query, in the jq language. Each event is its input; each result becomes an event, so a query
    /// without a result drops the event and one with several splits it. `$meta` holds the event's `key`,
    /// `timestamp` (seconds since 1970) and `attributes`. Queries that select by a few values and pass a few on
    /// are fast: they are answered from the bytes of the event. `tidegate check --explain` tells whether a query
    /// is, or which part of it stands in the way.
    /// Example: `select(.status == "active") | {name, age}`.
    query: String,
    /// How much one event may become.
    #[serde(default)]
    limit: Limit,
}

struct Jq {
    query: Arc<Query>,
    limit: Limit,
    rooms: Rooms,
    answer: Answer,
    collected: Collected,
}

/// The results of jaq for one event: all of them, or the event is rejected.
#[derive(Default)]
struct Collected {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// More memory than this is not kept from one event to the next.
const KEPT: usize = 1 << 20;

impl Collected {
    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.ends.clear();
        self.ends.shrink_to(KEPT);
    }

    fn texts(&self) -> Texts<'_> {
        Texts::new(&self.text, &self.ends)
    }
}

impl Jq {
    fn new(query: Arc<Query>, limit: Limit) -> Self {
        Self {
            query,
            limit,
            rooms: Rooms::new(limit),
            answer: Answer::default(),
            collected: Collected::default(),
        }
    }
}

/// Collects what `query` makes of event `event` of `batch`.
fn collect(
    query: &Query,
    limit: &Limit,
    results: &mut Collected,
    (batch, event): (&Batch, usize),
    room: Room,
) -> Result<(), Stop> {
    results.clear();
    let variable = |name: &str| match name {
        "$meta" => meta(batch, event),
        _ => empty_object(),
    };
    query.evaluate(&batch.shared_payload(event), variable, room, |value| {
        if results.ends.len() == limit.events {
            return Err(Stop::Rejected(limit::over_events(limit.events)));
        }
        writer::write(&value, &mut results.text, limit.bytes.as_usize())?;
        results.ends.push(results.text.len());
        Ok(Flow::Next)
    })
}

impl Filter for Jq {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let mut made = batch.derive();
        let Self { query, limit, rooms, answer, collected } = self;
        let fast = query.fast().ok();
        rooms.each(batch.len(), |event, room| {
            let span = batch.spans()[event];
            let buffer = &batch.buffers()[span.buffer as usize];
            match fast.and_then(|program| program.run(buffer, range(span), limit.bytes.as_usize(), answer)) {
                Some(Results::Part(part)) if limit.events > 0 => {
                    // A part of a buffer begins and ends below 4 GiB, as the buffer does.
                    let (offset, length) = (part.start as u32, part.len() as u32);
                    made.write_span(event, Span { offset, length, ..span });
                    return Ok(());
                }
                Some(Results::Texts(texts)) if texts.len() <= limit.events => {
                    texts.iter().for_each(|payload| made.write(event, payload));
                    return Ok(());
                }
                _ => {}
            }
            match collect(query, limit, collected, (batch, event), room) {
                Ok(()) => collected.texts().iter().for_each(|payload| made.write(event, payload)),
                Err(Stop::TooSmall) => return Err(TooSmall),
                Err(Stop::Rejected(reason)) => out.reject(event, reason),
            }
            Ok(())
        })?;
        out.emit(made.finish());
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Self::new(Arc::clone(&self.query), self.limit)))
    }

    fn explain(&self) -> Option<String> {
        Some(match self.query.fast() {
            Ok(_) => "fast: answered from the bytes of the event, in one pass".to_owned(),
            Err(obstacle) => format!("evaluated by jaq: the fast path lacks {obstacle}"),
        })
    }
}
