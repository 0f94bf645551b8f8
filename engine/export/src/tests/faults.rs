//! Panics, at every place where a plugin's code is called.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tidegate_abi::{self as abi, Buf, Module, Status, Str, outcome};

use super::super::table::Library;
use super::host::{Engine, Given, Instance, Reported, give_back, library};
use tidegate_sdk::{
    AsyncFilter, Batch, Claim, Commit, Component, ConfigError, Cx, Delivery, Error, Filter, Lane, Output,
    Plugin, Position, Record, Replay, Sink, Source, SourceBatch, TransactionalSink, async_trait,
};

/// The call that panics, and the way it does.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Faulty {
    at: String,
    bomb: bool,
}

/// A payload whose drop panics in its turn.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload, too");
    }
}

impl Faulty {
    fn at(&self, here: &str) {
        match (self.at == here, self.bomb) {
            (true, true) => std::panic::panic_any(Bomb),
            (true, false) => panic!("no {here}"),
            _ => {}
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.at("drop");
        }
    }
}

#[async_trait]
impl Source for Faulty {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("open");
        Ok(())
    }
    async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
        tokio::task::yield_now().await;
        self.at("next");
        let mut builder = Batch::builder();
        builder.push_copy(b"event");
        let faulty = self.clone();
        Ok(Some(SourceBatch::from(builder.finish()).on_done(move |_| faulty.at("batch_done"))))
    }
    fn replay(&self) -> Replay {
        self.at("describe");
        Replay::Position
    }
    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        Some(Box::new(self.clone()))
    }
    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("close");
        Ok(())
    }
}

#[async_trait]
impl Commit for Faulty {
    async fn commit(&mut self, _: &str, _: &Position) -> Result<(), Error> {
        self.at("commit");
        Ok(())
    }
}

impl Filter for Faulty {
    fn process(&mut self, _: &Batch, _: &mut Output) -> Result<(), Error> {
        self.at("process");
        Ok(())
    }
    fn fork(&self) -> Option<Box<dyn Filter>> {
        self.at("fork");
        None
    }
    fn outputs(&self) -> Vec<String> {
        self.at("describe");
        Vec::new()
    }
}

/// The same as a filter that waits.
struct Waiting(Faulty);

#[async_trait]
impl AsyncFilter for Waiting {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.0.at("open");
        Ok(())
    }
    async fn process(&mut self, _: &Batch, _: &mut Output, _: &Cx) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.0.at("process");
        Ok(())
    }
    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.0.at("close");
        Ok(())
    }
}

#[async_trait]
impl Sink for Faulty {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("open");
        Ok(())
    }
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        tokio::task::yield_now().await;
        self.at("write");
        Ok(Delivery::complete())
    }
    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        self.at("describe");
        Ok(self)
    }
    fn fork(&self) -> Option<Box<dyn Sink>> {
        self.at("fork");
        None
    }
    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("close");
        Ok(())
    }
}

#[async_trait]
impl TransactionalSink for Faulty {
    async fn claim(&mut self, _: &Claim, _: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        self.at("claim");
        Ok(BTreeMap::new())
    }
    async fn commit(&mut self, _: &Batch, _: &Lane, _: &Record, _: &Cx) -> Result<Delivery, Error> {
        self.at("commit");
        Ok(Delivery::complete())
    }
}

/// The component, or a panic in its stead.
fn built(options: &Faulty) -> Result<Faulty, ConfigError> {
    options.at("create");
    Ok(options.clone())
}

fn tables() -> [&'static Module; 4] {
    [
        Plugin::source("f", "", "", |options: Faulty| built(&options)),
        Plugin::filter("f", "", "", |options: Faulty| built(&options)),
        Plugin::any_filter("f", "", "", |options: Faulty| {
            Ok(Component::AsyncFilter(Box::new(Waiting(built(&options)?))))
        }),
        Plugin::sink("f", "", "", |options: Faulty| built(&options)),
    ]
    .map(|plugin| library(vec![plugin]))
}

