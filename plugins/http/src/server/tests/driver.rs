//! What the engine does around the server: take batches, write results, settle.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate_sdk::{Batch, Cx, Outcome, Sink, Size, Source, SourceBatch};
use tidegate_testkit::{build_sink, context};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::exchange::Exchange;
use crate::response;
use crate::server::options::Options;
use crate::server::source::HttpServer;

/// A server that is open, and not yet driven.
pub(super) struct Opened {
    pub(super) source: HttpServer,
    pub(super) exchange: Arc<Exchange>,
    pub(super) address: SocketAddr,
    pub(super) cx: Cx,
    pub(super) stopping: CancellationToken,
}

/// A server whose batches go through a pipeline.
pub(super) struct Driven {
    pub(super) address: SocketAddr,
    pub(super) exchange: Arc<Exchange>,
    pub(super) budget: Arc<Budget>,
    pub(super) cx: Cx,
    pub(super) stopping: CancellationToken,
    /// Every payload that entered.
    pub(super) entered: Arc<Mutex<Vec<String>>>,
    pub(super) engine: JoinHandle<()>,
}

/// What a pipeline does with a batch.
pub(super) enum Fate {
    /// It goes to `http_response`.
    Answer(Batch),
    /// It ends.
    End(Outcome),
}

pub(super) fn options(options: &Value) -> Options {
    let mut all = json!({ "listen": "127.0.0.1:0" });
    for (name, value) in options.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

impl Opened {
    pub(super) async fn new(of: Value) -> Self {
        let (cx, stopping) = context();
        let cx = cx.with_event_size(Size(1 << 20));
        let exchange = Exchange::new();
        let mut source = HttpServer::new(options(&of), Arc::clone(&exchange)).unwrap();
        Source::open(&mut source, &cx).await.unwrap();
        let address = source.address();
        Self { source, exchange, address, cx, stopping }
    }

    pub(super) async fn next(&mut self) -> Option<SourceBatch> {
        Source::next(&mut self.source, &self.cx).await.unwrap()
    }

    pub(super) fn sink(&self, of: &Value) -> Box<dyn Sink> {
        build_sink(&response::plugin(Arc::clone(&self.exchange)), of)
    }

    pub(super) fn drive(self, pipeline: impl FnMut(&Batch) -> Fate + Send + 'static) -> Driven {
        self.drive_to(&json!({}), pipeline)
    }

    pub(super) fn drive_to(
        self,
        response: &Value,
        mut pipeline: impl FnMut(&Batch) -> Fate + Send + 'static,
    ) -> Driven {
        let mut sink = self.sink(response);
        let Self { mut source, exchange, address, cx, stopping } = self;
        let entered = Arc::new(Mutex::new(Vec::new()));
        let (budget, seen, context) = (source.budget(), Arc::clone(&entered), cx.clone());
        let engine = cx.spawn(async move {
            let mut sequence = 0;
            while let Some(next) = Source::next(&mut source, &context).await.unwrap() {
                let batch = next.batch.stamped(&Arc::from("test"), sequence);
                sequence += 1;
                seen.lock().unwrap().extend(batch.texts());
                let outcome = match pipeline(&batch) {
                    Fate::End(outcome) => outcome,
                    Fate::Answer(results) => {
                        let delivery = sink.write(&results, &context).await.unwrap();
                        let rejected = delivery.rejected().first();
                        rejected.map_or(Outcome::Delivered, |one| Outcome::Rejected(one.reason.clone()))
                    }
                };
                if let Some(settled) = next.done {
                    settled(outcome);
                }
            }
            Source::close(&mut source, &context).await.unwrap();
        });
        Driven { address, exchange, budget, cx, stopping, entered, engine }
    }
}

impl Driven {
    /// A server whose pipeline delivers all.
    pub(super) async fn delivering(of: Value) -> Self {
        Opened::new(of).await.drive(|_| Fate::End(Outcome::Delivered))
    }

    /// A server that answers with its events as they are.
    pub(super) async fn echoing(mut of: Value) -> Self {
        of["respond"] = "result".into();
        Opened::new(of).await.drive(|batch| Fate::Answer(batch.clone()))
    }

    pub(super) fn entered(&self) -> Vec<String> {
        self.entered.lock().unwrap().clone()
    }

    /// Drains, and sees that nothing is left behind.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        self.engine.await.unwrap();
        self.cx.tasks().joined().await;
        assert_eq!(self.budget.used(), 0, "bytes are still held");
        assert_eq!(self.exchange.len(), 0, "requests still wait");
    }
}
