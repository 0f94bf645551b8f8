//! Child process: times rounds of calls and reports medians.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_loader::{Loader, Wanted};
use tidegate_sdk::{Batch, Cx, Isolation, Kind, Placement, Plugin};
use tidegate_testkit::conformance;
use tokio_util::sync::CancellationToken;

use super::arguments::PluginBench;
use super::drive::{Done, Driven, Factory};
use super::{BenchEvent, Row};
use crate::commands::plugins::check;
use crate::commands::plugins::child::send;
use crate::exit::{Exit, Failure};
use crate::threads::multi_thread;

/// Name of the line of the built-in plugin.
pub(super) const BUILT_IN: &str = "built in";
/// Isolations of a library, with their names.
const ISOLATIONS: [(&str, Isolation); 3] =
    [("inline", Isolation::Inline), ("thread", Isolation::Thread), ("process", Isolation::Process)];
/// Number of rounds.
const ROUNDS: usize = 5;
/// Events of a batch.
const EVENTS: usize = 1000;
/// Least time of calls between two readings of the clock.
const CLOCK: Duration = Duration::from_micros(500);
/// Time limit of the calls between two readings of the clock.
const LONGEST: Duration = Duration::from_secs(5);

/// Measures as the arguments in JSON request, and reports on standard output.
pub(crate) fn serve(how: &str) -> Result<Exit, Failure> {
    let how: PluginBench = serde_json::from_str(how).map_err(|error| Failure::wrong(error.to_string()))?;
    let program = std::env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
    let loader = Loader::strict(program);
    let opened = loader.open(Wanted { path: &how.file, sha256: None });
    let plugins = opened.map_err(|refusal| Failure::wrong(refusal.to_string()))?;
    if let Some(library) = plugins.first().and_then(Plugin::library) {
        send(&BenchEvent::Library(library.title().to_owned()))?;
    }
    let uses = match &how.pipeline {
        Some(pipeline) => check::uses(pipeline, &how.file)?,
        None => Vec::new(),
    };
    let runtime = multi_thread()?;
    for plugin in &plugins {
        if how.name.as_ref().is_some_and(|name| name != plugin.name()) {
            continue;
        }
        send(&BenchEvent::Plugin(format!("{} {}", plugin.kind(), plugin.name())))?;
        let mut used = uses.iter().filter(|(kind, name, _)| *kind == plugin.kind() && name == plugin.name());
        let options = match (&how.options, used.next()) {
            (Some(options), _) | (None, Some((_, _, options))) => options.clone(),
            (None, None) if plugin.kind() == Kind::Filter => conformance::sample_options(plugin),
            (None, None) => {
                let why =
                    "the options of its sample do not fit this machine: give `--options` or `--pipeline`";
                send(&BenchEvent::Skipped(format!("the {}", plugin.kind()), why.to_owned()))?;
                continue;
            }
        };
        let seconds = how.seconds;
        let plugin = plugin.clone();
        // Runs in a task, so that a wake costs the same as in the engine.
        let cx = Cx::new("bench", CancellationToken::new());
        let measuring = cx.clone();
        let task = async move { lines(&plugin, &options, seconds, &measuring).await };
        let joined = runtime.block_on(async { cx.spawn(task).await });
        joined.map_err(|error| Failure::failed(error.to_string()))??;
    }
    send(&BenchEvent::Over)?;
    Ok(Exit::Done)
}

/// Measures a plugin in each isolation, and one that does nothing.
async fn lines(plugin: &Plugin, options: &Value, seconds: f64, cx: &Cx) -> Result<(), Failure> {
    let many = batch(EVENTS);
    let time = Duration::from_secs_f64(seconds) / 2;
    let kind = plugin.kind();
    report_line(BUILT_IN, kind, line(&Factory::Idle(kind, &many), time, cx).await)?;
    for (name, isolation) in ISOLATIONS {
        let placed = plugin.clone().placed(Placement { isolation, ..Placement::default() });
        report_line(name, kind, line(&Factory::Plugin(&placed, options), time, cx).await)?;
    }
    Ok(())
}

fn report_line(name: &str, kind: Kind, measured: Result<Line, String>) -> Result<(), Failure> {
    let line = match measured {
        Ok(line) => line,
        Err(why) => return send(&BenchEvent::Skipped(name.to_owned(), why)),
    };
    send(&BenchEvent::Row(Row {
        isolation: name.to_owned(),
        nanoseconds_per_call: line.per_call.median,
        nanoseconds_per_event: line.per_event.median,
        wakes_per_call: line.wakes,
        out: (kind == Kind::Filter).then_some(line.out),
        spread: line.per_call.spread.max(line.per_event.spread),
    }))
}

/// Measurements in one isolation.
struct Line {
    per_call: Median,
    per_event: Median,
    wakes: f64,
    out: f64,
}

