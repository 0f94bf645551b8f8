//! The sink `metric`: records a value for each event.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_sdk::json::Path;
use tidegate_sdk::{
    Batch, ConfigError, Cx, Delivery, Error, Exclusive, Metric, MetricDefinition, MetricKind, Plugin,
    Resource, Sink, async_trait,
};

use crate::options::Options;

/// The limit for the value of a label, in bytes.
const LABEL_BYTES: usize = 256;

const SAMPLE: &str = r#"
[sink.requests]
plugin = "metric"
name = "http_requests_total"
labels = { status = ".status" }
"#;

/// A sink that records events in a metric.
struct MetricSink {
    options: Arc<Options>,
    definition: MetricDefinition,
    metric: Option<Arc<Metric>>,
    /// True once the log has warned of too many series.
    has_warned: Arc<AtomicBool>,
}

pub(crate) fn plugin() -> Plugin {
    Plugin::sink("metric", "Counts or measures events for Prometheus", SAMPLE, build)
}

fn build(options: Options) -> Result<MetricSink, ConfigError> {
    let definition = options.definition()?;
    Ok(MetricSink { options: Arc::new(options), definition, metric: None, has_warned: Arc::default() })
}

impl MetricSink {
    /// The label values and the value of an event.
    ///
    /// # Errors
    /// The reason why it cannot be recorded.
    fn read(&self, payload: &[u8]) -> Result<(Vec<String>, f64), String> {
        let mut labels = Vec::with_capacity(self.options.labels.len());
        for path in self.options.labels.values() {
            labels.push(cut(path.find_text(payload)?.unwrap_or_default()));
        }
        let value = match &self.options.value {
            Some(path) => number(path, payload)?,
            None => 1.0,
        };
        if value < 0.0 && self.definition.kind == MetricKind::Counter {
            return Err(format!("a counter only grows, and the value is {value}"));
        }
        Ok((labels, value))
    }

    fn warn_of_overflow(&self, cx: &Cx) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let (component, name, most) = (cx.component(), &self.definition.name, self.definition.max_series);
            tracing::warn!(
                component,
                "`{name}` has {most} combinations of label values, as many as `max_series` allows; further ones are \
                 recorded together, with the value `{}` for each label",
                tidegate_sdk::OVERFLOW
            );
        }
    }
}

#[async_trait]
impl Sink for MetricSink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if self.definition.help.is_empty() {
            self.definition.help = format!("Events of the sink {}.", cx.component());
        }
        self.metric = Some(cx.metrics().metric(&self.definition));
        Ok(())
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let metric = self.metric.as_ref().ok_or_else(|| Error::fatal("the sink is not open"))?;
        let (mut delivery, mut values) = (Delivery::complete(), Vec::with_capacity(batch.len()));
        for (event, payload) in batch.payloads().enumerate() {
            match self.read(payload) {
                Ok(value) => values.push(value),
                Err(reason) => delivery.reject(event, reason),
            }
        }
        if metric.record(values) > 0 {
            self.warn_of_overflow(cx);
        }
        Ok(delivery)
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        // The latest value of a gauge depends on the order of the events.
        (self.definition.kind != MetricKind::Gauge).then(|| {
            Box::new(Self {
                options: Arc::clone(&self.options),
                definition: self.definition.clone(),
                metric: None,
                has_warned: Arc::clone(&self.has_warned),
            }) as Box<dyn Sink>
        })
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        vec![Exclusive::new("/name", Resource::Named(format!("the metric {}", self.definition.name)))]
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.options.warnings()
    }
}

/// The number at `path`.
fn number(path: &Path, payload: &[u8]) -> Result<f64, String> {
    let text = path.find_text(payload)?.ok_or_else(|| format!("the event has no value at `{path}`"))?;
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("the value at `{path}` is not a number: {}", cut(text)))
}

/// The first bytes of a text.
fn cut(text: Cow<'_, str>) -> String {
    let mut text = text.into_owned();
    let end = (0..=LABEL_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}
