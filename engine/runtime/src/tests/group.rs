//! Graphs whose sink acknowledges for the source: each entry is acknowledged once, with all that was made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidegate_config::{Delivery as Promise, EngineOptions, OutputName};
use tidegate_sdk::{
    AckHandles, AcknowledgingSink, Batch, ConfigError, Cx, Delivery, Error, Filter, Outcome, Output, Plugin,
    Replay, Sink, Source, SourceBatch, async_trait,
};

use super::MAIN;
use super::fakes::{Fakes, NoOptions};
use super::until;
use crate::dead_letters::{self, DeadLetterIndex};
use crate::metrics::status::{End, GraphStatus};

/// A server with the entries of a group: it outlives the process, and others may work on it too.
#[derive(Default)]
struct Group {
    kept: Mutex<Kept>,
    /// Number of calls that fail before anything is done, and after everything is done.
    failures: AtomicUsize,
    lost_answers: AtomicUsize,
    /// Number of acknowledged entries at which the sink panics.
    panic_at: AtomicUsize,
    /// Outcomes that the source received.
    outcomes: Mutex<Vec<Outcome>>,
    /// Folder of the dead letters. That of an entry has to be durable before the entry is acknowledged.
    dead_letters: Mutex<Option<std::path::PathBuf>>,
}

#[derive(Default)]
struct Kept {
    pending: BTreeSet<u64>,
    /// Written events, each with its entry.
    written: Vec<(u64, String)>,
    acknowledged: usize,
}

struct Granting {
    group: Arc<Group>,
    left: Vec<u64>,
}

#[async_trait]
impl Source for Granting {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        assert!(cx.sink_acknowledges());
        self.left = self.group.kept.lock().unwrap().pending.iter().rev().copied().collect();
        Ok(())
    }

    fn replay(&self) -> Replay {
        Replay::Redelivery
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.left.is_empty() || cx.is_stopping() {
            return Ok(None);
        }
        let mut builder = Batch::builder();
        let mut ack_handles = AckHandles::new(&["group".to_owned()].into());
        for number in self.left.split_off(self.left.len().saturating_sub(10)).into_iter().rev() {
            builder.push_copy(number.to_string().as_bytes());
            ack_handles.push(number.to_string().as_bytes());
        }
        let group = Arc::clone(&self.group);
        tokio::task::yield_now().await;
        let batch = SourceBatch::from(builder.finish()).with_ack_handles(ack_handles);
        Ok(Some(batch.on_done(move |outcome| group.outcomes.lock().unwrap().push(outcome))))
    }
}

struct Acknowledging(Arc<Group>);

