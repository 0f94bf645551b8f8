//! Metrics that a component makes of its events, for `/metrics`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The metrics of one component. They live as long as the component has its name and plugin, across restarts and reloads.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<Arc<Metric>>>);

impl Metrics {
    /// The metric with this definition. If it has counted before, it goes on; a metric with another definition of the same
    /// name is replaced.
    pub fn metric(&self, definition: &MetricDefinition) -> Arc<Metric> {
        let mut all = self.0.lock();
        if let Some(known) = all.iter().find(|known| known.definition == *definition) {
            return Arc::clone(known);
        }
        let metric = Arc::new(Metric { definition: definition.clone(), series: Mutex::default() });
        all.retain(|other| other.definition.name != definition.name);
        all.push(Arc::clone(&metric));
        metric
    }

    /// All metrics.
    pub fn all(&self) -> Vec<Arc<Metric>> {
        self.0.lock().clone()
    }
}

/// The definition of a metric, in the terms of Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricDefinition {
    /// The name, such as `http_requests_total`.
    pub name: String,
    /// A sentence for people.
    pub help: String,
    /// The type.
    pub kind: MetricKind,
    /// The names of the labels.
    pub labels: Vec<String>,
    /// The limit for series: combinations of label values.
    pub max_series: usize,
    /// Time after which a series without a new value is dropped.
    pub expire: Option<Duration>,
}

/// The type of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// The latest value.
    Gauge,
    /// Counts of values by upper bound. The bounds are finite and ascend; a last bucket without a bound is added.
    Histogram(Vec<f64>),
}

impl MetricKind {
    /// The number of buckets of a series.
    fn buckets(&self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 0,
            Self::Histogram(bounds) => bounds.len() + 1,
        }
    }
}

/// The value of each label of the series that holds all values beyond the limit for series.
pub const OVERFLOW: &str = "_other";

/// A metric with its series.
#[derive(Debug)]
pub struct Metric {
    definition: MetricDefinition,
    series: Mutex<HashMap<Vec<String>, Series>>,
}

/// The state of one series.
#[derive(Clone, Debug)]
pub struct Series {
    /// The sum of a counter or histogram, or the value of a gauge.
    pub value: f64,
    /// The number of values in each bucket of a histogram, not cumulative.
    pub buckets: Vec<u64>,
    changed: Instant,
}

impl Metric {
    /// The definition.
    pub fn definition(&self) -> &MetricDefinition {
        &self.definition
    }

    /// Records values, each with the values of the labels. Returns the number of values that went to the series [`OVERFLOW`].
    pub fn record(&self, values: impl IntoIterator<Item = (Vec<String>, f64)>) -> usize {
        let now = Instant::now();
        let mut all = self.series.lock();
        let (mut overflow, mut may_expire) = (0, true);
        for (mut labels, value) in values {
            if all.len() >= self.definition.max_series && !all.contains_key(&labels) {
                // At one point in time, a look that finds no expired series need not be repeated.
                may_expire = may_expire && self.expire(&mut all, now);
                if all.len() >= self.definition.max_series {
                    overflow += 1;
                    labels.fill(OVERFLOW.to_owned());
                }
            }
            self.record_one(&mut all, labels, value, now);
        }
        overflow
    }

    fn record_one(
        &self,
        all: &mut HashMap<Vec<String>, Series>,
        labels: Vec<String>,
        value: f64,
        now: Instant,
    ) {
        let kind = &self.definition.kind;
        let series = all.entry(labels).or_insert_with(|| Series {
            value: 0.0,
            buckets: vec![0; kind.buckets()],
            changed: now,
        });
        series.changed = now;
        match kind {
            MetricKind::Counter => series.value += value,
            MetricKind::Gauge => series.value = value,
            MetricKind::Histogram(bounds) => {
                series.value += value;
                series.buckets[bounds.partition_point(|bound| *bound < value)] += 1;
            }
        }
    }

    /// Drops expired series. Returns true if there were any.
    fn expire(&self, all: &mut HashMap<Vec<String>, Series>, now: Instant) -> bool {
        let before = all.len();
        if let Some(expire) = self.definition.expire {
            all.retain(|_, series| now.duration_since(series.changed) < expire);
        }
        all.len() < before
    }

    /// All series that have not expired, ordered by label values.
    pub fn series(&self) -> Vec<(Vec<String>, Series)> {
        let mut all = self.series.lock();
        self.expire(&mut all, Instant::now());
        let mut list: Vec<_> = all.iter().map(|(labels, series)| (labels.clone(), series.clone())).collect();
        drop(all);
        list.sort_by(|(one, _), (other, _)| one.cmp(other));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: MetricKind) -> MetricDefinition {
        MetricDefinition {
            name: "requests".into(),
            help: String::new(),
            kind,
            labels: vec!["code".into()],
            max_series: 2,
            expire: None,
        }
    }

    fn values(metric: &Metric) -> Vec<(String, f64)> {
        metric.series().into_iter().map(|(labels, series)| (labels.join(","), series.value)).collect()
    }

    fn record(metric: &Metric, values: &[(&str, f64)]) -> usize {
        metric.record(values.iter().map(|(label, value)| (vec![(*label).to_owned()], *value)))
    }

    #[test]
    fn counter_adds_and_gauge_replaces() {
        for (kind, expected) in [(MetricKind::Counter, 5.0), (MetricKind::Gauge, 3.0)] {
            let metric = Metrics::default().metric(&definition(kind));
            assert_eq!(record(&metric, &[("a", 2.0), ("a", 3.0)]), 0);
            assert_eq!(values(&metric), [("a".to_owned(), expected)]);
        }
    }

    #[test]
    fn histogram_counts_a_value_on_a_bound_below_it() {
        let metric = Metrics::default().metric(&definition(MetricKind::Histogram(vec![1.0, 5.0])));
        record(&metric, &[("a", 1.0), ("a", 1.5), ("a", 9.0), ("a", -1.0)]);
        let (_, series) = metric.series().remove(0);
        assert_eq!((series.buckets, series.value), (vec![2, 1, 1], 10.5));
    }

    #[test]
    fn values_beyond_the_limit_share_a_series() {
        let metric = Metrics::default().metric(&definition(MetricKind::Counter));
        assert_eq!(record(&metric, &[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0), ("a", 1.0)]), 2);
        let expected =
            [("_other", 2.0), ("a", 2.0), ("b", 1.0)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(values(&metric), expected);
    }

    #[test]
    fn expired_series_make_room() {
        let expire = Some(Duration::ZERO);
        let metric = Metrics::default().metric(&MetricDefinition { expire, ..definition(MetricKind::Gauge) });
        assert_eq!(record(&metric, &[("a", 1.0), ("b", 1.0), ("c", 1.0)]), 0);
        assert!(metric.series().is_empty());
    }

    #[test]
    fn equal_definition_goes_on_and_another_one_starts_from_zero() {
        let metrics = Metrics::default();
        record(&metrics.metric(&definition(MetricKind::Counter)), &[("a", 1.0)]);
        assert_eq!(values(&metrics.metric(&definition(MetricKind::Counter))).len(), 1);
        assert_eq!(values(&metrics.metric(&definition(MetricKind::Gauge))).len(), 0);
        assert_eq!(metrics.all().len(), 1);
    }
}
