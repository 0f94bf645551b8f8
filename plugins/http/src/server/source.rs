//! `http_server`: the source itself.

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

use super::connection::Halt;
use super::gate::Rate;
use super::intake::{self, Handover};
use super::listener;
use super::options::{Options, Respond, Settings};
use super::request::Server;
use super::sockets;
use crate::budget::Budget;
use crate::exchange::Exchange;

/// How long bodies that are being read may still take when the pipeline stops, and answers that are being
/// sent when it has stopped.
const GRACE: Duration = Duration::from_secs(5);

const SAMPLE: &str = r#"[source.ingest]
plugin = "http_server"
listen = "127.0.0.1:8080"
path = "/events"
respond = "delivered"
"#;

/// The source, whose requests wait in this exchange.
pub(crate) fn plugin(exchange: Arc<Exchange>) -> Plugin {
    let summary = "listens for HTTP requests, and answers when their events are where they should be";
    Plugin::source("http_server", summary, SAMPLE, move |options: Options| {
        HttpServer::new(options, Arc::clone(&exchange))
    })
}

/// The source.
pub(super) struct HttpServer {
    settings: Arc<Settings>,
    exchange: Arc<Exchange>,
    running: Option<Running>,
}

/// What there is between open and close.
struct Running {
    address: SocketAddr,
    server: Arc<Server>,
    handover: Handover,
    /// The listener, the connections, and those that are turned away.
    tasks: TaskTracker,
    halt: Halt,
    /// Ends when no more connections are accepted, with the guard of a parked socket.
    listening: Option<JoinHandle<Option<DropGuard>>>,
    /// Until when bodies may still arrive; set when the pipeline stops.
    until: Option<Instant>,
    /// However the source ends, its connections do.
    _kill: DropGuard,
}

impl HttpServer {
    pub(super) fn new(options: Options, exchange: Arc<Exchange>) -> Result<Self, ConfigError> {
        Ok(Self { settings: Arc::new(Settings::new(options)?), exchange, running: None })
    }

    /// Where it listens, once it is open.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    /// The bytes that bodies, requests and results take now.
    #[cfg(test)]
    pub(super) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.running.as_ref().unwrap().server.budget)
    }
}

impl Running {
    fn start(
        listener: TcpListener,
        settings: &Arc<Settings>,
        exchange: &Arc<Exchange>,
        cx: &Cx,
    ) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(|error| {
            Error::retry(format!("the address that is listened on is not known: {error}"))
        })?;
        let options = &settings.options;
        let (intake, handover) = intake::queue(options.waiting);
        let server = Arc::new(Server {
            settings: Arc::clone(settings),
            exchange: Arc::clone(exchange),
            budget: Budget::new(options.waiting_size.as_usize()),
            rate: options.rate.map(Rate::new),
            intake,
            newcomers: TaskTracker::new(),
            cx: cx.clone(),
        });
        let (tasks, halt) = (TaskTracker::new(), Halt::default());
        let listen = listener::listen(listener, Arc::clone(&server), tasks.clone(), halt.clone());
        let listening = Some(cx.spawn(tasks.track_future(listen)));
        let kill = halt.kill.clone().drop_guard();
        Ok(Self { address, server, handover, tasks, halt, listening, until: None, _kill: kill })
    }

    /// Lets no more requests in; those whose bodies are being read have a little time. If a reload replaces the server,
    /// clients that have just connected get an answer too.
    fn stop(&mut self, cx: &Cx) {
        self.until = Some(Instant::now() + GRACE);
        self.server.newcomers.close();
        if !cx.is_replaced() {
            self.server.intake.close();
        }
    }
}

#[async_trait]
impl Source for HttpServer {
    /// A client that gets no answer asks again, unless it was told at once that its events were accepted.
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
        let listener = sockets::listen(listen).await.map_err(|error| {
            Error::retry(format!("cannot listen on {listen}: {error}; is another program using it?"))
        })?;
        let running = Running::start(listener, &self.settings, &self.exchange, cx)?;
        tracing::info!(component = cx.component(), "listening on {}", running.address);
        self.running = Some(running);
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some(running) = &mut self.running else { return Err(Error::fatal("the server is not open")) };
        if let Some(rest) = running.handover.rest() {
            return Ok(Some(rest));
        }
        loop {
            if running.until.is_none() && cx.is_stopping() {
                running.stop(cx);
            }
            let (queue, server) = (&mut running.handover.queue, &running.server);
            let waiting = match running.until {
                None => tokio::select! {
                    biased;
                    waiting = queue.recv() => waiting,
                    () = cx.stopping() => continue,
                },
                Some(until) if server.intake.is_open() => tokio::select! {
                    biased;
                    waiting = queue.recv() => waiting,
                    _ = timeout_at(until, server.newcomers.wait()) => {
                        server.intake.close();
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
                // Nothing is begun for a client that has left while its request was in the queue.
                Some(waiting) if waiting.client.is_gone() => {}
                waiting => return Ok(waiting.map(|waiting| running.handover.batch(waiting))),
            }
        }
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let Running { handover, tasks, halt, server, listening, .. } = running;
        server.intake.close();
        drop(handover);
        halt.drain.cancel();
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            halt.kill.cancel();
            tasks.wait().await;
        }
        // A parked socket waits for the next instance from here on.
        drop(match listening {
            Some(listening) => listening.await,
            None => Ok(None),
        });
        Ok(())
    }
}