fn take_one(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl Acknowledging {
    /// A dead letter of each entry that one was made of is there before the entry is acknowledged.
    fn check_dead_letters(&self, number: u64) {
        let Some(folder) = &*self.0.dead_letters.lock().unwrap() else { return };
        let mut found = BTreeSet::new();
        let note = |dead_letter: dead_letters::DeadLetter| {
            found.insert(String::from_utf8(dead_letter.payload.to_vec()).unwrap());
            Ok(())
        };
        DeadLetterIndex::open(folder).unwrap().each(note).unwrap();
        assert!(found.contains(&format!("{number}b")), "{number} is acknowledged without its dead letter");
    }
}

#[async_trait]
impl Sink for Acknowledging {
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        unreachable!("it acknowledges and writes in one step")
    }

    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        Ok(self)
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        Some(Box::new(Self(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl AcknowledgingSink for Acknowledging {
    fn transaction_domain(&self) -> String {
        "here".to_owned()
    }

    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        _: &Cx,
    ) -> Result<Delivery, Error> {
        let group = &self.0;
        if take_one(&group.failures) {
            return Err(Error::retry("not now"));
        }
        let mut delivery = Delivery::complete();
        for (event, text) in batch.texts().into_iter().enumerate().filter(|(_, text)| text == "17") {
            delivery.reject(event, format!("{text} is unlucky"));
        }
        if !delivery.rejected().is_empty() {
            return Ok(delivery);
        }
        let mut made: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for event in 0..batch.len() {
            made.entry(batch.source_index(event) as usize).or_default().push(event);
        }
        let acknowledged = {
            let mut kept = group.kept.lock().unwrap();
            for entry in handles.range() {
                let number: u64 = std::str::from_utf8(handles.get(entry)).unwrap().parse().unwrap();
                if number % 10 == 3 {
                    self.check_dead_letters(number);
                }
                let ours = kept.pending.remove(&number);
                kept.acknowledged += usize::from(ours);
                for event in made.remove(&entry).unwrap_or_default() {
                    let text = String::from_utf8_lossy(batch.payload(event)).into_owned();
                    if ours {
                        kept.written.push((number, text));
                    } else {
                        delivery.already_done(event);
                    }
                }
            }
            kept.acknowledged
        };
        assert!(made.is_empty(), "each event has a receipt");
        if take_one(&group.lost_answers) {
            return Err(Error::ambiguous("no answer"));
        }
        let at = group.panic_at.load(Ordering::Relaxed);
        if at > 0 && acknowledged >= at {
            group.panic_at.store(0, Ordering::Relaxed);
            panic!("as the test wants");
        }
        Ok(delivery)
    }
}

/// Of `n`, nothing if it ends in 0; `nb` and `n`, in batches of their own, if in 1 or 3; else `n`. The other way
/// round, batch by batch.
struct Splitting;

impl Filter for Splitting {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let (mut first, mut second) = (batch.derive(), batch.derive());
        for event in (0..batch.len()).rev() {
            let last = batch.payload(event).last().copied().unwrap();
            if last == b'1' || last == b'3' {
                first.write(event, &[batch.payload(event), b"b"].concat());
            }
            if last != b'0' {
                second.keep(event);
            }
        }
        out.emit(first.finish());
        out.emit(second.finish());
        Ok(())
    }
}

/// Rejects `nb` where `n` ends in 3.
struct Refusing;

impl Filter for Refusing {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let refused = |event: &usize| batch.payload(*event).ends_with(b"3b");
        (0..batch.len()).filter(refused).for_each(|event| out.reject(event, "unlucky"));
        (0..batch.len()).filter(|event| !refused(event)).for_each(|event| out.keep(event));
        Ok(())
    }
}

/// A graph of such a source and such a sink, with filters between if asked for, and the number of the sink.
fn graph(count: u64, filters: bool, engine: EngineOptions) -> (Fakes, Arc<Group>, usize) {
    let group = Arc::new(Group::default());
    group.kept.lock().unwrap().pending = (0..count).collect();
    let mut fakes = Fakes::new();
    fakes.delivery = Promise::EffectivelyOnce;
    let mut last = granting(&mut fakes, &group);
    if filters {
        let split = |_: NoOptions| Ok::<_, ConfigError>(Splitting);
        last = fakes.add(Plugin::filter("splitting", "", "", split), &[(last, MAIN)], &[]);
        let refuse = |_: NoOptions| Ok::<_, ConfigError>(Refusing);
        last = fakes.add(Plugin::filter("refusing", "", "", refuse), &[(last, MAIN)], &[]);
        let folder = dead_letters::folder(&fakes.options().data_dir, "p");
        *group.dead_letters.lock().unwrap() = Some(folder);
    }
    let sink = acknowledging(&mut fakes, &group, &[(last, MAIN)]);
    fakes.engine(sink, engine);
    (fakes, group, sink)
}

fn granting(fakes: &mut Fakes, group: &Arc<Group>) -> usize {
    let group = Arc::clone(group);
    let build =
        move |_: NoOptions| Ok::<_, ConfigError>(Granting { group: Arc::clone(&group), left: Vec::new() });
    fakes.add(Plugin::source("granting", "", "", build), &[], &[])
}

fn acknowledging(fakes: &mut Fakes, group: &Arc<Group>, from: &[(usize, OutputName)]) -> usize {
    let group = Arc::clone(group);
    let build = move |_: NoOptions| Ok::<_, ConfigError>(Acknowledging(Arc::clone(&group)));
    fakes.add(Plugin::sink("acknowledging", "", "", build), from, &[])
}

fn quick() -> EngineOptions {
    let tick = tidegate_sdk::Duration::millis(1);
    let retry = tidegate_config::RetryOptions { base: tick, cap: tick, attempts: None };
    EngineOptions { retry, ..EngineOptions::default() }
}

/// Expected events of the entries `0..count`, in order, without filters.
fn all(count: u64) -> Vec<(u64, String)> {
    (0..count).filter(|number| *number != 17).map(|number| (number, number.to_string())).collect()
}

fn written(group: &Group) -> Vec<(u64, String)> {
    let mut written = group.kept.lock().unwrap().written.clone();
    written.sort();
    written
}

fn elsewhere(status: &[GraphStatus]) -> u64 {
    status[0].components.iter().map(|component| component.counts.elsewhere).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_is_acknowledged_once_with_what_was_made_of_it() {
    let (fakes, group, _) = graph(500, false, EngineOptions::default());
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(written(&group), all(500));
    assert_eq!((group.kept.lock().unwrap().pending.len(), elsewhere(&status)), (0, 0));
    assert_eq!(fakes.dead_letters().len(), 1, "what the sink rejects");
    let outcomes = group.outcomes.lock().unwrap();
    let rejected = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Rejected(_))).count();
    assert_eq!((outcomes.len(), rejected), (50, 1));
    assert_eq!((status[0].in_flight_events, status[0].in_flight_bytes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_drop_split_reorder_and_reject() {
    let (fakes, group, _) = graph(300, true, EngineOptions::default());
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let mut expected = Vec::new();
    for (number, text) in all(300).into_iter().filter(|(number, _)| number % 10 != 0) {
        expected.push((number, text));
        if number % 10 == 1 {
            expected.push((number, format!("{number}b")));
        }
    }
    expected.sort();
    assert_eq!(written(&group), expected);
    assert!(group.kept.lock().unwrap().pending.is_empty(), "also those that were dropped");
    assert_eq!(fakes.dead_letters().len(), 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_which_nothing_is_left_is_acknowledged_too() {
    let group = Arc::new(Group::default());
    group.kept.lock().unwrap().pending = (0..100).collect();
    let mut fakes = Fakes::new();
    fakes.delivery = Promise::EffectivelyOnce;
    let source = granting(&mut fakes, &group);
    let none = |_: NoOptions| Ok::<_, ConfigError>(Nothing);
    let filter = fakes.add(Plugin::filter("nothing", "", "", none), &[(source, MAIN)], &[]);
    acknowledging(&mut fakes, &group, &[(filter, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert_eq!((ends, group.kept.lock().unwrap().acknowledged), (vec![End::Ended], 100));
}

struct Nothing;

impl Filter for Nothing {
    fn process(&mut self, _: &Batch, _: &mut Output) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_lost_answers_and_crashes_repeat_nothing() {
    for at in [0, 10, 140, 290] {
        let (fakes, group, _) = graph(300, false, quick());
        group.failures.store(5, Ordering::Relaxed);
        group.lost_answers.store(7, Ordering::Relaxed);
        group.panic_at.store(at, Ordering::Relaxed);
        let (ends, status) = fakes.run().await;
        assert_eq!((ends, status[0].restarts), (vec![End::Ended], u64::from(at > 0)));
        assert_eq!(written(&group), all(300), "panic at {at}");
        assert!(group.kept.lock().unwrap().pending.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_has_done_is_delivered_and_counted() {
    let (fakes, group, _) = graph(100, false, quick());
    // The source has them in its hands, and somebody else is quicker.
    group.failures.store(1, Ordering::Relaxed);
    let thief = Arc::clone(&group);
    let tasks = tidegate_sdk::Tasks::new();
    let stolen = tasks.spawn(async move {
        until(|| thief.failures.load(Ordering::Relaxed) == 0).await;
        let mut kept = thief.kept.lock().unwrap();
        (0..100).filter(|number| kept.pending.remove(number)).count()
    });
    let (ends, status) = fakes.run().await;
    let stolen = stolen.await.unwrap();
    assert_eq!(ends, [End::Ended]);
    // 17 is rejected before it is seen that somebody else was quicker.
    let done = elsewhere(&status);
    assert!(done <= stolen as u64 && done + 1 >= stolen as u64, "{done} of {stolen}");
    assert_eq!(written(&group).len() as u64 + done, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writes_may_be_under_way_at_once() {
    let (fakes, group, _) = graph(600, true, EngineOptions { concurrency: 3, ..EngineOptions::default() });
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let kept = group.kept.lock().unwrap();
    assert_eq!((kept.pending.len(), kept.acknowledged), (0, 600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_events_reach_two_sinks_does_not_start() {
    let (mut fakes, group, _) = graph(10, false, EngineOptions::default());
    acknowledging(&mut fakes, &group, &[(0, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert!(matches!(&ends[0], End::Failed(reason) if reason.contains("exactly one sink")), "{ends:?}");
    assert_eq!(group.kept.lock().unwrap().acknowledged, 0);
}
