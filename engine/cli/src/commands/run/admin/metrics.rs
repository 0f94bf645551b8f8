//! Metrics in the Prometheus text format, version 0.0.4.
//!
//! Labels of the engine's own metrics come from the configuration. Those of the sink `metric` come from events, up to a
//! limit.
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::sync::Arc;

use tidegate_runtime::status::{ComponentStatus, GraphStatus, Health, Latency};
use tidegate_sdk::{Metric, MetricKind};

use crate::commands::run::reloads::{Outcome, Reloads};

/// The media type of [`render`]'s text.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric with at most one value for each component.
struct PerComponent {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&ComponentStatus) -> Option<f64>,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&ComponentStatus) -> Option<f64>,
) -> PerComponent {
    PerComponent { name, kind: "counter", help, value }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&ComponentStatus) -> Option<f64>,
) -> PerComponent {
    PerComponent { name, kind: "gauge", help, value }
}

const PER_COMPONENT: [PerComponent; 16] = [
    counter("tidegate_events_in_total", "Events that came in.", |one| Some(one.counts.events_in as f64)),
    counter("tidegate_bytes_in_total", "Payload bytes that came in.", |one| Some(one.counts.bytes_in as f64)),
    counter("tidegate_events_out_total", "Events that went out; of a sink, that were delivered.", |one| {
        Some(one.counts.events_out as f64)
    }),
    counter("tidegate_bytes_out_total", "Payload bytes that went out.", |one| {
        Some(one.counts.bytes_out as f64)
    }),
    counter("tidegate_events_rejected_total", "Events that could not be processed.", |one| {
        Some(one.counts.rejected as f64)
    }),
    counter("tidegate_dead_letters_total", "Events that could not be processed and are kept.", |one| {
        Some(one.counts.dead_letters as f64)
    }),
    counter(
        "tidegate_events_done_elsewhere_total",
        "Events that another process of the group had done before.",
        |one| Some(one.counts.elsewhere as f64),
    ),
    counter(
        "tidegate_events_cancelled_total",
        "Events that were dropped because their client is gone.",
        |one| Some(one.counts.cancelled as f64),
    ),
    counter("tidegate_events_skipped_total", "Events that skipped a sink that is not required.", |one| {
        Some(one.counts.skipped as f64)
    }),
    counter("tidegate_retries_total", "Failed attempts that were repeated.", |one| {
        Some(one.counts.retried as f64)
    }),
    counter("tidegate_wait_upstream_seconds_total", "Time spent waiting for input.", |one| {
        Some(one.counts.waited_upstream.as_secs_f64())
    }),
    counter(
        "tidegate_wait_downstream_seconds_total",
        "Time spent waiting for the downstream queue.",
        |one| Some(one.counts.waited_downstream.as_secs_f64()),
    ),
    gauge("tidegate_queue_bytes", "Bytes in the input queue.", |one| {
        one.queue.map(|queue| queue.bytes as f64)
    }),
    gauge("tidegate_queue_capacity_bytes", "Capacity of the input queue in bytes.", |one| {
        one.queue.map(|queue| queue.capacity as f64)
    }),
    gauge("tidegate_component_ready", "1 if the component can do its work or has ended, else 0.", |one| {
        Some(f64::from(u8::from(matches!(one.health, Health::Ready | Health::Ended))))
    }),
    gauge("tidegate_progress_ratio", "Progress of a source with an end, from 0 to 1.", |one| {
        one.progress.filter(|(_, total)| *total > 0).map(|(done, total)| done as f64 / total as f64)
    }),
];

/// A metric with one value for each graph.
struct PerGraph {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&GraphStatus) -> f64,
}

const PER_GRAPH: [PerGraph; 4] = [
    PerGraph {
        name: "tidegate_in_flight_events",
        kind: "gauge",
        help: "Events read and not yet acknowledged.",
        value: |graph| graph.in_flight_events as f64,
    },
    PerGraph {
        name: "tidegate_in_flight_bytes",
        kind: "gauge",
        help: "Payload bytes read and not yet acknowledged.",
        value: |graph| graph.in_flight_bytes as f64,
    },
    PerGraph {
        name: "tidegate_restarts_total",
        kind: "counter",
        help: "Restarts of the graph after a failure.",
        value: |graph| graph.restarts as f64,
    },
    PerGraph {
        name: "tidegate_graph_ready",
        kind: "gauge",
        help: "1 if the graph has not failed and each of its components is ready or has ended, else 0.",
        value: |graph| f64::from(u8::from(crate::commands::run::health::is_ready(graph))),
    },
];

