//! A small engine around the server: takes batches, writes results, reports outcomes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate_sdk::{Batch, Cx, Outcome, Sink, Size, Source, SourceBatch};
use tidegate_testkit::{build_sink, context};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::budget::ByteBudget;
use crate::pending::PendingRequests;
use crate::response_sink;
use crate::server::options::Options;
use crate::server::source::HttpServer;

/// An open server that no pipeline reads.
pub(super) struct Opened {
    pub(super) source: HttpServer,
    pub(super) pending_requests: Arc<PendingRequests>,
    pub(super) address: SocketAddr,
    pub(super) cx: Cx,
    pub(super) stopping: CancellationToken,
}

/// A server with a pipeline.
pub(super) struct Driven {
    pub(super) address: SocketAddr,
    pub(super) pending_requests: Arc<PendingRequests>,
    pub(super) budget: Arc<ByteBudget>,
    pub(super) cx: Cx,
    pub(super) stopping: CancellationToken,
    /// Every payload that entered the pipeline.
    pub(super) entered: Arc<Mutex<Vec<String>>>,
    pub(super) engine: JoinHandle<()>,
}

/// The fate of a batch in the pipeline.
pub(super) enum Fate {
    /// The batch goes to `http_response`.
    Response(Batch),
    /// The batch ends with this outcome.
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
        let pending_requests = PendingRequests::new();
        let mut source = HttpServer::new(options(&of), Arc::clone(&pending_requests)).unwrap();
        Source::open(&mut source, &cx).await.unwrap();
        let address = source.address();
        Self { source, pending_requests, address, cx, stopping }
    }

    pub(super) async fn next(&mut self) -> Option<SourceBatch> {
        Source::next(&mut self.source, &self.cx).await.unwrap()
    }

    pub(super) fn sink(&self, of: &Value) -> Box<dyn Sink> {
        build_sink(&response_sink::plugin(Arc::clone(&self.pending_requests)), of)
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
        let Self { mut source, pending_requests, address, cx, stopping } = self;
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
                    Fate::Response(results) => {
                        let delivery = sink.write(&results, &context).await.unwrap();
                        let rejected = delivery.rejected().first();
                        rejected.map_or(Outcome::Delivered, |one| Outcome::Rejected(one.reason.clone()))
                    }
                };
                if let Some(done) = next.done {
                    done(outcome);
                }
            }
            Source::close(&mut source, &context).await.unwrap();
        });
        Driven { address, pending_requests, budget, cx, stopping, entered, engine }
    }
}

impl Driven {
    /// Starts a server whose pipeline delivers every event.
    pub(super) async fn delivering(of: Value) -> Self {
        Opened::new(of).await.drive(|_| Fate::End(Outcome::Delivered))
    }

    /// Starts a server that responds with its events as they are.
    pub(super) async fn echoing(mut of: Value) -> Self {
        of["respond"] = "result".into();
        Opened::new(of).await.drive(|batch| Fate::Response(batch.clone()))
    }

    pub(super) fn entered(&self) -> Vec<String> {
        self.entered.lock().unwrap().clone()
    }

    /// Drains the server, and checks that nothing is left behind.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        self.engine.await.unwrap();
        self.cx.tasks().joined().await;
        assert_eq!(self.budget.used(), 0, "bytes are still held");
        assert_eq!(self.pending_requests.len(), 0, "requests still wait");
    }
}
