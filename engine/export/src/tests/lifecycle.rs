//! Operations that wait, end and are ended.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tidegate_abi::{self as abi, Buf, Status, Str, flag, kind, outcome, replay};
use tokio::sync::Semaphore;

use super::components::{async_filter, filter, sink, source, transactional};
use super::host::{Engine, Given, Reported, give_back, library};
use tidegate_sdk::{
    Batch, Commit, ConfigError, Cx, Delivery, Error, Outcome, Plugin, Position, Replay, Source, SourceBatch,
    async_trait,
};

fn one(payload: &'static str) -> SourceBatch {
    let mut builder = Batch::builder();
    builder.push_copy(payload.as_bytes());
    builder.finish().into()
}

/// A source that reads one event for each permit.
fn permitted(permits: &Arc<Semaphore>) -> Plugin {
    let permits = Arc::clone(permits);
    source(move |cx| {
        let permits = Arc::clone(&permits);
        Box::pin(async move {
            tokio::select! {
                permit = permits.acquire() => {
                    permit.unwrap().forget();
                    Ok(Some(one("event")))
                }
                () = cx.stopping() => Ok(None),
            }
        })
    })
}

#[test]
fn the_table_tells_of_each_plugin() {
    let module = library(vec![sink(|_, _| Box::pin(async { Ok(Delivery::complete()) })), transactional()]);
    let components = unsafe { std::slice::from_raw_parts(module.components, module.n_components as usize) };
    let texts = components.iter().map(|component| unsafe {
        let schema: serde_json::Value = serde_json::from_slice((**component).schema.bytes()).unwrap();
        assert_eq!(schema["additionalProperties"], json!(false));
        ((**component).kind, (**component).name.text().into_owned())
    });
    assert_eq!(
        texts.collect::<Vec<_>>(),
        [(kind::SINK, "writing".to_owned()), (kind::SINK, "once".to_owned())]
    );
    assert_eq!(unsafe { (module.id.text(), module.version.text()) }, ("tests".into(), "1.2.3".into()));
    assert_eq!(module.flags & flag::PANIC_ABORT, 0, "tests unwind");
}

#[test]
fn waiting_operation_is_pending_and_wakes_the_engine_up() {
    let (engine, permits) = (Engine::new(), Arc::new(Semaphore::new(0)));
    let source = engine.create(permitted(&permits));
    assert_eq!(source.open(), Status::OK);
    assert_eq!(source.poll_next().0, Status::PENDING);
    assert_eq!(source.poll_next().0, Status::PENDING, "a call may come again without a wake");
    let before = engine.wakes(1);
    let other = Arc::clone(&permits);
    let thread = std::thread::spawn(move || other.add_permits(1));
    engine.wait(1, before);
    let (status, _, batch) = source.poll_next();
    assert_eq!((status, batch.n), (Status::OK, 1));
    give_back(&batch);
    thread.join().unwrap();
    source.drain();
    assert_eq!(source.next().0, Status::END);
    assert_eq!(source.close().0, Status::OK);
}

#[test]
fn timers_and_tasks_run_on_threads_of_the_library() {
    let plugin = sink(|_, cx| {
        Box::pin(async move {
            let task = cx.spawn(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                std::thread::current().name().map(str::to_owned)
            });
            let name = task.await.map_err(|error| Error::fatal(error.to_string()))?;
            assert_eq!(name.as_deref(), Some("tidegate-plugin"));
            assert!(cx.sleep(Duration::from_millis(1)).await);
            Ok(Delivery::complete())
        })
    });
    let sink = Engine::new().create(plugin);
    let (status, error, _) = sink.write(&Given::of(&["a"]));
    assert_eq!((status, error.message().as_str()), (Status::OK, ""));
}

#[test]
fn stop_cancels_what_is_under_way_and_destroy_drops_it() {
    let (engine, permits) = (Engine::new(), Arc::new(Semaphore::new(0)));
    let source = engine.create(permitted(&permits));
    assert_eq!(source.poll_next().0, Status::PENDING);
    source.stop();
    assert_eq!(source.poll_next().0, Status::CANCELLED);
    drop(source);
    assert_eq!(Arc::strong_count(&permits), 2, "the future is gone, the plugin is not");
}

#[test]
fn stop_wakes_the_engine_up_for_what_waits_for_ever() {
    let engine = Engine::new();
    let source = engine.create(source(|_| Box::pin(std::future::pending())));
    assert_eq!((source.poll_next().0, engine.wakes(1)), (Status::PENDING, 0));
    source.stop();
    assert_eq!((engine.wakes(1), source.poll_next().0), (1, Status::CANCELLED));
}

