//! A sink that breaks while it acknowledges and writes, at a server that acknowledges each entry once.

use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{ConfigError, Replay};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::factory::{Capabilities, InstanceContext, InstanceFactory};

/// When the instance breaks in the next call of `ack_and_write`.
#[derive(Clone, Copy)]
enum Break {
    Before,
    After,
    Never,
}

#[derive(Default)]
struct Server {
    pending: BTreeSet<usize>,
    written: Vec<String>,
    breaks: VecDeque<Break>,
    instances: usize,
}

/// Makes instances that write to one server, and break as it says, and at every event that holds `KILL`.
#[derive(Clone, Default)]
struct Breaking(Arc<Mutex<Server>>);

impl InstanceFactory for Breaking {
    fn create(&self, _: &Value, _: &InstanceContext) -> Result<(Component, Capabilities), ConfigError> {
        self.0.lock().instances += 1;
        Ok((Component::Sink(Box::new(self.clone())), capabilities()))
    }
}

#[async_trait]
impl Sink for Breaking {
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        unreachable!("its sink acknowledges")
    }
    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        Ok(self)
    }
}

#[async_trait]
impl AcknowledgingSink for Breaking {
    fn transaction_domain(&self) -> String {
        "here".into()
    }
    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        _: &Cx,
    ) -> Result<Delivery, Error> {
        ack_and_write(&mut self.0.lock(), batch, handles)
    }
}

fn ack_and_write(server: &mut Server, batch: &Batch, ack_handles: &AckHandles) -> Result<Delivery, Error> {
    let broken = || Error::broken("crashed");
    let next = server.breaks.pop_front().unwrap_or(Break::Never);
    if matches!(next, Break::Before) || batch.texts().iter().any(|text| text.contains("KILL")) {
        return Err(broken());
    }
    let (mut delivery, mine) = (Delivery::complete(), server.pending.clone());
    for (event, text) in batch.texts().into_iter().enumerate() {
        let entry = batch.source_index(event) as usize;
        assert_eq!(ack_handles.get(entry), entry.to_string().as_bytes(), "an event comes with its handle");
        if mine.contains(&entry) {
            server.written.push(text);
        } else {
            delivery.already_done(event);
        }
    }
    server.pending.retain(|entry| !ack_handles.range().contains(entry));
    if matches!(next, Break::After) { Err(broken()) } else { Ok(delivery) }
}

fn capabilities() -> Capabilities {
    Capabilities {
        replay: Replay::Never,
        wants_commit: false,
        wants_batch_done: false,
        waits: true,
        parallel: false,
        transactional: Err(String::new()),
        transaction_domain: Ok("here".into()),
        outputs: Vec::new(),
        explain: None,
        exclusive: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The result when these events, one per entry, are acknowledged and written as the engine does it: a rejected event is left out of
/// the next call.
struct Finished {
    written: Vec<String>,
    rejected: Vec<String>,
    elsewhere: usize,
    instances: usize,
}

async fn finished(texts: &[&str], breaks: &[Break], done_by_others: &[usize]) -> Finished {
    let home = Breaking::default();
    {
        let mut server = home.0.lock();
        server.pending = (0..texts.len()).filter(|entry| !done_by_others.contains(entry)).collect();
        server.breaks = breaks.iter().copied().collect();
    }
    let spec = InstanceSpec {
        factory: Arc::new(home.clone()),
        options: Value::Null,
        capabilities: capabilities(),
        plugin: "breaking".into(),
        strict: false,
    };
    let (mut sink, cx) = (RestartingSink::new(spec), Cx::new("sink", CancellationToken::new()));
    let mut builder = Batch::builder();
    texts.iter().for_each(|text| builder.push_copy(text.as_bytes()));
    let mut batch = builder.finish();
    let mut ack_handles = AckHandles::new(&Arc::default());
    (0..texts.len()).for_each(|entry| ack_handles.push(entry.to_string().as_bytes()));
    let (mut rejected, mut elsewhere) = (Vec::new(), 0);
    loop {
        let delivery = AcknowledgingSink::ack_and_write(&mut sink, &batch, &ack_handles, &cx).await.unwrap();
        elsewhere += delivery.events_already_done().len();
        let bad: Vec<usize> = delivery.rejected().iter().map(|one| one.event).collect();
        if bad.is_empty() {
            break;
        }
        rejected.extend(bad.iter().map(|event| batch.texts()[*event].clone()));
        batch = batch.select((0..batch.len()).filter(|event| !bad.contains(event)));
    }
    let server = home.0.lock();
    assert!(server.pending.is_empty(), "every entry is acknowledged");
    Finished { written: server.written.clone(), rejected, elsewhere, instances: server.instances }
}

#[tokio::test]
async fn whenever_it_breaks_each_entry_is_written_once() {
    for breaks in [&[Break::Before][..], &[Break::After], &[Break::Before, Break::After, Break::Before]] {
        let done = finished(&["a", "b", "c", "d"], breaks, &[]).await;
        assert_eq!(done.written, ["a", "b", "c", "d"]);
        assert!(done.rejected.is_empty());
        assert_eq!(
            (done.elsewhere, done.instances),
            (0, breaks.len() + 1),
            "no other process wrote anything"
        );
    }
}

#[tokio::test]
async fn entries_done_by_others_are_reported_unless_they_may_be_ours() {
    let done = finished(&["a", "b", "c"], &[], &[1]).await;
    assert_eq!((done.written, done.elsewhere), (vec!["a".into(), "c".into()], 1));
    let done = finished(&["a", "b", "c"], &[Break::After], &[1]).await;
    assert_eq!((done.written, done.elsewhere), (vec!["a".into(), "c".into()], 0));
}

#[tokio::test]
async fn the_event_at_which_it_breaks_is_found_and_the_rest_is_written_once() {
    let texts = ["a", "b", "KILL", "d", "e"];
    let done = finished(&texts, &[], &[]).await;
    assert_eq!((done.rejected, done.elsewhere), (vec!["KILL".to_owned()], 0));
    let mut written = done.written;
    written.sort();
    assert_eq!(written, ["a", "b", "d", "e"]);
}
