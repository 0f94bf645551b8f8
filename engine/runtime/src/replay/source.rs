//! The source of a replay: the letters that one component had refused, each an event again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tidegate_sdk::{
    AttributeValue, Attributes, Batch, ConfigError, Cx, Error, Plugin, Source, SourceBatch, async_trait,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ledger::ReplayLedger;
use crate::dead_letters::letter::{DeadLetter, Raw};

/// How long to wait after what has settled could not be written down.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// The plugin of a source of the letters that `component` had refused. It is in no registry: it is made for one
/// replay.
pub(super) fn plugin(ledger: Arc<ReplayLedger>, component: String) -> Plugin {
    let build = move |_: NoOptions| {
        let (ledger, component) = (Arc::clone(&ledger), component.clone());
        Ok::<_, ConfigError>(LetterSource { ledger, component, left: VecDeque::new(), total: 0, clerk: None })
    };
    Plugin::source("dead_letters", "puts dead letters back where they were refused", "", build)
}

struct LetterSource {
    ledger: Arc<ReplayLedger>,
    component: String,
    left: VecDeque<u64>,
    total: u64,
    /// Ends the task that writes down what has settled.
    clerk: Option<DropGuard>,
}

#[async_trait]
impl Source for LetterSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.left = self.ledger.open(&self.component).into();
        self.total = self.left.len() as u64;
        let over = CancellationToken::new();
        cx.spawn(write_down(Arc::clone(&self.ledger), cx.clone(), over.clone()));
        self.clerk = Some(over.drop_guard());
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if cx.is_stopping() {
            return Ok(None);
        }
        let Some(id) = self.left.front().copied() else { return Ok(None) };
        let ledger = Arc::clone(&self.ledger);
        let read = cx.spawn_blocking(move || ledger.letters.get(id)).await;
        let letter = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let letter = letter.map_err(|error| Error::fatal(format!("dead letter {id}: {error}")))?;
        self.left.pop_front();
        cx.progress().set(self.total - self.left.len() as u64, self.total);
        let Some(letter) = letter else { return Ok(Some(Batch::builder().finish().into())) };
        let ledger = Arc::clone(&self.ledger);
        // One event a batch, so that each is answered for by itself.
        Ok(Some(SourceBatch::from(batch(letter)).on_done(move |outcome| ledger.settle(id, outcome))))
    }

    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.clerk = None;
        Ok(())
    }
}

/// The event that a letter was. Its partition is the letter's number, by which it is recognised if it is
/// rejected again.
fn batch(letter: DeadLetter) -> Batch {
    let mut builder = Batch::builder();
    builder.push(letter.payload.into());
    if let Some(Raw(key)) = &letter.key {
        builder.key(key);
    }
    if let Some(time) = letter.timestamp {
        builder.timestamp(time);
    }
    let mut attributes = Attributes::default();
    for (name, value) in letter.attributes {
        if let Some(value) = attribute(value) {
            attributes.set(name, value);
        }
    }
    if !attributes.is_empty() {
        builder.attributes(Arc::new(attributes));
    }
    builder.set_partition(letter.id.to_string().into());
    builder.finish()
}

fn attribute(value: Value) -> Option<AttributeValue> {
    match value {
        Value::String(text) => Some(AttributeValue::Text(text)),
        Value::Bool(value) => Some(AttributeValue::Boolean(value)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Some(AttributeValue::Integer(integer)),
            None => number.as_f64().map(AttributeValue::Float),
        },
        _ => None,
    }
}

/// Writes down what has settled, all that has settled meanwhile at a time.
async fn write_down(ledger: Arc<ReplayLedger>, cx: Cx, over: CancellationToken) {
    loop {
        let last = tokio::select! {
            () = ledger.settled.notified() => false,
            () = over.cancelled() => true,
        };
        let writer = Arc::clone(&ledger);
        let written = cx.spawn_blocking(move || writer.write()).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::error!(component = cx.component(), "what was replayed cannot be removed yet: {error}");
            ledger.settled.notify_one();
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = over.cancelled() => {}
            }
        }
        if last {
            return;
        }
    }
}
