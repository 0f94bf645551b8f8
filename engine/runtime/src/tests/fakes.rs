//! Fake components: a source that counts, filters on its numbers, and sinks with scripted behaviour.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_config::{
    Delivery as Promise, EngineOptions, Graph, Input, Node, OutputName, Pipeline, RetryOptions, Settings,
};
use tidegate_sdk::{
    Batch, Claim, ConfigError, Cx, Delivery, Error, Filter, Lane, Output, Plugin, Position, Record, Replay,
    Sink, Size, Source, SourceBatch, TransactionalSink, async_trait,
};
use tokio::sync::watch;

use crate::dead_letters::{self, DeadLetter, DeadLetterIndex};
use crate::metrics::status::{End, GraphState, GraphStatus};
use crate::{Engine, Options};

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(super) struct NoOptions {}

/// Puts a pipeline together. Components are named `c0`, `c1`, ... within the file.
pub(super) struct Fakes {
    data: tempfile::TempDir,
    graphs: Vec<Graph>,
    scripts: Vec<Arc<Script>>,
    pub(super) memory: Size,
    pub(super) drain_timeout: Duration,
    pub(super) delivery: Promise,
    pub(super) start_over: bool,
}

/// Data of a transactional sink, which survives the process as that of a server does.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayLedger {
    pub(super) written: Vec<String>,
    pub(super) records: BTreeMap<Lane, Record>,
}

/// Script of a sink: its behaviour, and the calls that it received.
pub(super) struct Script {
    written: Mutex<Vec<String>>,
    pub(super) largest: AtomicUsize,
    failures: Mutex<(usize, fn() -> Error)>,
    pub(super) fail_open: AtomicUsize,
    /// Opening it fails for good.
    pub(super) never_opens: AtomicBool,
    /// True if it can be forked.
    pub(super) forks: AtomicBool,
    pub(super) opened: AtomicUsize,
    pub(super) fail_odd_once: AtomicBool,
    /// Number of events after which it panics, once.
    pub(super) panic_at: AtomicUsize,
    pub(super) ledger: Mutex<ReplayLedger>,
    /// The next commits write and then lose their answers.
    pub(super) lose_answers: AtomicUsize,
    /// At the next claim, the server has lost half of what it had.
    pub(super) loses_half: AtomicBool,
    /// True if commits reject the event `13`.
    pub(super) rejects_13: AtomicBool,
    stall: watch::Sender<bool>,
    has_stalled: watch::Sender<bool>,
    has_written: watch::Sender<bool>,
}

impl Script {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            written: Mutex::default(),
            largest: AtomicUsize::new(0),
            failures: Mutex::new((0, || Error::retry("never"))),
            fail_open: AtomicUsize::new(0),
            never_opens: AtomicBool::new(false),
            forks: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            fail_odd_once: AtomicBool::new(false),
            panic_at: AtomicUsize::new(usize::MAX),
            ledger: Mutex::default(),
            lose_answers: AtomicUsize::new(0),
            loses_half: AtomicBool::new(false),
            rejects_13: AtomicBool::new(false),
            stall: watch::Sender::new(false),
            has_stalled: watch::Sender::new(false),
            has_written: watch::Sender::new(false),
        })
    }

    /// The next `times` writes fail.
    pub(super) fn fail(&self, times: usize, error: fn() -> Error) {
        *self.failures.lock().unwrap() = (times, error);
    }

    /// Writes wait until [`go_on`](Self::go_on).
    pub(super) fn stall(&self) {
        self.stall.send_replace(true);
    }

    pub(super) fn go_on(&self) {
        self.stall.send_replace(false);
    }

    /// Resolves when something was written, or when that has no prospect of happening any more.
    pub(super) async fn has_written(&self) {
        let mut written = self.has_written.subscribe();
        let _ = tokio::time::timeout(Duration::from_secs(20), written.wait_for(|written| *written)).await;
    }

    /// Resolves when a write waits.
    pub(super) async fn stalled(&self) {
        self.has_stalled.subscribe().wait_for(|stalled| *stalled).await.unwrap();
    }
}

