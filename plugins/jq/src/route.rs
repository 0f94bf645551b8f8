//! The filter `route`: each event goes, as it is, to the outputs whose query it matches.

use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use tidegate_query::Val;
use tidegate_sdk::{Batch, ConfigError, ConfigErrors, Error, Filter, Output, Plugin, Port};

use crate::fast::{Answer, range};
use crate::limit::Limit;
use crate::meta::meta;
use crate::query::{Flow, Query, Stop};
use crate::reader;
use crate::room::{self, Room, Rooms};

const SAMPLE: &str = r#"[filter.route]
plugin = "route"
routes = { errors = ".status >= 500", slow = ".ms > 1000" }

[sink.alerts]
plugin = "stdout"
from = "route.errors"
"#;

/// The number of routes that there may be.
const MOST_ROUTES: usize = 256;

pub(crate) fn plugin() -> Plugin {
    let summary = "sends each event, as it is, to the named output whose jq query it matches";
    Plugin::filter("route", summary, SAMPLE, Route::new)
}

/// Options of the filter `route`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Names of outputs, each with a query. An event matches if the query has a result that is neither `false`
    /// nor `null`. They are tried in the order in which they are written, and the event goes, unchanged, to the
    /// first that matches; what matches none goes to the main output. A component is fed by an output with
    /// `from = "COMPONENT.OUTPUT"`. Example: `{ errors = ".status >= 500", slow = ".ms > 1000" }`.
    routes: Routes,
    /// Send an event to every output that matches, rather than to the first.
    #[serde(default)]
    all: bool,
    /// The limits of the queries for one event.
    #[serde(default)]
    limit: Steps,
}

/// The limits of the queries for one event. An event over the limit is rejected.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Steps {
    /// The steps that each query may take. Default 5,000,000, which is about half a second.
    steps: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self { steps: Limit::default().steps }
    }
}

/// Names and queries in the order in which they are written.
struct Routes(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Routes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Routes;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table of output names and queries")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Routes, A::Error> {
                let mut routes = Vec::new();
                while let Some(route) = map.next_entry()? {
                    if routes.len() == MOST_ROUTES {
                        return Err(de::Error::custom(format!("there are more than {MOST_ROUTES} routes")));
                    }
                    routes.push(route);
                }
                Ok(Routes(routes))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for Routes {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "routes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "minProperties": 1,
            "maxProperties": MOST_ROUTES,
            "examples": [{ "errors": ".status >= 500", "slow": ".ms > 1000" }]
        })
    }
}

struct Route {
    routes: Arc<[(String, Query)]>,
    all: bool,
    limit: Limit,
    rooms: Rooms,
    /// The memory of each route.
    answers: Vec<Answer>,
}

impl Route {
    fn new(options: Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let mut routes = Vec::with_capacity(options.routes.0.len());
        for (name, query) in options.routes.0 {
            errors.keep(check_name(&name));
            let query = errors.keep(Query::condition(&query, &format!("/routes/{name}"), &["$meta"]));
            routes.extend(query.map(|query| (name, query)));
        }
        errors.finish(())?;
        let routes: Arc<[_]> = routes.into();
        if routes.is_empty() {
            let help = "write one like `routes = { errors = \".status >= 500\" }`";
            return Err(ConfigError::at("/routes", "there is no route").help(help));
        }
        let limit = Limit { steps: options.limit.steps, ..Limit::default() };
        Ok(Self::with(routes, options.all, limit))
    }

    fn with(routes: Arc<[(String, Query)]>, all: bool, limit: Limit) -> Self {
        let answers = routes.iter().map(|_| Answer::default()).collect();
        Self { routes, all, limit, rooms: Rooms::new(limit), answers }
    }
}

/// A name must be fit to stand in `from = "COMPONENT.NAME"`, and must not be the engine's own.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let pointer = format!("/routes/{}", name.replace('~', "~0").replace('/', "~1"));
    if name == "rejected" {
        let message = "`rejected` is the output of what a component rejects, on every component";
        return Err(ConfigError::at(pointer, message).help("choose another name"));
    }
    if name.is_empty() || !name.bytes().all(plain) {
        let message = format!("`{name}` cannot be the name of an output");
        let help = "a name is made of ASCII characters from a to z, digits, `_` and `-`";
        return Err(ConfigError::at(pointer, message).help(help));
    }
    Ok(())
}

/// The outputs that event `event` goes to are appended to `ports`.
fn ports_of(
    routes: &[(String, Query)],
    all: bool,
    (batch, event): (&Batch, usize),
    room: &Room,
    answers: &mut [Answer],
    ports: &mut Vec<Port>,
) -> Result<(), Stop> {
    ports.clear();
    let span = batch.spans()[event];
    let buffer = &batch.buffers()[span.buffer as usize];
    let mut read = None;
    for (index, ((_, query), answer)) in routes.iter().zip(answers).enumerate() {
        let fast = query.fast().ok();
        let matches = match fast.and_then(|program| program.matches(buffer, range(span), answer)) {
            Some(matches) => matches,
            None => {
                let value = match &read {
                    Some(value) => value,
                    None => read.insert(reader::read(&batch.shared_payload(event))?),
                };
                matches(query, value.clone(), (batch, event), room)?
            }
        };
        if matches {
            ports.push(index as Port + 1);
            if !all {
                break;
            }
        }
    }
    if ports.is_empty() {
        ports.push(0);
    }
    Ok(())
}

/// True if the evaluator finds that event `event` of `batch`, which reads as `value`, matches.
fn matches(query: &Query, value: Val, (batch, event): (&Batch, usize), room: &Room) -> Result<bool, Stop> {
    let variable = |_: &str| meta(batch, event);
    let mut matches = false;
    query.run(value, variable, room, |result| {
        matches = result.is_true();
        Ok(if matches { Flow::Enough } else { Flow::Next })
    })?;
    Ok(matches)
}

impl Filter for Route {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let Self { routes, all, rooms, answers, .. } = self;
        let mut ports = Vec::with_capacity(routes.len());
        let interrupt = room::interrupt(batch);
        rooms.each(batch.len(), interrupt.as_ref(), |event, room| {
            match ports_of(routes, *all, (batch, event), room, answers, &mut ports) {
                Ok(()) => {
                    for port in &ports {
                        out.to(*port).keep(event);
                    }
                }
                Err(Stop::Unfinished(reason)) => return Err(reason),
                Err(Stop::Rejected(reason)) => out.reject(event, reason),
            }
            Ok(())
        })
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Self::with(Arc::clone(&self.routes), self.all, self.limit)))
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.routes.iter().flat_map(|(_, query)| query.mistakes()).cloned().collect()
    }

    fn explain(&self) -> Option<String> {
        let slow = self.routes.iter().find_map(|(name, query)| Some((name, query.fast().err()?)));
        Some(match slow {
            None => "fast: each query is answered from the bytes of the event, in one pass".to_owned(),
            Some((name, obstacle)) => {
                format!("builds values, for one: in the query of `{name}` the fast path lacks {obstacle}")
            }
        })
    }

    fn outputs(&self) -> Vec<String> {
        self.routes.iter().map(|(name, _)| name.clone()).collect()
    }
}
