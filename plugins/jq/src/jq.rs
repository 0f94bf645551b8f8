//! The filter `jq`: each event becomes what a query makes of it.

use std::any::Any;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{Batch, ConfigError, Emitter, Error, Filter, Fused, Output, Plugin, Span};

use crate::fast::{Answer, Candidates, Results, Texts, range};
use crate::limit::{self, Limit};
use crate::meta::meta;
use crate::query::{Flow, Query, Stop};
use crate::room::{self, Room, Rooms};
use crate::writer;

mod fused;

use fused::FusedJq;

const SAMPLE: &str = r#"[filter.active]
plugin = "jq"
query = 'select(.status == "active") | {name, age}'
"#;

pub(crate) fn plugin() -> Plugin {
    let summary = "selects, reshapes, splits and drops events with a jq query";
    Plugin::filter("jq", summary, SAMPLE, |options: Options| {
        let query = Query::compile(&options.query, "/query", &["$meta"])?;
        let candidates = match options.validate {
            Validate::All => None,
            Validate::Touched => Some(Arc::new(candidates(&query)?)),
        };
        Ok::<_, ConfigError>(Jq::new(Arc::new(query), options.limit, candidates))
    })
}

/// The events for which a query may have a result: those with a text that it needs.
fn candidates(query: &Query) -> Result<Candidates, ConfigError> {
    let refused = |why: String| {
        ConfigError::at("/validate", format!("no event can be passed over unseen: {why}")).help(
            "leave `validate` out, or begin the query with something like `select(.status == \"active\")`",
        )
    };
    let program = query.fast().map_err(|obstacle| {
        refused(format!("the query builds values, because the fast path lacks {obstacle}"))
    })?;
    Candidates::new(program)
        .ok_or_else(|| refused("the query has no text that an event must hold to have a result".to_owned()))
}

/// Options of the filter `jq`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The query, in the jq language. Each event is its input; each result becomes an event, so a query
    /// without a result drops the event and one with several splits it. `$meta` holds the event's `key`,
    /// `timestamp` (seconds since 1970) and `attributes`. Queries that select by a few values and pass a few on
    /// are fast: they are answered from the bytes of the event. A fast query is made of paths, literals, `{...}`,
    /// `[...]`, `select`, `|`, `,`, comparisons, `and`, `or`, `not`, `//`, `if`, arithmetic of numbers, `has`,
    /// `startswith`, `endswith`, `contains`, `test`, `tonumber`, `empty`, `.[]`, `map` and `"\(...)"`.
    /// `tidegate check --explain` tells whether a query is, or which part of it stands in the way.
    /// Example: `select(.status == "active") | {name, age}`.
    query: String,
    /// The limits of one event.
    #[serde(default)]
    limit: Limit,
    /// Which events are looked at. `"all"` (the default): each is checked to its end, and one that is malformed is
    /// rejected. `"touched"`: an event that lacks a text without which the query has no result (`"active"` in
    /// `select(.status == "active")`) is dropped unseen, which is several times as fast where few events match.
    /// What is skipped: whether such an event is JSON at all, and whether the query would have failed on it. It is
    /// never rejected. The results are the same for all events that are JSON. Needs a fast query that selects by a
    /// text: `==`, `startswith`, `endswith` or `contains`, also within `and`, `or` and several `select`.
    #[serde(default)]
    validate: Validate,
}

/// Which events are looked at.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Validate {
    /// Each.
    #[default]
    All,
    /// Those that may have a result.
    Touched,
}

struct Jq {
    query: Arc<Query>,
    limit: Limit,
    /// Which events are to be looked at; all if there are none.
    candidates: Option<Arc<Candidates>>,
    /// Those of the current batch.
    found: Vec<usize>,
    rooms: Rooms,
    answer: Answer,
    collected: Collected,
}

/// The results of the evaluator for one event: all of them, or the event is rejected.
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
    fn new(query: Arc<Query>, limit: Limit, candidates: Option<Arc<Candidates>>) -> Self {
        Self {
            query,
            limit,
            candidates,
            found: Vec::new(),
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
    room: &Room,
) -> Result<(), Stop> {
    results.clear();
    let variable = |_: &str| meta(batch, event);
    query.evaluate(&batch.shared_payload(event), variable, room, |value| {
        if results.ends.len() == limit.events {
            return Err(Stop::Rejected(limit::over_events(limit.events)));
        }
        writer::write(&value, &mut results.text, limit.bytes.as_usize())?;
        results.ends.push(results.text.len());
        Ok(Flow::Next)
    })
}

/// Puts `results` in the place of event `event`, which lies at `span`.
fn put(mut made: Emitter<'_>, event: usize, span: Span, results: Results<'_>) {
    match results {
        Results::Part(part) => {
            // A part of a buffer begins and ends below 4 GiB, as the buffer does.
            let (offset, length) = (part.start as u32, part.len() as u32);
            made.write_span(event, Span { offset, length, ..span });
        }
        Results::Texts(texts) => texts.iter().for_each(|payload| made.write(event, payload)),
    }
}

impl Filter for Jq {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let Self { query, limit, candidates, found, rooms, answer, collected } = self;
        let fast = query.fast().ok();
        if let Some(candidates) = candidates {
            candidates.find(batch, found);
        }
        let chosen = candidates.is_some().then_some(&*found);
        let interrupt = room::interrupt(batch);
        rooms.each(chosen.map_or(batch.len(), Vec::len), interrupt.as_ref(), |number, room| {
            let event = chosen.map_or(number, |found| found[number]);
            let span = batch.spans()[event];
            let buffer = &batch.buffers()[span.buffer as usize];
            match fast.and_then(|program| program.run(buffer, range(span), limit.bytes.as_usize(), answer)) {
                Some(results) if results.len() <= limit.events => {
                    put(out.to(0), event, span, results);
                    return Ok(());
                }
                _ => {}
            }
            match collect(query, limit, collected, (batch, event), room) {
                Ok(()) => collected.texts().iter().for_each(|payload| out.write(event, payload)),
                Err(Stop::Unfinished(reason)) => return Err(reason),
                Err(Stop::Rejected(reason)) => out.reject(event, reason),
            }
            Ok(())
        })
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Self::new(Arc::clone(&self.query), self.limit, self.candidates.clone())))
    }

    fn fuse(&self, downstream: &[&dyn Filter]) -> Option<Box<dyn Fused>> {
        let downstream = downstream.iter().map_while(|filter| <dyn Any>::downcast_ref::<Self>(*filter));
        FusedJq::new(std::iter::once(self).chain(downstream)).map(|fused| Box::new(fused) as _)
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.query.mistakes().to_vec()
    }

    fn explain(&self) -> Option<String> {
        Some(match self.query.fast() {
            Ok(_) => match &self.candidates {
                None => "fast: answered from the bytes of the event, in one pass".to_owned(),
                Some(candidates) => {
                    let texts =
                        candidates.texts().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(" or ");
                    format!(
                        "fast: answered from the bytes of the events that have {texts}; others are not looked at"
                    )
                }
            },
            Err(obstacle) => format!("builds values: the fast path lacks {obstacle}"),
        })
    }
}
