//! What the sinks of an effectively-once graph say of its lanes: how far each is, by its own record.
//!
//! Every sink is claimed before a source of the graph is opened. The source resumes where the sink that is
//! furthest behind is, and what a sink has beyond that is kept from it a second time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_config::Graph;
use tidegate_sdk::{Kind, Lane, Record};
use tokio::sync::Notify;

use crate::delivery::checkpoint::{SourcePositions, StoredPosition};

/// The claims of one run.
#[derive(Debug)]
pub(crate) struct SinkProgress {
    /// By source component, the sinks that its events can reach.
    reach: BTreeMap<String, Vec<String>>,
    /// By sink component, once it is claimed.
    sinks: Mutex<BTreeMap<String, ClaimedSink>>,
    changed: Notify,
}

/// What one sink has.
#[derive(Debug, Default)]
struct ClaimedSink {
    /// As it was claimed.
    records: BTreeMap<Lane, Record>,
    /// What it has committed since, as the number of the first event that is not done.
    done: BTreeMap<Lane, u64>,
}

impl SinkProgress {
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut reached: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        let mut reach: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Nodes stand behind those that feed them, so each knows its sources when its turn comes.
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut sources: Vec<usize> = match node.kind() {
                Kind::Source => vec![index],
                _ => node.inputs.iter().flat_map(|input| reached[input.node].clone()).collect(),
            };
            sources.sort_unstable();
            sources.dedup();
            if node.kind() == Kind::Sink {
                for source in &sources {
                    reach.entry(graph.nodes[*source].name.clone()).or_default().push(node.name.clone());
                }
            }
            reached[index] = sources;
        }
        Self { reach, sinks: Mutex::default(), changed: Notify::new() }
    }

    /// The sinks that the source's events can reach.
    pub(crate) fn sinks_of(&self, source: &str) -> &[String] {
        self.reach.get(source).map(Vec::as_slice).unwrap_or_default()
    }

    /// A sink is claimed, and this is how far its lanes are.
    pub(crate) fn claimed(&self, sink: &str, records: BTreeMap<Lane, Record>) {
        let done = records.iter().map(|(lane, record)| (lane.clone(), record.done)).collect();
        self.sinks().insert(sink.to_owned(), ClaimedSink { records, done });
        self.changed.notify_waiters();
    }

    /// Resolves when every sink that the source's events can reach is claimed.
    pub(crate) async fn all_claimed(&self, source: &str) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let complete = {
                let sinks = self.sinks();
                self.reach.get(source).into_iter().flatten().all(|sink| sinks.contains_key(sink))
            };
            if complete {
                return;
            }
            changed.await;
        }
    }

    /// The number of the first event of a lane that the sink had not done when it was claimed.
    pub(crate) fn done_when_claimed(&self, sink: &str, lane: &Lane) -> u64 {
        let sinks = self.sinks();
        sinks.get(sink).and_then(|claimed| claimed.records.get(lane)).map_or(0, |record| record.done)
    }

    /// The number of the first event of a lane that the sink has not done.
    pub(crate) fn done(&self, sink: &str, lane: &Lane) -> u64 {
        self.sinks().get(sink).and_then(|claimed| claimed.done.get(lane).copied()).unwrap_or(0)
    }

    /// The sink has committed up to there.
    pub(crate) fn committed(&self, sink: &str, lane: &Lane, done: u64) {
        if let Some(claimed) = self.sinks().get_mut(sink) {
            claimed.done.insert(lane.clone(), done);
        }
    }

    /// How far each sink that the lane reaches is, for a checkpoint: 0 for one that has nothing yet.
    pub(crate) fn of_lane(&self, lane: &Lane) -> BTreeMap<String, u64> {
        let sinks = self.sinks();
        let reached = self.reach.get(&*lane.source).into_iter().flatten();
        let done = |sink: &String| sinks.get(sink).and_then(|claimed| claimed.done.get(lane).copied());
        reached.map(|sink| (sink.clone(), done(sink).unwrap_or(0))).collect()
    }

    /// Where a source resumes: where the sink that is furthest behind is, or further on at the local
    /// checkpoint, if every sink was there when it was written and none is behind what it was then (all events in
    /// between were dropped on purpose).
    ///
    /// # Errors
    /// If a sink has no record of a lane in which it had committed something.
    pub(crate) fn resume(&self, source: &str, local: &SourcePositions) -> Result<SourcePositions, String> {
        let sinks = self.sinks();
        let reached: Vec<&String> = self.reach.get(source).into_iter().flatten().collect();
        let lanes = sinks.values().flat_map(|claimed| claimed.records.keys());
        let mut partitions: Vec<&str> =
            lanes.filter(|lane| &*lane.source == source).map(|lane| &*lane.partition).collect();
        partitions.extend(local.keys().map(String::as_str));
        partitions.sort_unstable();
        partitions.dedup();
        let mut places = SourcePositions::new();
        for partition in partitions {
            let lane = Lane { source: source.into(), partition: partition.into() };
            let records = reached.iter().map(|sink| {
                let record = sinks.get(*sink).and_then(|claimed| claimed.records.get(&lane));
                (sink.as_str(), record)
            });
            let records: Vec<(&str, Option<&Record>)> = records.collect();
            let record = resume_lane(&lane, &records, local.get(partition))?;
            if record != Record::default() {
                // Known again at once, for a checkpoint that is written before the lane moves.
                let done = |(sink, record): &(&str, Option<&Record>)| {
                    ((*sink).to_owned(), record.map_or(0, |record| record.done))
                };
                let sinks = records.iter().map(done).collect();
                places.insert(partition.to_owned(), StoredPosition { record, sinks });
            }
        }
        Ok(places)
    }

    fn sinks(&self) -> MutexGuard<'_, BTreeMap<String, ClaimedSink>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn resume_lane(
    lane: &Lane,
    records: &[(&str, Option<&Record>)],
    local: Option<&StoredPosition>,
) -> Result<Record, String> {
    let least = records.iter().map(|(_, record)| record.cloned().unwrap_or_default());
    let least = least.min_by_key(|record| record.done).unwrap_or_default();
    let Some(local) = local else { return Ok(least) };
    let mut whole = true;
    for (sink, record) in records {
        // A checkpoint without sinks is of at-least-once delivery: what it covers was delivered to all of them.
        let is_new = !local.sinks.is_empty() && !local.sinks.contains_key(*sink);
        if is_new {
            whole = false;
            let from = record.map_or(0, |record| record.done);
            if from < local.record.base {
                announce(sink, from, lane, records, local);
            }
            continue;
        }
        let known = local.sinks.get(*sink).copied().unwrap_or(0);
        match record {
            None if known > 0 => {
                return Err(format!(
                    "the sink `{sink}` has no record of `{}` any more, though it was done with the first {known} \
                     events: its data is gone, or its server, key or path was changed; restore it, or run once with \
                     --start-over",
                    lane.source
                ));
            }
            Some(record) if record.done < known => {
                whole = false;
                tracing::warn!(component = sink, "rolled back {} events, replaying", known - record.done);
            }
            _ => {}
        }
    }
    match whole && local.record.base > least.done {
        true => Ok(local.record.clone()),
        false => Ok(least),
    }
}

