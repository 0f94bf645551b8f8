//! The source against real files.

mod contents;
mod follow;
mod matrix;
mod once;
mod replay;
mod rotation;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_sdk::{Cx, Plugin, Position, Source, SourceBatch};
use tidegate_testkit::{build_source, context};
use tokio_util::sync::CancellationToken;

fn plugin() -> Plugin {
    let is_source = |plugin: &Plugin| plugin.kind() == tidegate_sdk::Kind::Source;
    crate::plugins().into_iter().find(is_source).expect("the source is there")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn append(path: impl AsRef<Path>, text: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A source that is running, and what came out of it.
struct Run {
    source: Box<dyn Source>,
    cx: Cx,
    stopping: CancellationToken,
    texts: Vec<String>,
    rejected: Vec<String>,
    positions: BTreeMap<String, Position>,
}

impl Run {
    async fn start(options: &Value) -> Self {
        Self::resume(options, BTreeMap::new()).await
    }

    async fn resume(options: &Value, positions: BTreeMap<String, Position>) -> Self {
        let (cx, stopping) = context();
        let cx = cx.with_resume(positions.clone()).with_event_size(tidegate_sdk::Size(1 << 20));
        let mut source = build_source(&plugin(), options);
        source.open(&cx).await.unwrap();
        Self { source, cx, stopping, texts: Vec::new(), rejected: Vec::new(), positions }
    }

    async fn next(&mut self) -> Option<SourceBatch> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.source.next(&self.cx));
        let next = next.await.expect("something comes in time").unwrap()?;
        self.texts.extend(next.batch.texts());
        self.rejected.extend(next.rejected.iter().map(|one| one.reason.clone()));
        let origin = &next.batch.runs()[0].origin;
        self.positions.insert(origin.partition.to_string(), origin.position.clone().unwrap());
        Some(next)
    }

    /// The next batch that has events.
    async fn next_events(&mut self) -> Option<SourceBatch> {
        loop {
            let next = self.next().await?;
            if !next.batch.is_empty() {
                return Some(next);
            }
        }
    }

    /// Reads until there are this many events in all.
    async fn until(&mut self, events: usize) -> &[String] {
        while self.texts.len() < events && self.next().await.is_some() {}
        &self.texts
    }

    async fn end(mut self) -> (Vec<String>, Vec<String>, BTreeMap<String, Position>) {
        while self.next().await.is_some() {}
        self.source.close(&self.cx).await.unwrap();
        self.cx.tasks().joined().await;
        (self.texts, self.rejected, self.positions)
    }

    async fn stop(self) -> (Vec<String>, Vec<String>, BTreeMap<String, Position>) {
        self.stopping.cancel();
        self.end().await
    }
}

fn followed(path: impl Into<Value>) -> Value {
    json!({ "path": path.into(), "follow": true, "poll_interval": "5ms" })
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("line {number:06}")).collect()
}

fn lines(range: std::ops::Range<u32>) -> String {
    numbers(range).iter().map(|line| format!("{line}\n")).collect()
}
