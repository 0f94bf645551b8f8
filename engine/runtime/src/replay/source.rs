//! Source of a replay: reads the dead letters of one component as events.

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
use crate::dead_letters::dead_letter::{DeadLetter, Raw};

/// Pause after outcomes could not be stored.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Plugin of a source of the dead letters of `component`. It is created for one replay, and is in no registry.
pub(super) fn plugin(ledger: Arc<ReplayLedger>, component: String) -> Plugin {
    let build = move |_: NoOptions| {
        let (ledger, component) = (Arc::clone(&ledger), component.clone());
        Ok::<_, ConfigError>(DeadLetterSource {
            ledger,
            component,
            left: VecDeque::new(),
            total: 0,
            writer_over: None,
        })
    };
    Plugin::source("dead_letters", "puts dead letters back where they were refused", "", build)
}

struct DeadLetterSource {
    ledger: Arc<ReplayLedger>,
    component: String,
    left: VecDeque<u64>,
    total: u64,
    /// Ends the task that stores outcomes.
    writer_over: Option<DropGuard>,
}

#[async_trait]
impl Source for DeadLetterSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.left = self.ledger.open(&self.component).into();
        self.total = self.left.len() as u64;
        let over = CancellationToken::new();
        cx.spawn(store_outcomes(Arc::clone(&self.ledger), cx.clone(), over.clone()));
        self.writer_over = Some(over.drop_guard());
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if cx.is_stopping() {
            return Ok(None);
        }
        let Some(id) = self.left.front().copied() else { return Ok(None) };
        let ledger = Arc::clone(&self.ledger);
        let read = cx.spawn_blocking(move || ledger.dead_letters.get(id)).await;
        let dead_letter = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let dead_letter = dead_letter.map_err(|error| Error::fatal(format!("dead letter {id}: {error}")))?;
        self.left.pop_front();
        cx.progress().set(self.total - self.left.len() as u64, self.total);
        let Some(dead_letter) = dead_letter else { return Ok(Some(Batch::builder().finish().into())) };
        let ledger = Arc::clone(&self.ledger);
        // One event in each batch, so that each has an ack tree of its own.
        Ok(Some(SourceBatch::from(batch(dead_letter)).on_done(move |outcome| ledger.ended(id, outcome))))
    }

    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.writer_over = None;
        Ok(())
    }
}

/// Converts a dead letter into a batch of one event. Its partition is the number of the dead letter, which identifies it if it
/// is rejected again.
fn batch(dead_letter: DeadLetter) -> Batch {
    let mut builder = Batch::builder();
    builder.push(dead_letter.payload.into());
    if let Some(Raw(key)) = &dead_letter.key {
        builder.key(key);
    }
    if let Some(time) = dead_letter.timestamp {
        builder.timestamp(time);
    }
    let mut attributes = Attributes::default();
    for (name, value) in dead_letter.attributes {
        if let Some(value) = attribute(value) {
            attributes.set(name, value);
        }
    }
    if !attributes.is_empty() {
        builder.attributes(Arc::new(attributes));
    }
    builder.set_partition(dead_letter.id.to_string().into());
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

/// Stores outcomes, all that have arrived meanwhile at a time.
async fn store_outcomes(ledger: Arc<ReplayLedger>, cx: Cx, over: CancellationToken) {
    loop {
        let last = tokio::select! {
            () = ledger.has_ended.notified() => false,
            () = over.cancelled() => true,
        };
        let writer = Arc::clone(&ledger);
        let written = cx.spawn_blocking(move || writer.write()).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::error!(
                component = cx.component(),
                "replayed dead letters cannot be removed yet: {error}"
            );
            ledger.has_ended.notify_one();
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
