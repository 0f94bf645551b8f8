//! Smoothed current rates, computed from counters.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tidegate_runtime::status::{ComponentStatus, GraphStatus};

/// Time constant of the smoothing. Short enough to show a stall, long enough to be read.
const SMOOTHING: Duration = Duration::from_secs(3);

/// Activity of a component per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// Events that come in.
    pub(crate) events_in: f64,
    /// Events that go out.
    pub(crate) events_out: f64,
    /// Progress, in its own unit.
    pub(crate) progress: f64,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    events_in: u64,
    events_out: u64,
    progress: u64,
    /// `None` until there are two readings to compare.
    rate: Option<Rate>,
}

/// The rates of every component, by graph and position in it.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    last: Option<Instant>,
    /// Names of the graphs and components of the readings.
    names: Vec<String>,
    readings: HashMap<(usize, usize), Reading>,
}

impl Rates {
    /// Records the status at `now`.
    pub(crate) fn observe(&mut self, graphs: &[GraphStatus], now: Instant) {
        let passed = self.last.map(|last| now.duration_since(last)).unwrap_or_default();
        self.last = Some(now);
        if !self.names.iter().map(String::as_str).eq(names(graphs)) {
            // A reload has replaced components.
            self.names = names(graphs).map(str::to_owned).collect();
            self.readings.clear();
        }
        for (graph, status) in graphs.iter().enumerate() {
            for (index, component) in status.components.iter().enumerate() {
                let before = self.readings.get(&(graph, index));
                let reading = Reading::take(component, before, passed);
                self.readings.insert((graph, index), reading);
            }
        }
    }

    /// Returns the rate of component `index` of graph `graph`.
    pub(crate) fn of(&self, graph: usize, index: usize) -> Rate {
        self.readings.get(&(graph, index)).and_then(|reading| reading.rate).unwrap_or_default()
    }
}

fn names(graphs: &[GraphStatus]) -> impl Iterator<Item = &str> {
    graphs.iter().flat_map(|graph| {
        let components = graph.components.iter().map(|component| component.name.as_str());
        std::iter::once(graph.name.as_str()).chain(components)
    })
}

impl Reading {
    fn take(component: &ComponentStatus, before: Option<&Reading>, passed: Duration) -> Self {
        let counts = component.counts;
        let progress = component.progress.map_or(0, |(done, _)| done);
        let mut reading =
            Self { events_in: counts.events_in, events_out: counts.events_out, progress, rate: None };
        let seconds = passed.as_secs_f64();
        if let Some(before) = before.filter(|_| seconds > 0.0) {
            let current = Rate {
                events_in: reading.events_in.saturating_sub(before.events_in) as f64 / seconds,
                events_out: reading.events_out.saturating_sub(before.events_out) as f64 / seconds,
                progress: reading.progress.saturating_sub(before.progress) as f64 / seconds,
            };
            let weight = 1.0 - (-seconds / SMOOTHING.as_secs_f64()).exp();
            reading.rate = Some(before.rate.map_or(current, |smooth| smooth.towards(current, weight)));
        }
        reading
    }
}

impl Rate {
    fn towards(self, other: Self, weight: f64) -> Self {
        let step = |from: f64, to: f64| from + (to - from) * weight;
        Self {
            events_in: step(self.events_in, other.events_in),
            events_out: step(self.events_out, other.events_out),
            progress: step(self.progress, other.progress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::run::sample_status::{component, graph};
    use tidegate_runtime::status::GraphState;
    use tidegate_sdk::Kind;

    #[test]
    fn a_steady_rate_is_exact_and_a_stall_soon_lowers_it() {
        let start = Instant::now();
        let mut rates = Rates::default();
        let mut at = |seconds: u64, events: u64| {
            let mut users = component("users", Kind::Source);
            users.counts.events_in = events;
            rates.observe(
                &[graph("p", GraphState::Running, vec![users])],
                start + Duration::from_secs(seconds),
            );
            rates.of(0, 0).events_in
        };
        assert_eq!(at(0, 500), 0.0, "one reading says nothing about the rate");
        assert_eq!(at(1, 600), 100.0);
        assert_eq!(at(2, 700), 100.0);
        let stalled = at(5, 700);
        assert!(stalled > 30.0 && stalled < 40.0, "{stalled}");
        assert_eq!(rates.of(7, 7), Rate::default());
    }

    #[test]
    fn a_component_that_a_reload_adds_has_no_rate_of_its_predecessor() {
        let (start, mut rates) = (Instant::now(), Rates::default());
        for (second, name, events) in [(0, "users", 10), (1, "users", 20), (2, "orders", 5000)] {
            let mut source = component(name, Kind::Source);
            source.counts.events_in = events;
            let graphs = [graph("p", GraphState::Running, vec![source])];
            rates.observe(&graphs, start + Duration::from_secs(second));
        }
        assert_eq!(rates.of(0, 0), Rate::default());
    }
}
