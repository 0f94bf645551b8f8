//! Rules of sources.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_sdk::{BATCH_EVENTS, BoxFuture, Commit, Cx, Outcome, Plugin, Position, Source, SourceBatch};
use tokio_util::sync::CancellationToken;

use super::{Rules, domain, manual};
use crate::{build_source, context};

/// The longest position that is stored, in bytes.
const POSITION: usize = 64 << 10;

/// Number of positions from which the source is resumed.
const RESUMES: usize = 8;

/// Tests a source with these options, whose input holds `events` events now, and the same each time that the
/// source is opened.
///
/// It is read to its end, or until that many events have come; then it is asked to stop. If its batches have
/// positions, and it has no committer, it is resumed from them, and nothing may be missing or come twice.
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub async fn source(plugin: &Plugin, options: &Value, events: usize) {
    let rules = Rules::of(plugin);
    manual::with_options(plugin, options);
    domain::domain(plugin, options);
    stops_at_once(rules, &mut *build_source(plugin, options)).await;

    let (cx, stopping) = context();
    let mut first = Reading::of(rules, build_source(plugin, options), cx).await;
    first.read(events, &stopping).await;
    let count = first.payloads.len();
    rules.keeps("every event is read", count == events, format_args!("{count} of {events}"));
    if first.commits || first.positions.len() != first.ends.len() {
        return;
    }
    let mut resume = BTreeMap::new();
    let places = first.positions.iter().zip(&first.ends);
    for ((partition, position), end) in places.take(RESUMES) {
        resume.insert(partition.clone(), position.clone());
        let (cx, stopping) = context();
        let cx = cx.with_resume(resume.clone());
        let mut rest = Reading::of(rules, build_source(plugin, options), cx).await;
        rest.read(events - end, &stopping).await;
        let [mut expected, mut found] = [first.payloads[*end..].to_vec(), rest.payloads];
        // Partitions may come in another order.
        expected.sort();
        found.sort();
        let counts = format!("{} events instead of {} after {position:?}", found.len(), expected.len());
        rules.keeps("a position resumes without a gap and without a repeat", expected == found, counts);
    }
}

/// A source that is to stop as soon as it is open ends, whatever there is to read.
async fn stops_at_once(rules: Rules<'_>, source: &mut dyn Source) {
    let (cx, stopping) = context();
    let opened = rules.ends("open", source.open(&cx)).await;
    rules.keeps("it opens", opened.is_ok(), format_args!("{opened:?}"));
    stopping.cancel();
    let reading = async { while let Ok(Some(_)) = source.next(&cx).await {} };
    rules.ends("next, while the pipeline drains,", reading).await;
    let closed = rules.ends("close", source.close(&cx)).await;
    rules.keeps("it closes", closed.is_ok(), format_args!("{closed:?}"));
    rules.ends("its tasks", cx.tasks().joined()).await;
}

/// A source, and the events read from it.
struct Reading<'a> {
    rules: Rules<'a>,
    source: Box<dyn Source>,
    committer: Option<Box<dyn Commit>>,
    cx: Cx,
    payloads: Vec<Vec<u8>>,
    /// The position after each batch that has one.
    positions: Vec<(String, Position)>,
    /// Number of events up to the end of each batch.
    ends: Vec<usize>,
    commits: bool,
}

impl<'a> Reading<'a> {
    async fn of(rules: Rules<'a>, mut source: Box<dyn Source>, cx: Cx) -> Self {
        let opened = rules.ends("open", source.open(&cx)).await;
        rules.keeps("it opens", opened.is_ok(), format_args!("{opened:?}"));
        let committer = source.committer();
        let commits = committer.is_some();
        let (payloads, positions, ends) = (Vec::new(), Vec::new(), Vec::new());
        Self { rules, source, committer, cx, payloads, positions, ends, commits }
    }

    /// Reads `events` events, stops the source, reads what it still has, and closes it.
    async fn read(&mut self, events: usize, stopping: &CancellationToken) {
        let mut ended = false;
        while !ended && self.payloads.len() < events {
            ended = !self.next().await;
        }
        stopping.cancel();
        while !ended {
            ended = !self.next().await;
        }
        ended = !self.next().await;
        self.rules.keeps("after the end comes nothing", ended, "`next` gave a batch after `None`");
        let closed = self.rules.ends("close", self.source.close(&self.cx)).await;
        self.rules.keeps("it closes", closed.is_ok(), format_args!("{closed:?}"));
        // A task of the committer may end only when that is gone.
        self.committer = None;
        self.rules.ends("its tasks", self.cx.tasks().joined()).await;
    }

    /// Takes one batch; false at the end.
    async fn next(&mut self) -> bool {
        let next: BoxFuture<'_, _> = self.source.next(&self.cx);
        match self.rules.ends("next", next).await {
            Ok(Some(batch)) => self.take(batch).await,
            Ok(None) => return false,
            Err(error) => self.rules.keeps("it reads without an error", false, error),
        }
        true
    }

    async fn take(&mut self, next: SourceBatch) {
        let (rules, batch) = (self.rules, &next.batch);
        rules.keeps("a batch is of a bounded size", batch.len() <= BATCH_EVENTS, batch.len());
        rules.keeps("a source's batch is of one run", batch.runs().len() == 1, batch.runs().len());
        self.payloads.extend(batch.payloads().map(<[u8]>::to_vec));
        self.ends.push(self.payloads.len());
        let origin = batch.runs()[0].origin.clone();
        let fits = batch.len() as u64 + next.rejected.len() as u64 > 0 || origin.position.is_some();
        rules.keeps("a batch without events says something", fits, "no event, no rejection, no position");
        if let Some(done) = next.done {
            rules.no_panic("its callback for the end of a batch", || done(Outcome::Delivered));
        }
        if let Some(position) = &origin.position {
            let length = position.as_bytes().len();
            rules.keeps("a position is at most 64 KiB", length <= POSITION, length);
            self.positions.push((origin.partition.to_string(), position.clone()));
            if let Some(committer) = &mut self.committer {
                let committed = rules.ends("commit", committer.commit(&origin.partition, position)).await;
                rules.keeps("a position can be committed", committed.is_ok(), format_args!("{committed:?}"));
            }
        }
    }
}