/// Logs that a sink which was not there before is delivered everything that it lacks.
fn announce(sink: &str, from: u64, lane: &Lane, records: &[(&str, Option<&Record>)], local: &StoredPosition) {
    tracing::info!(
        component = sink,
        "is new behind `{}`: it is delivered what was read before, from event {from} on",
        lane.source
    );
    let is_gone = |name: &&String| records.iter().all(|(sink, _)| sink != name);
    if let (0, Some(gone)) = (from, local.sinks.keys().find(is_gone)) {
        tracing::warn!(
            component = sink,
            "the sink `{gone}` is not there any more; if `{sink}` is the same under another name, what it has is delivered \
             again: stop, and give it its old name"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_sdk::Position;

    fn record(number: u64) -> Record {
        Record { position: Some(Position::new(&number)), base: number, done: number }
    }

    fn local(number: u64, sinks: &[(&str, u64)]) -> StoredPosition {
        let sinks = sinks.iter().map(|(sink, done)| ((*sink).to_owned(), *done)).collect();
        StoredPosition { record: record(number), sinks }
    }

    fn resume(records: &[(&str, Option<u64>)], local: Option<&StoredPosition>) -> Result<u64, String> {
        let lane = Lane { source: "s".into(), partition: "".into() };
        let owned: Vec<(&str, Option<Record>)> =
            records.iter().map(|(sink, done)| (*sink, done.map(record))).collect();
        let records: Vec<(&str, Option<&Record>)> =
            owned.iter().map(|(sink, record)| (*sink, record.as_ref())).collect();
        resume_lane(&lane, &records, local).map(|record| record.base)
    }

    #[test]
    fn the_sink_furthest_behind_decides() {
        assert_eq!(resume(&[("a", Some(7)), ("b", Some(5))], None), Ok(5));
        assert_eq!(resume(&[("a", Some(7)), ("b", None)], None), Ok(0));
        assert_eq!(resume(&[], None), Ok(0));
    }

    #[test]
    fn the_local_checkpoint_counts_while_no_sink_has_lost_anything() {
        let sinks = [("a", Some(5)), ("b", None)];
        let nothing_for_b = local(9, &[("a", 5), ("b", 0)]);
        assert_eq!(resume(&sinks, Some(&nothing_for_b)), Ok(9), "the rest was dropped on purpose");
        assert_eq!(resume(&[("a", Some(4))], Some(&local(9, &[("a", 5)]))), Ok(4), "rolled back");
        assert_eq!(resume(&[("a", Some(12))], Some(&local(9, &[("a", 5)]))), Ok(12), "an old checkpoint");
    }

    #[test]
    fn a_sink_that_is_new_gets_what_its_record_lacks() {
        let known = local(9, &[("a", 9)]);
        assert_eq!(resume(&[("a", Some(9)), ("b", None)], Some(&known)), Ok(0), "added");
        assert_eq!(
            resume(&[("a", Some(9)), ("b", Some(4))], Some(&known)),
            Ok(4),
            "added again, with its record"
        );
        assert_eq!(resume(&[("b", None)], Some(&known)), Ok(0), "renamed");
        assert_eq!(resume(&[("a", Some(9))], Some(&local(9, &[("a", 9), ("b", 3)]))), Ok(9), "b was removed");
        assert_eq!(resume(&[("a", None), ("b", None)], Some(&local(9, &[]))), Ok(9), "at least once before");
    }

    #[test]
    fn a_record_that_is_gone_stops_the_lane() {
        let gone = resume(&[("a", None)], Some(&local(9, &[("a", 5)])));
        assert!(gone.unwrap_err().contains("--start-over"));
    }
}