/// Everything that an engine may call, in order; each with what it answers.
fn everything(instance: &Instance, kind: usize) -> Vec<(&'static str, Status)> {
    instance.describe();
    let mut answers = vec![("open", instance.open_at(None).0)];
    let given = Given::of(&["a"]);
    match kind {
        0 => {
            let (status, _, batch) = instance.next();
            answers.push(("next", status));
            give_back(&batch);
            answers.push(("commit", instance.commit("1")));
            instance.batch_done(0, outcome::DELIVERED, "");
        }
        1 | 2 => {
            answers.push(("process", instance.process(&given).0));
        }
        _ => {
            answers.push(("write", instance.write(&given).0));
            answers.extend(transactions(instance, &given));
        }
    }
    instance.drain();
    answers.push(("close", instance.close().0));
    instance.stop();
    assert_eq!(given.held(), 0);
    answers
}

fn transactions(sink: &Instance, given: &Given) -> [(&'static str, Status); 2] {
    let mut reported = Box::<Reported>::default();
    let (report, ops) = (reported.table(), sink.sink());
    let (mut record, claim) = unsafe { (abi::sized::<abi::Record>(), abi::sized::<abi::Claim>()) };
    let records: abi::Records = unsafe { abi::sized() };
    (record.source, record.partition, record.position) = (Str::EMPTY, Str::EMPTY, Buf::NONE);
    let claimed =
        |error| unsafe { ops.claim.unwrap()(sink.this, &raw const claim, &raw const records, error) };
    let committed = |error| unsafe {
        ops.commit.unwrap()(sink.this, &raw const given.table, &raw const record, &raw const report, error)
    };
    [("claim", sink.until_done(claimed).0), ("commit", sink.until_done(committed).0)]
}

#[test]
fn no_panic_crosses_the_border_and_none_is_entered_again() {
    let places = ["create", "describe", "open", "next", "commit", "batch_done", "process", "write", "claim"];
    let places = places.into_iter().chain(["fork", "close", "drop", "nowhere"]);
    let (engine, tables) = (Engine::new(), tables());
    let mut panics = 0;
    for (at, bomb) in places.flat_map(|at| [(at, false), (at, true)]) {
        for (kind, table) in tables.iter().enumerate() {
            let options = json!({ "at": at, "bomb": bomb });
            let instance = match engine.create_of(table, 1, &options) {
                Ok(instance) => instance,
                Err(error) => {
                    // What was built and is thrown away on the way panics in its drop, too.
                    assert!(matches!(at, "create" | "drop"), "{at}");
                    assert_eq!(error.code, Status::PANIC);
                    continue;
                }
            };
            let answers = everything(&instance, kind);
            let broken = answers.iter().position(|(_, status)| *status == Status::PANIC);
            for (place, status) in &answers[broken.unwrap_or(answers.len())..] {
                assert_eq!(*status, Status::PANIC, "{place} after {at}: a broken instance stays broken");
            }
            for (place, status) in &answers[..broken.unwrap_or(answers.len())] {
                assert!(
                    matches!(*status, Status::OK | Status::UNSUPPORTED),
                    "{place} before {at}: {status:?}"
                );
            }
            panics += usize::from(broken.is_some());
        }
    }
    // A source panics at 6 of the places, a plain filter at 3, one that waits at 3, a sink at 7; each in two ways.
    assert_eq!(panics, 2 * (6 + 3 + 3 + 7));
}

#[test]
fn message_of_a_panic_is_reported_again() {
    let instance = Engine::new().create_of(tables()[1], 1, &json!({ "at": "process", "bomb": false }));
    let (instance, given) = (instance.ok().unwrap(), Given::of(&["a"]));
    for _ in 0..2 {
        let (status, error, _) = instance.process(&given);
        assert_eq!((status, error.code), (Status::PANIC, Status::PANIC));
        assert!(error.message().starts_with("the plugin panicked: no process"), "{}", error.message());
    }
}

#[test]
fn a_library_that_panics_has_no_table() {
    assert!(Library::new().table("x", "1", || panic!("no plugins")).is_null());
}

#[test]
fn options_that_are_none_are_refused() {
    let error = Engine::new().create_of(tables()[0], 1, &json!({ "other": 1 })).err().unwrap();
    assert_eq!(error.code, Status::CONFIG);
    assert!(error.message().contains("other"), "{}", error.message());
}
