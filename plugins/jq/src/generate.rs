//! The source `generate`: events out of nothing, for demonstrations, tests, benchmarks and as a timer.

mod pace;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_query::Val;
use tidegate_sdk::{
    BATCH_BYTES, BATCH_EVENTS, Batch, BatchBuilder, ConfigError, ConfigErrors, Cx, Duration, Error, Plugin,
    Position, Replay, Source, SourceBatch, SourceRejection, Span, async_trait, json,
};

use crate::limit::{self, Limit};
use crate::meta::integer;
use crate::query::{Flow, Query, Stop};
use crate::room::{Room, Rooms};
use crate::writer;
use pace::{Due, Pace};

const SAMPLE: &str = r#"[source.ticks]
plugin = "generate"
query = '{n: $n, at: ($now | todate)}'
interval = "60s"
"#;

/// The number of evaluations for one batch.
const QUERIES_A_BATCH: u64 = 1024;

pub(crate) fn plugin() -> Plugin {
    let summary = "makes events from a jq query or a fixed line, at an interval, a rate, or full speed";
    Plugin::source("generate", summary, SAMPLE, Generate::new)
}

/// Options of the source `generate`. Exactly one of `query` and `line` says what the events are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// A jq query that makes the events. It is asked once for each number `$n` (0, 1, 2, ...), has no input
    /// (`null`), and also sees `$now` (seconds since 1970) and `$random` (from 0 up to, not including, 1).
    /// Each result becomes an event; there may be several, or none. Example: `{id: $n, price: ($random * 100)}`.
    query: Option<String>,
    /// A fixed text that is the payload of every event. Example: `"hello"`.
    line: Option<String>,
    /// The time from one `$n` to the next. The first comes at once; those that are missed while the pipeline is
    /// held up are left out. Not together with `rate`. Example: `"60s"`.
    interval: Option<Duration>,
    /// The number of `$n` in a second, evenly. What is missed while the pipeline is held up is made up
    /// for, but no more than a second's worth. Without `interval` and `rate` the source is as fast as it can
    /// be. Example: `1000`.
    rate: Option<f64>,
    /// The number of `$n` in all; then the source ends. Without it there is no end. Example: `100`.
    #[schemars(range(min = 1))]
    count: Option<u64>,
    /// Makes `$random` the same in every run: the value for each `$n` depends on the seed alone. Example: `42`.
    seed: Option<u64>,
    /// The limits of the query for one `$n`.
    #[serde(default)]
    limit: Limit,
}

enum Payload {
    Line(Bytes),
    Query { query: Box<Query>, seed: u64, limit: Limit, rooms: Rooms, scratch: Vec<u8> },
}

impl Payload {
    /// Checks the options that make the events.
    fn new(
        query: Option<String>,
        line: Option<String>,
        seed: Option<u64>,
        limit: Limit,
    ) -> Result<Self, ConfigError> {
        Ok(match (query, line) {
            (Some(query), None) => Payload::Query {
                query: Box::new(Query::compile(&query, "/query", &["$n", "$now", "$random"])?),
                seed: seed.unwrap_or_else(rand::random),
                limit,
                rooms: Rooms::new(limit),
                scratch: Vec::new(),
            },
            (None, Some(line)) => Payload::Line(json::one_line_if_json(line.as_bytes()).into_owned().into()),
            (Some(_), Some(_)) => {
                let message = "`line` and `query` exclude each other";
                return Err(ConfigError::at("/line", message).help("keep the one that makes the events"));
            }
            (None, None) => {
                let message = "neither `query` nor `line` says what the events are";
                return Err(ConfigError::at("", message).help("write one like `query = '{n: $n}'`"));
            }
        })
    }
}

struct Generate {
    payload: Payload,
    pace: Pace,
    count: u64,
    endless: bool,
    next: u64,
    started: Instant,
}

impl Generate {
    fn new(options: Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let pace = errors.keep(pace(options.interval, options.rate));
        let payload = errors.keep(Payload::new(options.query, options.line, options.seed, options.limit));
        let (Some(pace), Some(payload)) = (pace, payload) else { return Err(errors.into_error()) };
        Ok(Self {
            payload,
            pace,
            count: options.count.unwrap_or(u64::MAX),
            endless: options.count.is_none(),
            next: 0,
            started: Instant::now(),
        })
    }