#[test]
fn destroy_in_the_middle_of_an_operation_gives_the_batch_back() {
    let plugin = async_filter(|batch, cx| {
        Box::pin(async move {
            cx.sleep(Duration::from_secs(3600)).await;
            Ok((batch, None))
        })
    });
    let (given, filter) = (Given::of(&["a", "b"]), Engine::new().create(plugin));
    assert_eq!(filter.poll_process(&given).0, Status::PENDING);
    assert_eq!(given.held(), 1);
    drop(filter);
    assert_eq!(given.held(), 0);
}

#[test]
fn another_operation_waits_for_its_turn() {
    let (engine, permits) = (Engine::new(), Arc::new(Semaphore::new(0)));
    let source = engine.create(permitted(&permits));
    assert_eq!(source.poll_next().0, Status::PENDING);
    let (status, error) = source.close();
    assert_eq!((status, error.code), (Status::FATAL, Status::FATAL));
    assert!(error.message().contains("in progress"), "{}", error.message());
}

#[test]
fn a_wake_after_destroy_is_harmless() {
    let wakers = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&wakers);
    let plugin = source(move |_| {
        let keep = Arc::clone(&keep);
        Box::pin(std::future::poll_fn(move |context| {
            keep.lock().unwrap().push(context.waker().clone());
            std::task::Poll::Pending
        }))
    });
    let engine = Engine::new();
    let source = engine.create(plugin);
    assert_eq!(source.poll_next().0, Status::PENDING);
    drop(source);
    let before = engine.wakes(1);
    for waker in wakers.lock().unwrap().drain(..) {
        std::thread::spawn(move || waker.wake()).join().unwrap();
    }
    assert_eq!(engine.wakes(1), before + 1);
}

#[test]
fn outcome_of_a_batch_is_reported_from_any_thread() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&ends);
    let count = Arc::new(AtomicUsize::new(0));
    let plugin = source(move |_| {
        let (note, number) = (Arc::clone(&note), count.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            match number {
                0..3 => Ok(Some(one("a").on_done(move |end| note.lock().unwrap().push((number, end))))),
                _ => std::future::pending().await,
            }
        })
    });
    let source = Engine::new().create(plugin);
    for _ in 0..3 {
        give_back(&source.next().2);
    }
    // The source is in the middle of its next operation.
    assert_eq!(source.poll_next().0, Status::PENDING);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            source.batch_done(1, outcome::REJECTED, "bad");
            source.batch_done(1, outcome::FAILED, "");
        });
    });
    source.batch_done(0, outcome::DELIVERED, "");
    source.batch_done(2, outcome::FAILED, "");
    let expected = [(1, Outcome::Rejected("bad".into())), (0, Outcome::Delivered), (2, Outcome::Failed)];
    assert_eq!(*ends.lock().unwrap(), expected);
}

#[test]
fn a_source_waits_when_too_many_of_its_batches_are_on_their_way() {
    const LIMIT: u64 = 1 << 16;
    let engine = Engine::new();
    let source = engine.create(source(|_| Box::pin(async { Ok(Some(one("a").on_done(|_| {}))) })));
    for seq in 0..LIMIT {
        let (status, _, batch) = source.poll_next();
        assert_eq!((status, batch.seq), (Status::OK, seq));
        give_back(&batch);
    }
    assert_eq!(source.poll_next().0, Status::PENDING);
    let before = engine.wakes(1);
    source.batch_done(7, outcome::DELIVERED, "");
    assert_eq!(engine.wakes(1), before + 1);
    let (status, _, batch) = source.poll_next();
    assert_eq!((status, batch.seq), (Status::OK, LIMIT));
    give_back(&batch);
}

/// A source of numbers from the position at which it resumes, and the positions that were committed.
struct Numbers {
    next: i64,
    opened: bool,
    committed: Arc<Mutex<Vec<String>>>,
}

struct Committed(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Commit for Committed {
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.0.lock().unwrap().push(format!("{partition} {position:?}"));
        Ok(())
    }
}

#[async_trait]
impl Source for Numbers {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if !std::mem::replace(&mut self.opened, true) {
            return Err(Error::retry("not yet").after(Duration::from_secs(3)));
        }
        self.next = cx.resume("part").map_or(Ok(0), Position::read)?;
        Ok(())
    }
    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        match self.next {
            5 => {
                cx.stopping().await;
                Ok(None)
            }
            _ => {
                self.next += 1;
                let mut builder = Batch::builder();
                builder.push_copy(self.next.to_string().as_bytes());
                builder.set_position(Position::new(&self.next));
                Ok(Some(builder.finish().into()))
            }
        }
    }
    fn replay(&self) -> Replay {
        Replay::Redelivery
    }
    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        Some(Box::new(Committed(Arc::clone(&self.committed))))
    }
}

/// The options of [`Numbers`].
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NumbersOptions {
    /// The last one.
    last: i64,
}

