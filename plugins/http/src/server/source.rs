//! The source `http_server`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_sdk::{
    ConfigError, Cx, Error, Exclusive, Plugin, Replay, Resource, Source, SourceBatch, async_trait,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::admission::Rate;
use super::connection::Shutdown;
use super::handler::Server;
use super::listener;
use super::options::{Options, Respond, Settings};
use super::queue::{self, BatchReader};
use super::sockets;
use crate::budget::ByteBudget;
use crate::pending::PendingRequests;

/// The time limit for unfinished bodies when the pipeline stops, and for unsent responses when it has stopped.
const GRACE: Duration = Duration::from_secs(5);

const SAMPLE: &str = r#"[source.ingest]
plugin = "http_server"
listen = "127.0.0.1:8080"
path = "/events"
respond = "delivered"
"#;

/// Describes the source.
pub(crate) fn plugin(pending_requests: Arc<PendingRequests>) -> Plugin {
    let summary = "listens for HTTP requests, and responds when their events have been processed";
    Plugin::source("http_server", summary, SAMPLE, move |options: Options| {
        HttpServer::new(options, Arc::clone(&pending_requests))
    })
}

/// The source `http_server`.
pub(super) struct HttpServer {
    settings: Arc<Settings>,
    pending_requests: Arc<PendingRequests>,
    running: Option<Running>,
}

/// The state of an open server.
struct Running {
    address: SocketAddr,
    server: Arc<Server>,
    reader: BatchReader,
    /// The listener and the connections.
    tasks: TaskTracker,
    shutdown: Shutdown,
    /// The task that accepts connections. Returns the guard of a parked socket.
    listening: Option<JoinHandle<Option<DropGuard>>>,
    /// The deadline for unfinished bodies; set when the pipeline stops.
    until: Option<Instant>,
    /// Ends the connections when the source is dropped.
    _kill: DropGuard,
}

impl HttpServer {
    pub(super) fn new(options: Options, pending_requests: Arc<PendingRequests>) -> Result<Self, ConfigError> {
        Ok(Self { settings: Arc::new(Settings::new(options)?), pending_requests, running: None })
    }

    /// Returns the address of an open server.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    /// Returns the budget of bodies, requests and results.
    #[cfg(test)]
    pub(super) fn budget(&self) -> Arc<ByteBudget> {
        Arc::clone(&self.running.as_ref().unwrap().server.budget)
    }
}

impl Running {
    fn start(
        listener: TcpListener,
        settings: &Arc<Settings>,
        pending_requests: &Arc<PendingRequests>,
        cx: &Cx,
    ) -> Result<Self, Error> {
        let address = listener
            .local_addr()
            .map_err(|error| Error::retry(format!("the local address is unknown: {error}")))?;
        let options = &settings.options;
        let (queue, reader) = queue::channel(options.waiting);
        let server = Arc::new(Server {
            settings: Arc::clone(settings),
            pending_requests: Arc::clone(pending_requests),
            budget: ByteBudget::new(options.waiting_size.as_usize()),
            rate: options.rate.map(Rate::new),
            queue,
            newcomers: TaskTracker::new(),
            cx: cx.clone(),
        });
        let (tasks, shutdown) = (TaskTracker::new(), Shutdown::default());
        let listen = listener::listen(listener, Arc::clone(&server), tasks.clone(), shutdown.clone());
        let listening = Some(cx.spawn(tasks.track_future(listen)));
        let kill = shutdown.kill.clone().drop_guard();
        Ok(Self { address, server, reader, tasks, shutdown, listening, until: None, _kill: kill })
    }

    /// Admits no more requests; unfinished bodies get a time limit. If a reload replaces the server, clients that have
    /// just connected are served too.
    fn stop(&mut self, cx: &Cx) {
        self.until = Some(Instant::now() + GRACE);
        self.server.newcomers.close();
        if !cx.is_replaced() {
            self.server.queue.close();
        }
    }
}

#[async_trait]
impl Source for HttpServer {
    /// A client without a response sends its request again, unless its events were accepted at once.
    fn replay(&self) -> Replay {
        match self.settings.options.respond {
            Respond::Accepted => Replay::Never,
            Respond::Delivered | Respond::Result => Replay::Redelivery,
        }
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        let address = Resource::listen(&self.settings.options.listen);
        address.map(|address| Exclusive::new("/listen", address)).into_iter().collect()
    }

    fn answered_by(&self) -> Option<&'static str> {
        (self.settings.options.respond == Respond::Result).then_some("http_response")
    }

    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        let listen = &self.settings.options.listen;
        let listener = sockets::listen(listen, cx.component()).await.map_err(|error| {
            Error::retry(format!("cannot listen on {listen}: {error}; is another program using it?"))
        })?;
        let running = Running::start(listener, &self.settings, &self.pending_requests, cx)?;
        tracing::info!(component = cx.component(), "listening on {}", running.address);
        self.running = Some(running);
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some(running) = &mut self.running else { return Err(Error::fatal("the server is not open")) };
        if let Some(rest) = running.reader.rest() {
            return Ok(Some(rest));
        }
        loop {
            if running.until.is_none() && cx.is_stopping() {
                running.stop(cx);
            }
            let (queue, server) = (&mut running.reader.receiver, &running.server);
            let waiting = match running.until {
                None => tokio::select! {
                    biased;
                    waiting = queue.recv() => waiting,
                    () = cx.stopping() => continue,
                },
                Some(until) if server.queue.is_open() => tokio::select! {
                    biased;
                    waiting = queue.recv() => waiting,
                    _ = timeout_at(until, server.newcomers.wait()) => {
                        server.queue.close();
                        continue;
                    }
                },
                Some(until) => match timeout_at(until, queue.recv()).await {
                    Ok(waiting) => waiting,
                    Err(_) => {
                        queue.close();
                        queue.recv().await
                    }
                },
            };
            match waiting {
                // A request whose client has left in the meantime is skipped.
                Some(waiting) if waiting.client.is_gone() => {}
                waiting => return Ok(waiting.map(|waiting| running.reader.batch(waiting))),
            }
        }
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let Running { reader, tasks, shutdown, server, listening, .. } = running;
        server.queue.close();
        drop(reader);
        shutdown.drain.cancel();
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            shutdown.kill.cancel();
            tasks.wait().await;
        }
        // The expiry of a parked socket begins here.
        drop(match listening {
            Some(listening) => listening.await,
            None => Ok(None),
        });
        Ok(())
    }
}