    /// A batch for the next `due` numbers, or fewer.
    fn make(&mut self, due: u64) -> Result<(BatchBuilder, Vec<SourceRejection>), Error> {
        let mut builder = Batch::builder();
        let mut rejected = Vec::new();
        let due = due.min(self.count - self.next);
        match &mut self.payload {
            Payload::Line(line) => {
                let fit = (BATCH_BYTES / line.len().max(1)).clamp(1, BATCH_EVENTS);
                let due = due.min(fit as u64);
                let buffer = builder.add_buffer(line.clone());
                for _ in 0..due {
                    builder.push_span(Span { buffer, offset: 0, length: line.len() as u32 });
                }
                self.next += due;
            }
            Payload::Query { query, seed, limit, rooms, scratch } => {
                let first = self.next;
                let next = &mut self.next;
                rooms.each(due.min(QUERIES_A_BATCH) as usize, None, |index, room| {
                    if builder.is_full() {
                        return Ok(());
                    }
                    let number = first + index as u64;
                    match one(query, number, *seed, limit, room, scratch, &mut builder) {
                        Ok(()) => {}
                        Err(Stop::Unfinished(reason)) => return Err(reason),
                        Err(Stop::Rejected(reason)) => rejected.push(rejection(number, &reason)),
                    }
                    *next = number + 1;
                    Ok(())
                })?;
            }
        }
        Ok((builder, rejected))
    }
}

fn pace(interval: Option<Duration>, rate: Option<f64>) -> Result<Pace, ConfigError> {
    match (interval, rate) {
        (Some(_), Some(_)) => {
            let message = "`rate` and `interval` exclude each other";
            Err(ConfigError::at("/rate", message).help("keep the one that sets the pace"))
        }
        (Some(interval), None) if interval.is_zero() => {
            let message = "an interval of no time has no meaning";
            Err(ConfigError::at("/interval", message).help("leave it out to be as fast as can be"))
        }
        (None, Some(rate)) if !(rate > 0.0 && rate.is_finite()) => {
            let message = format!("{rate} is not a number of events a second");
            Err(ConfigError::at("/rate", message).help("write a number over 0, like 1000 or 0.5"))
        }
        (Some(interval), None) => Ok(Pace::interval(interval.0)),
        (None, Some(rate)) => Ok(Pace::rate(rate)),
        (None, None) => Ok(Pace::Full),
    }
}

/// Adds what the query makes of `number`: all of it, or nothing.
fn one(
    query: &Query,
    number: u64,
    seed: u64,
    limit: &Limit,
    room: &Room,
    scratch: &mut Vec<u8>,
    builder: &mut BatchBuilder,
) -> Result<(), Stop> {
    let variable = |name: &str| match name {
        "$n" => integer(number),
        "$now" => Val::from(now()),
        _ => Val::from(random(seed, number)),
    };
    scratch.clear();
    let mut ends = Vec::new();
    query.run(Val::Null, variable, room, |value| {
        if ends.len() == limit.events {
            return Err(Stop::Rejected(limit::over_events(limit.events)));
        }
        writer::write(&value, scratch, limit.bytes.as_usize())?;
        ends.push(scratch.len());
        Ok(Flow::Next)
    })?;
    let mut start = 0;
    for end in ends {
        builder.push_copy(&scratch[start..end]);
        start = end;
    }
    Ok(())
}

fn rejection(number: u64, reason: &str) -> SourceRejection {
    let payload = Bytes::from(number.to_string());
    SourceRejection { length: payload.len() as u64, payload, reason: format!("for `$n` {number}: {reason}") }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The value of `$random` for one `$n`: SplitMix64 (Steele, Lea and Flood, 2014) at that place of its
/// sequence, so that a source that resumes goes on with the same values.
fn random(seed: u64, number: u64) -> f64 {
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[async_trait]
impl Source for Generate {
    fn replay(&self) -> Replay {
        Replay::Position
    }

    fn warnings(&self) -> Vec<ConfigError> {
        match &self.payload {
            Payload::Line(_) => Vec::new(),
            Payload::Query { query, .. } => query.mistakes().to_vec(),
        }
    }

    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if let Some(position) = cx.resume("") {
            self.next = position.read()?;
        }
        self.started = Instant::now();
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.next >= self.count {
            return Ok(None);
        }
        let due = loop {
            if cx.is_stopping() {
                return Ok(None);
            }
            match self.pace.due(self.started.elapsed()) {
                Due::Now(due) => break due,
                Due::In(pause) => {
                    cx.sleep(pause).await;
                }
            }
        };
        let before = self.next;
        let (mut builder, rejected) = self.make(due)?;
        self.pace.made(self.next - before);
        builder.set_position(Position::new(&self.next));
        if !self.endless {
            cx.progress().set(self.next, self.count);
        }
        Ok(Some(SourceBatch::from(builder.finish()).with_rejected(rejected)))
    }
}