impl Fakes {
    pub(super) fn new() -> Self {
        Self {
            data: tempfile::tempdir().unwrap(),
            graphs: vec![Graph { nodes: Vec::new() }],
            scripts: Vec::new(),
            memory: Size(1 << 20),
            drain_timeout: Duration::from_secs(30),
            delivery: Promise::AtLeastOnce,
            start_over: false,
        }
    }

    /// Starts another graph: components that are added later belong to it.
    pub(super) fn graph(&mut self) -> &mut Self {
        self.graphs.push(Graph { nodes: Vec::new() });
        self
    }

    /// Adds a component of any plugin; its number in its graph.
    pub(super) fn add(&mut self, plugin: Plugin, inputs: &[(usize, OutputName)], outputs: &[&str]) -> usize {
        let script_index = self.graphs.iter().map(|graph| graph.nodes.len()).sum::<usize>();
        let nodes = &mut self.graphs.last_mut().unwrap().nodes;
        nodes.push(Node {
            name: format!("c{script_index}"),
            plugin,
            options: serde_json::json!({}),
            inputs: inputs.iter().map(|(node, output)| Input { node: *node, output: *output }).collect(),
            outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
            engine: EngineOptions::default(),
            capabilities: Arc::default(),
        });
        nodes.len() - 1
    }

    fn counting(&mut self, count: u64, silent: bool) -> usize {
        self.scripts.push(Script::new());
        let build = move |_: NoOptions| Ok::<_, ConfigError>(Counting { next: 0, count, silent });
        self.add(Plugin::source("counting", "", "", build), &[], &[])
    }

    /// Counts from 0, in batches of 10, and can resume.
    pub(super) fn source(&mut self, count: u64) -> usize {
        self.counting(count, false)
    }

    pub(super) fn endless_source(&mut self) -> usize {
        self.counting(u64::MAX, false)
    }

    /// Has nothing to say until it has to stop.
    pub(super) fn silent_source(&mut self) -> usize {
        self.counting(u64::MAX, true)
    }

    pub(super) fn filter(&mut self, from: usize, keep: fn(u64) -> bool) -> usize {
        self.scripts.push(Script::new());
        let build = move |_: NoOptions| Ok::<_, ConfigError>(Keeping(keep));
        self.add(Plugin::filter("keeping", "", "", build), &[(from, OutputName::Port(0))], &[])
    }

    /// A source of the test's own.
    pub(super) fn any_source(&mut self, plugin: Plugin) -> usize {
        self.scripts.push(Script::new());
        self.add(plugin, &[], &[])
    }

    /// A filter of the test's own.
    pub(super) fn any_filter(&mut self, from: usize, plugin: Plugin) -> usize {
        self.scripts.push(Script::new());
        self.add(plugin, &[(from, OutputName::Port(0))], &[])
    }

    /// Tens to output 1, 13 rejected, the rest to the main output.
    pub(super) fn route(&mut self, from: usize) -> usize {
        self.scripts.push(Script::new());
        let build = |_: NoOptions| Ok::<_, ConfigError>(Routing);
        self.add(Plugin::filter("routing", "", "", build), &[(from, OutputName::Port(0))], &["tens"])
    }

    pub(super) fn sink(&mut self, from: &[(usize, OutputName)]) -> usize {
        let script = Script::new();
        self.scripts.push(Arc::clone(&script));
        let build = move |_: NoOptions| Ok::<_, ConfigError>(Writing(Arc::clone(&script)));
        self.add(Plugin::sink("writing", "", "", build), from, &[]);
        self.scripts.len() - 1
    }

    /// By the number of the component in the file.
    pub(super) fn script(&self, component: usize) -> Arc<Script> {
        Arc::clone(&self.scripts[component])
    }

    pub(super) fn engine(&mut self, component: usize, engine: EngineOptions) {
        let before =
            self.graphs[..self.graphs.len() - 1].iter().map(|graph| graph.nodes.len()).sum::<usize>();
        self.graphs.last_mut().unwrap().nodes[component - before].engine = engine;
    }

