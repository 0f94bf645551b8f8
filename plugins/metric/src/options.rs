//! Options of the sink `metric`, and their checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::json::Path;
use tidegate_sdk::{ConfigError, ConfigErrors, Duration, MetricDefinition, MetricKind};

/// Upper bounds of a histogram for durations in seconds, as the client libraries of Prometheus have them.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The largest number of buckets.
const MOST_BOUNDS: usize = 100;
/// The largest number of labels.
const MOST_LABELS: usize = 20;
/// The largest `max_series`: about 300 MiB of memory.
const MOST_SERIES: usize = 1_000_000;

/// The prefix of the engine's own metrics.
const RESERVED: &str = "tidegate_";

/// Options of the sink `metric`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// The name of the metric on `/metrics`, such as `"http_requests_total"`. Only one component of a process may have it.
    pub(crate) name: String,
    /// The type of the metric. `"counter"`: the number of events, or the sum of `value`. `"gauge"`: the latest `value`.
    /// `"histogram"`: the number of events by size of `value`. Default: `"counter"`.
    #[serde(default, rename = "type")]
    pub(crate) kind: Type,
    /// A sentence that `/metrics` shows beside the metric. Default: one that names the component.
    pub(crate) help: Option<String>,
    /// The path of the number that is recorded, such as `".bytes"`. A text that is a number counts as one. An event without a
    /// number there is rejected. Default: 1 for each event; a gauge or histogram needs a `value`.
    pub(crate) value: Option<Path>,
    /// The labels by name, each with the path of its value: `{ status = ".status", host = ".host" }`. A missing value is
    /// empty, and a value over 256 bytes is cut. Default: no labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, Path>,
    /// Upper bounds of the buckets of a histogram, ascending. Default: 0.005 to 10, for durations in seconds.
    pub(crate) buckets: Option<Vec<f64>>,
    /// The limit for combinations of label values. Events beyond it are recorded with `"_other"` as the value of each label,
    /// and the log warns once.
    #[serde(default = "max_series")]
    #[schemars(range(min = 1, max = MOST_SERIES))]
    pub(crate) max_series: usize,
    /// Time after which a combination of label values that does not occur any more is dropped, such as `"1h"`. Default:
    /// never.
    pub(crate) expire: Option<Duration>,
}

fn max_series() -> usize {
    1000
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Type {
    /// A sum that only grows.
    #[default]
    Counter,
    /// The latest value.
    Gauge,
    /// The number of values by size.
    Histogram,
}

impl Options {
    /// The definition of the metric.
    ///
    /// # Errors
    /// All options that are wrong.
    pub(crate) fn definition(&self) -> Result<MetricDefinition, ConfigError> {
        let mut errors = ConfigErrors::default();
        errors.keep(self.check_name());
        self.check_labels(&mut errors);
        errors.check(self.value.is_some() || self.kind == Type::Counter, || {
            ConfigError::at("/value", "only a counter can do without a `value`")
                .help("name the path of the number, such as `value = \".seconds\"`")
        });
        errors.check((1..=MOST_SERIES).contains(&self.max_series), || {
            ConfigError::at("/max_series", format!("it is between 1 and {MOST_SERIES}"))
        });
        let Some(kind) = errors.keep(self.metric_kind()) else { return Err(errors.into_error()) };
        errors.finish(MetricDefinition {
            name: self.name.clone(),
            help: self.help.clone().unwrap_or_default(),
            kind,
            labels: self.labels.keys().cloned().collect(),
            max_series: self.max_series,
            expire: self.expire.map(|expire| *expire),
        })
    }

    fn check_name(&self) -> Result<(), ConfigError> {
        if !is_name(&self.name, ":") {
            return Err(ConfigError::at("/name", format!("`{}` is not the name of a metric", self.name))
                .help("use letters, digits and `_`, and begin with a letter"));
        }
        if self.name.starts_with(RESERVED) {
            return Err(ConfigError::at(
                "/name",
                format!("names that begin with `{RESERVED}` are those of the engine"),
            ));
        }
        Ok(())
    }

    fn check_labels(&self, errors: &mut ConfigErrors) {
        errors.check(self.labels.len() <= MOST_LABELS, || {
            ConfigError::at("/labels", format!("there may be {MOST_LABELS} labels"))
        });
        for name in self.labels.keys() {
            let pointer = || format!("/labels/{}", name.replace('~', "~0").replace('/', "~1"));
            errors.check(is_name(name, "") && !name.starts_with("__"), || {
                ConfigError::at(pointer(), format!("`{name}` is not the name of a label"))
                    .help("use letters, digits and `_`, and begin with a letter")
            });
            errors.check(name != "le", || {
                ConfigError::at(pointer(), "`le` is the label of the buckets of a histogram")
            });
        }
    }

    fn metric_kind(&self) -> Result<MetricKind, ConfigError> {
        let Some(bounds) = &self.buckets else {
            return Ok(match self.kind {
                Type::Counter => MetricKind::Counter,
                Type::Gauge => MetricKind::Gauge,
                Type::Histogram => MetricKind::Histogram(BOUNDS.to_vec()),
            });
        };
        let wrong = |message: &str| Err(ConfigError::at("/buckets", message));
        if self.kind != Type::Histogram {
            return wrong("only a histogram has buckets");
        }
        if bounds.is_empty() || bounds.len() > MOST_BOUNDS {
            return wrong("there are between 1 and 100 bounds");
        }
        if bounds.iter().any(|bound| !bound.is_finite()) || !bounds.is_sorted_by(|one, next| one < next) {
            return wrong("the bounds are finite and ascend; a last bucket without a bound is added");
        }
        Ok(MetricKind::Histogram(bounds.clone()))
    }

    /// Warnings about options that are allowed and probably a mistake.
    pub(crate) fn warnings(&self) -> Vec<ConfigError> {
        let is_counter = self.kind == Type::Counter;
        if is_counter && !self.name.ends_with("_total") {
            let message = format!("the name of a counter ends with `_total`: `{}_total`", self.name);
            return vec![
                ConfigError::at("/name", message)
                    .help("tools of Prometheus expect it; it works without, too"),
            ];
        }
        Vec::new()
    }
}

/// True if `name` is a name in the format of Prometheus, in which the characters `also` are allowed as well.
fn is_name(name: &str, also: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || also.contains(c);
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}