/// Renders every metric.
pub(crate) fn render(graphs: &[GraphStatus], reloads: &Reloads) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    page.family("tidegate_build_info", "gauge", "Version of the program.");
    page.sample("tidegate_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    page.reloads(reloads);
    for metric in &PER_GRAPH {
        page.family(metric.name, metric.kind, metric.help);
        for graph in graphs {
            page.sample(metric.name, &[("pipeline", &graph.name)], (metric.value)(graph));
        }
    }
    for metric in &PER_COMPONENT {
        page.family(metric.name, metric.kind, metric.help);
        for (labels, component) in components(graphs) {
            if let Some(value) = (metric.value)(component) {
                page.sample(metric.name, &labels, value);
            }
        }
    }
    let help = "Duration of batches; of a source, from read to acknowledged.";
    page.family("tidegate_batch_duration_seconds", "histogram", help);
    for (labels, component) in components(graphs) {
        let Latency { bounds, counts, sum_micros } = &component.latency;
        let histogram = (*bounds, counts.as_slice(), *sum_micros as f64 / 1e6);
        page.histogram("tidegate_batch_duration_seconds", &labels, histogram);
    }
    page.of_events(graphs);
    page.0
}

type Labels<'a> = [(&'static str, &'a str); 4];

fn components(graphs: &[GraphStatus]) -> impl Iterator<Item = (Labels<'_>, &ComponentStatus)> {
    graphs.iter().flat_map(|graph| {
        graph.components.iter().map(|component| {
            let labels = [
                ("pipeline", graph.name.as_str()),
                ("component", component.name.as_str()),
                ("kind", component.kind.name()),
                ("plugin", component.plugin.as_str()),
            ];
            (labels, component)
        })
    })
}

/// Text of the page. Writing to a `String` never fails, so the results of `write!` are ignored.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let opening = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{opening}{label}=\"{}\"", LabelValue(text));
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{closing} {value}");
    }

    fn reloads(&mut self, reloads: &Reloads) {
        let (total, success) = ("tidegate_reloads_total", "tidegate_last_reload_success");
        self.family(total, "counter", "Reloads of the pipeline files by outcome.");
        for (outcome, count) in Outcome::ALL.into_iter().zip(reloads.counts) {
            self.sample(total, &[("outcome", outcome.name())], count as f64);
        }
        self.family(success, "gauge", "1 if the last reload was done, else 0.");
        let is_good = reloads.last.as_ref().is_none_or(|last| last.outcome == Outcome::Done);
        self.sample(success, &[], f64::from(u8::from(is_good)));
        let resident = "tidegate_resident_libraries";
        let help = "Shared libraries in this process, including replaced ones.";
        self.family(resident, "gauge", help);
        self.sample(resident, &[], reloads.resident_libraries as f64);
    }

    /// Writes the metrics that components make of their events. Names are unique: `check` and the start see to it.
    fn of_events(&mut self, graphs: &[GraphStatus]) {
        let components = graphs.iter().flat_map(|graph| &graph.components);
        let metrics = components.flat_map(|component| &component.user_metrics);
        let by_name: BTreeMap<&str, &Arc<Metric>> =
            metrics.map(|metric| (metric.definition().name.as_str(), metric)).collect();
        for (name, metric) in by_name {
            let definition = metric.definition();
            let (kind, bounds): (_, &[f64]) = match &definition.kind {
                MetricKind::Counter => ("counter", &[]),
                MetricKind::Gauge => ("gauge", &[]),
                MetricKind::Histogram(bounds) => ("histogram", bounds),
            };
            self.family(name, kind, &definition.help.replace('\\', "\\\\").replace('\n', "\\n"));
            for (values, series) in metric.series() {
                let names = definition.labels.iter().map(String::as_str);
                let labels: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
                if series.buckets.is_empty() {
                    self.sample(name, &labels, series.value);
                } else {
                    self.histogram(name, &labels, (bounds, &series.buckets, series.value));
                }
            }
        }
    }

    /// Writes a histogram: its bounds, the counts of its buckets, and its sum. Buckets are cumulative on the page, and the
    /// last one, `+Inf`, equals the count.
    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        (bounds, counts, sum): (&[f64], &[u64], f64),
    ) {
        if counts.is_empty() {
            return;
        }
        let (bucket, mut total) = (format!("{name}_bucket"), 0);
        for (index, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.sample(&bucket, &with_bound, total as f64);
        }
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, total as f64);
    }
}

/// Value of a label, escaped.
struct LabelValue<'a>(&'a str);

impl Display for LabelValue<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in self.0.chars() {
            match one {
                '\\' => formatter.write_str("\\\\")?,
                '"' => formatter.write_str("\\\"")?,
                '\n' => formatter.write_str("\\n")?,
                one => formatter.write_char(one)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