/// Measures calls with one event and with many, for this long.
async fn line(factory: &Factory<'_>, time: Duration, cx: &Cx) -> Result<Line, String> {
    let mut bench = Bench { factory, cx, driven: factory.open(cx).await?, worked: false };
    let (one, many) = (batch(1), batch(EVENTS));
    // Warms up.
    bench.round(&many, time / 10).await?;
    let (mut calls, mut events) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        calls.push(bench.round(&one, time / ROUNDS as u32).await?);
        events.push(bench.round(&many, time / ROUNDS as u32).await?);
    }
    bench.driven.close(cx).await?;
    let all = |take: fn(&Round) -> usize| events.iter().map(take).sum::<usize>() as f64;
    let (events_in, events_out) = (all(|round| round.events), all(|round| round.out));
    let wakes: usize = calls.iter().map(|round| round.wakes).sum();
    let called: usize = calls.iter().map(|round| round.calls).sum();
    Ok(Line {
        per_call: Median::of(calls.iter().map(|round| round.nanoseconds() / round.calls as f64)),
        per_event: Median::of(events.iter().map(|round| round.nanoseconds() / round.events as f64)),
        wakes: wakes as f64 / called as f64,
        out: events_out / events_in,
    })
}

/// Totals of a round.
#[derive(Default)]
struct Round {
    time: Duration,
    calls: usize,
    events: usize,
    out: usize,
    wakes: usize,
}

impl Round {
    fn nanoseconds(&self) -> f64 {
        self.time.as_nanos() as f64
    }

    fn add(&mut self, done: Done) {
        self.calls += 1;
        self.events += done.events;
        self.out += done.out;
        self.wakes += done.wakes;
    }
}

struct Bench<'a> {
    factory: &'a Factory<'a>,
    cx: &'a Cx,
    driven: Driven,
    /// True if it has processed an event.
    worked: bool,
}

impl Bench<'_> {
    /// Makes calls for this long. The time to build another component does not count.
    async fn round(&mut self, batch: &Batch, time: Duration) -> Result<Round, String> {
        let (mut round, mut at_once, since) = (Round::default(), 1, Instant::now());
        // Limits the time for a source that ends early and is rebuilt often.
        while round.time < time && (round.events == 0 || since.elapsed() < time * 4) {
            let started = Instant::now();
            let calls = tokio::time::timeout(LONGEST, self.calls(batch, at_once, &mut round)).await;
            let goes_on = calls.map_err(|_| format!("a call takes more than {LONGEST:?}"))??;
            let took = started.elapsed();
            round.time += took;
            if !goes_on {
                self.rebuild().await?;
            } else if took < CLOCK {
                at_once *= 2;
            }
        }
        Ok(round)
    }

    /// Makes `count` calls. Returns false if it is a source that has ended.
    async fn calls(&mut self, batch: &Batch, count: usize, round: &mut Round) -> Result<bool, String> {
        for _ in 0..count {
            let Some(done) = self.driven.call(batch, self.cx).await? else { return Ok(false) };
            round.add(done);
            self.worked |= done.events > 0;
        }
        Ok(true)
    }

    /// Replaces a source that has ended.
    async fn rebuild(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.worked) {
            return Err("it ends before its first event".into());
        }
        let ended = std::mem::replace(&mut self.driven, self.factory.open(self.cx).await?);
        ended.close(self.cx).await
    }
}

/// Median of a few numbers, and their spread.
struct Median {
    median: f64,
    spread: f64,
}

impl Median {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let (first, last) = (numbers.first().copied(), numbers.last().copied());
        let median = numbers.get(numbers.len() / 2).copied().unwrap_or_default();
        let range = last.unwrap_or_default() - first.unwrap_or_default();
        Self { median, spread: if median > 0.0 { range / 2.0 / median } else { 0.0 } }
    }
}

/// Builds a batch of events of about 200 bytes, as a source does.
fn batch(events: usize) -> Batch {
    const LEVELS: [&str; 3] = ["INFO", "WARN", "ERROR"];
    let mut builder = Batch::builder();
    for number in 0..events {
        let (level, status) = (LEVELS[number % 3], if number % 2 == 0 { "active" } else { "gone" });
        let event = format!(
            r#"{{"id":{number},"name":"Ada Lovelace","status":"{status}","age":36,"level":"{level}","time":"2026-11-22T10:00:00Z","message":"the tide gate of the harbour was opened for the ship at the quay","tags":["a","b"]}}"#
        );
        builder.push_copy(event.as_bytes());
    }
    builder.finish().stamped(&Arc::from("bench"), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_is_half_of_the_range() {
        let of = Median::of([3.0, 1.0, 2.0, 10.0, 2.0].into_iter());
        assert_eq!((of.median, of.spread), (2.0, 2.25));
        assert_eq!(Median::of(std::iter::empty()).spread, 0.0);
    }

    #[test]
    fn events_are_as_long_as_the_help_says() {
        let batch = batch(EVENTS);
        assert!((180..220).contains(&(batch.bytes() / EVENTS)), "{}", batch.bytes() / EVENTS);
    }
}
