//! Progress of the sinks of an effectively-once graph, by their own records.
//!
//! Every sink is claimed before a source is opened. The source resumes at the record of the sink with the least progress.
//! Events that another sink has done are not written to it again.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use tidegate_config::Graph;
use tidegate_sdk::{Kind, Lane, Record};
use tokio::sync::Notify;

use crate::delivery::checkpoint::{SourcePositions, StoredPosition};

/// Progress of the sinks of one run.
#[derive(Debug)]
pub(crate) struct SinkProgress {
    /// The sinks downstream of each source.
    reach: BTreeMap<String, Vec<String>>,
    /// By sink, once it is claimed.
    sinks: Mutex<BTreeMap<String, ClaimedSink>>,
    changed: Notify,
}

/// Progress of one sink.
#[derive(Debug, Default)]
struct ClaimedSink {
    /// Records at the time of the claim.
    records: BTreeMap<Lane, Record>,
    /// The number of the first event that is not done, by lane.
    done: BTreeMap<Lane, u64>,
}

impl SinkProgress {
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut reached: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        let mut reach: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // A node comes after those upstream of it, so their sources are known.
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

    /// The sinks downstream of a source.
    pub(crate) fn sinks_of(&self, source: &str) -> &[String] {
        self.reach.get(source).map(Vec::as_slice).unwrap_or_default()
    }

    /// Records that a sink is claimed, with the records of its lanes.
    pub(crate) fn claimed(&self, sink: &str, records: BTreeMap<Lane, Record>) {
        let done = records.iter().map(|(lane, record)| (lane.clone(), record.done)).collect();
        self.sinks().insert(sink.to_owned(), ClaimedSink { records, done });
        self.changed.notify_waiters();
    }

    /// Resolves when every sink downstream of the source is claimed.
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

    /// The number of the first event of a lane that was not done at the time of the claim.
    pub(crate) fn done_when_claimed(&self, sink: &str, lane: &Lane) -> u64 {
        let sinks = self.sinks();
        sinks.get(sink).and_then(|claimed| claimed.records.get(lane)).map_or(0, |record| record.done)
    }

    /// The number of the first event of a lane that the sink has not done.
    pub(crate) fn done(&self, sink: &str, lane: &Lane) -> u64 {
        self.sinks().get(sink).and_then(|claimed| claimed.done.get(lane).copied()).unwrap_or(0)
    }

    /// Records a commit of the sink.
    pub(crate) fn committed(&self, sink: &str, lane: &Lane, done: u64) {
        if let Some(claimed) = self.sinks().get_mut(sink) {
            claimed.done.insert(lane.clone(), done);
        }
    }

    /// Progress of each sink of a lane, for a checkpoint; 0 for a sink without a record.
    pub(crate) fn of_lane(&self, lane: &Lane) -> BTreeMap<String, u64> {
        let sinks = self.sinks();
        let reached = self.reach.get(&*lane.source).into_iter().flatten();
        let done = |sink: &String| sinks.get(sink).and_then(|claimed| claimed.done.get(lane).copied());
        reached.map(|sink| (sink.clone(), done(sink).unwrap_or(0))).collect()
    }

    /// Finds the positions at which a source resumes: at the record of the sink with the least progress, or at the local
    /// checkpoint if that is further. The checkpoint counts if every sink is in it and none has less progress than then, so
    /// that all events in between were dropped on purpose.
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
                // Included for a checkpoint that is stored before the lane makes progress.
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
        self.sinks.lock()
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
        // A checkpoint without sinks is from at-least-once delivery: its events were delivered to all of them.
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
                    "the sink `{sink}` has no record of `{}` any more, although it had the first {known} events: its data \
                     is gone, or its server, key or path was changed; restore it, or run once with --start-over",
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
    Ok(if whole && local.record.base > least.done { local.record.clone() } else { least })
}

/// Logs that a new sink receives all events that it lacks.
fn announce(sink: &str, from: u64, lane: &Lane, records: &[(&str, Option<&Record>)], local: &StoredPosition) {
    tracing::info!(
        component = sink,
        "is new downstream of `{}`: it receives the events that were read before, from event {from} on",
        lane.source
    );
    let is_gone = |name: &&String| records.iter().all(|(sink, _)| sink != name);
    if let (0, Some(gone)) = (from, local.sinks.keys().find(is_gone)) {
        tracing::warn!(
            component = sink,
            "the sink `{gone}` is gone; if `{sink}` is the same sink under a new name, it receives its events again: stop, and \
             restore the old name"
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
    fn source_resumes_at_the_sink_with_the_least_progress() {
        assert_eq!(resume(&[("a", Some(7)), ("b", Some(5))], None), Ok(5));
        assert_eq!(resume(&[("a", Some(7)), ("b", None)], None), Ok(0));
        assert_eq!(resume(&[], None), Ok(0));
    }

    #[test]
    fn local_checkpoint_counts_while_no_sink_has_lost_data() {
        let sinks = [("a", Some(5)), ("b", None)];
        let without_b = local(9, &[("a", 5), ("b", 0)]);
        assert_eq!(resume(&sinks, Some(&without_b)), Ok(9), "the rest was dropped on purpose");
        assert_eq!(resume(&[("a", Some(4))], Some(&local(9, &[("a", 5)]))), Ok(4), "rolled back");
        assert_eq!(resume(&[("a", Some(12))], Some(&local(9, &[("a", 5)]))), Ok(12), "an old checkpoint");
    }

    #[test]
    fn new_sink_receives_the_events_that_its_record_lacks() {
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
    fn missing_record_stops_the_lane() {
        let gone = resume(&[("a", None)], Some(&local(9, &[("a", 5)])));
        assert!(gone.unwrap_err().contains("--start-over"));
    }
}