    /// Gives the component of this number in its graph, the last, other options, which change nothing.
    pub(super) fn change(&mut self, component: usize) -> &mut Self {
        let node = &mut self.graphs.last_mut().unwrap().nodes[component];
        let before = node.options.get("change").and_then(serde_json::Value::as_u64).unwrap_or_default();
        node.options = serde_json::json!({ "change": before + 1 });
        self
    }

    pub(super) fn fast_retry(&mut self, component: usize, attempts: Option<u32>) {
        let tick = tidegate_sdk::Duration::millis(1);
        let retry = RetryOptions { base: tick, cap: tick, attempts };
        self.engine(component, EngineOptions { retry, ..EngineOptions::default() });
    }

    pub(super) fn written(&self, sink: usize) -> Vec<String> {
        self.scripts[sink].written.lock().unwrap().clone()
    }

    /// Data of a transactional sink.
    pub(super) fn ledger(&self, sink: usize) -> ReplayLedger {
        self.scripts[sink].ledger.lock().unwrap().clone()
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        let mut all = Vec::new();
        let place = dead_letters::folder(self.data.path(), "p");
        let push = |dead_letter| {
            all.push(dead_letter);
            Ok(())
        };
        DeadLetterIndex::open(&place).unwrap().each(push).unwrap();
        all
    }

    pub(super) fn options(&self) -> Options {
        Options {
            data_dir: PathBuf::from(self.data.path()),
            memory: self.memory,
            start_over: self.start_over,
        }
    }

    /// The pipelines, with the capabilities that the scripts give their components now.
    pub(super) fn pipelines(&self) -> Vec<Pipeline> {
        let mut graphs = self.graphs.clone();
        for node in graphs.iter_mut().flat_map(|graph| &mut graph.nodes) {
            node.capabilities = Arc::new(node.build().unwrap().capabilities());
        }
        let drain_timeout = tidegate_sdk::Duration(self.drain_timeout);
        vec![Pipeline {
            file: "p.toml".into(),
            name: "p".into(),
            id: "p".into(),
            settings: Settings { drain_timeout, delivery: self.delivery, ..Settings::default() },
            graphs,
        }]
    }

    pub(super) fn start(&self) -> Engine {
        Engine::start(self.pipelines(), &self.options()).unwrap()
    }

    /// Runs to the end.
    pub(super) async fn run(&self) -> (Vec<End>, Vec<GraphStatus>) {
        let engine = self.start();
        tokio::time::timeout(Duration::from_secs(60), engine.finished()).await.expect("it ends");
        let status = engine.status();
        let end = |graph: &GraphStatus| match &graph.state {
            GraphState::Over(end) => end.clone(),
            other => panic!("not over: {other:?}"),
        };
        (status.iter().map(end).collect(), status)
    }
}

struct Counting {
    next: u64,
    count: u64,
    silent: bool,
}

#[async_trait]
impl Source for Counting {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.next = cx.resume("").map_or(Ok(0), Position::read)?;
        Ok(())
    }

    fn replay(&self) -> Replay {
        Replay::Position
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.silent {
            cx.stopping().await;
        }
        if self.next >= self.count || cx.is_stopping() {
            return Ok(None);
        }
        let mut builder = Batch::builder();
        for _ in 0..10.min(self.count - self.next) {
            builder.push_copy(self.next.to_string().as_bytes());
            self.next += 1;
        }
        builder.set_position(Position::new(&self.next));
        tokio::task::yield_now().await;
        Ok(Some(builder.finish().into()))
    }
}

fn number(payload: &[u8]) -> u64 {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

struct Keeping(fn(u64) -> bool);

impl Filter for Keeping {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        (0..batch.len())
            .filter(|event| (self.0)(number(batch.payload(*event))))
            .for_each(|event| out.keep(event));
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Self(self.0)))
    }
}

struct Routing;