#[test]
fn a_source_resumes_commits_and_is_opened_again() {
    let committed = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&committed);
    let plugin = Plugin::source("numbers", "counts", "", move |options: NumbersOptions| match options.last {
        0 => Ok(Numbers { next: 0, opened: false, committed: Arc::clone(&shared) }),
        _ => Err(ConfigError::at("/last", "is not even").range(1..2).help("leave it out")),
    });
    let (engine, table) = (Engine::new(), library(vec![plugin]));
    let error = engine.create_of(table, 1, &json!({ "last": 7 })).err().unwrap();
    assert_eq!(
        (error.code, error.path().as_str(), error.help().as_str()),
        (Status::CONFIG, "/last", "leave it out")
    );
    assert_eq!((error.range_from, error.range_to, error.message().as_str()), (1, 2, "is not even"));
    let source = engine.create_of(table, 1, &json!({})).ok().unwrap();
    let (facts, _) = source.describe();
    assert_eq!((facts.replay, facts.wants_commit, facts.wants_batch_done), (replay::REDELIVERY, 1, 1));
    let (status, error) = source.open_at(Some("4"));
    assert_eq!((status, error.retry_after_ms, error.message().as_str()), (Status::RETRY, 3000, "not yet"));
    assert_eq!(source.open_at(Some("4")).0, Status::OK);
    let (_, _, batch) = source.next();
    assert_eq!(unsafe { batch.position.bytes() }, b"5");
    give_back(&batch);
    assert_eq!(source.poll_next().0, Status::PENDING);
    assert_eq!(source.commit("5"), Status::OK, "while next is under way");
    assert_eq!(*committed.lock().unwrap(), ["part 5"]);
    source.drain();
    assert_eq!((source.next().0, source.close().0), (Status::END, Status::OK));
}

#[test]
fn a_transactional_sink_claims_and_commits() {
    unsafe extern "C" fn found(to: *const abi::Records, record: *const abi::Record) -> Status {
        unsafe {
            let (to, record) = (&mut *(*to).ctx.cast::<Vec<String>>(), &*record);
            let (source, partition) = (record.source.text(), record.partition.text());
            let place = String::from_utf8_lossy(record.position.bytes());
            to.push(format!("{source}/{partition} {place} {} {}", record.base, record.done));
        }
        Status::OK
    }
    let sink = Engine::new().create(transactional());
    assert_eq!(sink.describe().0.transactional, 1);
    let mut records: Vec<String> = Vec::new();
    let mut to: abi::Records = unsafe { abi::sized() };
    to.ctx = (&raw mut records).cast();
    to.found = Some(found);
    let mut claim: abi::Claim = unsafe { abi::sized() };
    (claim.pipeline, claim.sink) = (Str::new("pipe"), Str::new("out"));
    let ask = sink.sink().claim.unwrap();
    let claimed = sink.until_done(|error| unsafe { ask(sink.this, &raw const claim, &raw const to, error) });
    assert_eq!((claimed.0, records.as_slice()), (Status::OK, &["pipe/out 5 5 6".to_owned()][..]));

    let commit = |done| {
        let mut record: abi::Record = unsafe { abi::sized() };
        (record.source, record.partition) = (Str::new("s"), Str::new("p"));
        (record.position, record.done) = (Buf::NONE, done);
        let (given, mut reported) = (Given::of(&[]), Box::<Reported>::default());
        let report = reported.table();
        let (table, ask) = (&raw const given.table, sink.sink().commit.unwrap());
        let answer = sink.until_done(|error| unsafe {
            ask(sink.this, table, &raw const record, &raw const report, error)
        });
        (answer.0, reported.rejected)
    };
    assert_eq!(commit(6), (Status::OK, vec![]));
    assert_eq!(commit(7), (Status::OK, vec![(0, "s/p 7".to_owned())]));
    assert_eq!(commit(0), (Status::REPLAY, vec![]));
}

#[test]
fn component_that_forks_reports_it() {
    let engine = Engine::new();
    let plain = engine.create(filter(|_, out| {
        out.keep_all();
        Ok(())
    }));
    let (facts, texts) = plain.describe();
    assert_eq!((facts.waits, facts.parallel), (0, 1));
    assert_eq!(texts, ["left", "right", "it is plain"]);
    let sink = engine.create(sink(|_, cx| {
        assert_eq!(cx.component(), "the_component");
        Box::pin(async { Ok(Delivery::complete()) })
    }));
    let (facts, texts) = sink.describe();
    assert_eq!(facts.parallel, 1);
    assert!(texts[0].contains("transaction"));
    assert_eq!(engine.create(transactional()).describe().0.parallel, 0);
}

#[test]
fn ten_thousand_instances_leak_nothing() {
    let permits = Arc::new(Semaphore::new(0));
    let (engine, table) = (Engine::new(), library(vec![permitted(&permits)]));
    for number in 0..10_000 {
        let source = engine.create_of(table, number, &json!({})).ok().unwrap();
        if number % 100 == 0 {
            assert_eq!(source.poll_next().0, Status::PENDING);
        }
    }
    assert_eq!(Arc::strong_count(&permits), 2, "the plugin's and this");
}