impl Filter for Routing {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let (mut main, mut tens) = (batch.derive(), batch.derive());
        for event in 0..batch.len() {
            match number(batch.payload(event)) {
                13 => out.reject(event, "unlucky"),
                number if number.is_multiple_of(10) => tens.keep(event),
                _ => main.keep(event),
            }
        }
        out.emit(main.finish());
        out.emit_to(1, tens.finish());
        Ok(())
    }

    fn outputs(&self) -> Vec<String> {
        vec!["tens".into()]
    }
}

struct Writing(Arc<Script>);

impl Writing {
    fn take_one(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[async_trait]
impl Sink for Writing {
    fn fork(&self) -> Option<Box<dyn Sink>> {
        self.0.forks.load(Ordering::Relaxed).then(|| Box::new(Self(Arc::clone(&self.0))) as _)
    }

    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        if self.0.never_opens.load(Ordering::Relaxed) {
            return Err(Error::fatal("not like this"));
        }
        if Self::take_one(&self.0.fail_open) { Err(Error::retry("not up yet")) } else { Ok(()) }
    }

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        Ok(self)
    }

    async fn write(&mut self, batch: &Batch, _: &Cx) -> Result<Delivery, Error> {
        let script = &self.0;
        script.largest.fetch_max(batch.len(), Ordering::Relaxed);
        if *script.stall.borrow() {
            script.has_stalled.send_replace(true);
            script.stall.subscribe().wait_for(|stalled| !*stalled).await.unwrap();
        }
        {
            let mut failures = script.failures.lock().unwrap();
            if failures.0 > 0 {
                failures.0 -= 1;
                return Err((failures.1)());
            }
        }
        let odd_fails = script.fail_odd_once.swap(false, Ordering::Relaxed);
        let mut delivery = Delivery::complete();
        let mut written = script.written.lock().unwrap();
        for (event, text) in batch.texts().into_iter().enumerate() {
            if odd_fails && event % 2 == 1 {
                delivery.retry([event], Error::retry("odd"));
            } else {
                written.push(text);
            }
        }
        let count = written.len();
        drop(written);
        script.has_written.send_replace(count > 0);
        if count > script.panic_at.load(Ordering::Relaxed) {
            script.panic_at.store(usize::MAX, Ordering::Relaxed);
            panic!("as the test wants");
        }
        Ok(delivery)
    }
}

#[async_trait]
impl TransactionalSink for Writing {
    async fn claim(&mut self, claim: &Claim, _: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        let mut ledger = self.0.ledger.lock().unwrap();
        if claim.reset {
            ledger.records.clear();
        }
        if self.0.loses_half.swap(false, Ordering::Relaxed) {
            let ReplayLedger { written, records } = &mut *ledger;
            for record in records.values_mut() {
                let half = record.done / 2;
                *record = Record { position: Some(Position::new(&half)), base: half, done: half };
                written.truncate(half as usize);
            }
        }
        Ok(ledger.records.clone())
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        _: &Cx,
    ) -> Result<Delivery, Error> {
        let script = &self.0;
        let mut ledger = script.ledger.lock().unwrap();
        let mut delivery = Delivery::complete();
        for (event, text) in batch
            .texts()
            .iter()
            .enumerate()
            .filter(|(_, text)| *text == "13" && script.rejects_13.load(Ordering::Relaxed))
        {
            delivery.reject(event, format!("{text} is unlucky"));
        }
        let known = ledger.records.get(lane).map_or(0, |record| record.done);
        if delivery.rejected().is_empty() && known < record.done {
            ledger.written.extend(batch.texts());
            ledger.records.insert(lane.clone(), record.clone());
        }
        let count = ledger.written.len();
        drop(ledger);
        if Self::take_one(&script.lose_answers) {
            return Err(Error::ambiguous("no answer"));
        }
        if count > script.panic_at.load(Ordering::Relaxed) {
            script.panic_at.store(usize::MAX, Ordering::Relaxed);
            panic!("as the test wants");
        }
        let mut failures = script.failures.lock().unwrap();
        match failures.0 {
            0 => Ok(delivery),
            _ => {
                failures.0 -= 1;
                Err((failures.1)())
            }
        }
    }
}
