//! The admin server: metrics, health and a dashboard, over plain HTTP on a loopback address.
//!
//! It is read-only. Connections, time and header size are limited, because a local client may be broken or hostile. A
//! new connection always gets a slot: if none is free, the server closes the oldest connection of the address that has
//! the most, so that one client cannot keep others from `/healthz`.

mod metrics;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, ORIGIN,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tidegate_sdk::{Hosts, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::health;
use super::watch::Pipelines;
use crate::exit::Failure;

/// Connections at a time.
const CONNECTIONS: usize = 128;
/// Time limit for the header of a request.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Time limit for a connection, from its first byte to the last byte of the response.
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// The longest header, in bytes.
const HEADER_SIZE: usize = 16 << 10;
/// The pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const DASHBOARD: &str = include_str!("admin/dashboard.html");
const DASHBOARD_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

/// A bound address without a running server.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    hosts: Hosts,
}

/// A running server.
pub(crate) struct Serving {
    stopping: CancellationToken,
    tasks: Tasks,
}

impl Admin {
    /// Binds the address. The server answers requests for these hosts and for loopback.
    pub(crate) async fn bind(address: SocketAddr, hosts: Hosts) -> Result<Self, Failure> {
        let problem = |error| Failure::wrong(format!("--admin {address} cannot be listened on: {error}"));
        let listener = TcpListener::bind(address).await.map_err(problem)?;
        let address = listener.local_addr().map_err(problem)?;
        Ok(Self { listener, address, hosts })
    }

    /// Returns the address with its real port.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped.
    pub(crate) fn serve<P: Pipelines>(self, pipelines: Arc<P>) -> Serving {
        tracing::info!("admin listening on {}", self.address);
        let (stopping, tasks) = (CancellationToken::new(), Tasks::new());
        let site = Arc::new(Site { pipelines, hosts: self.hosts });
        tasks.spawn(accept(self.listener, site, tasks.clone(), stopping.clone()));
        Serving { stopping, tasks }
    }
}

impl Serving {
    /// Ends every connection and waits for it.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.tasks.joined().await;
    }
}

/// Content of the server, and the host names that it answers to.
struct Site<P> {
    pipelines: Arc<P>,
    hosts: Hosts,
}

async fn accept<P: Pipelines>(
    listener: TcpListener,
    site: Arc<Site<P>>,
    tasks: Tasks,
    stopping: CancellationToken,
) {
    let slots = Arc::new(Slots::default());
    let next = async || loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    while let Some((stream, peer)) = stopping.run_until_cancelled(next()).await {
        let (site, stopping) = (Arc::clone(&site), stopping.clone());
        let slot = Slots::take(&slots, peer.ip());
        tasks.spawn(async move {
            tokio::select! {
                _ = timeout(CONNECTION_TIME, connection(stream, site)) => {}
                () = slot.evicted.cancelled() => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

/// Slots of connections.
#[derive(Default)]
struct Slots(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    next: u64,
    /// Number, address and cancellation of each connection, oldest first.
    all: Vec<(u64, IpAddr, CancellationToken)>,
}

/// Slot of one connection.
struct Slot {
    slots: Arc<Slots>,
    number: u64,
    /// Cancelled when a newer connection needs the slot.
    evicted: CancellationToken,
}

impl Slots {
    /// Takes a slot for a connection from this address.
    fn take(slots: &Arc<Self>, address: IpAddr) -> Slot {
        let mut taken = slots.0.lock();
        if taken.all.len() >= CONNECTIONS {
            let mut counts: HashMap<IpAddr, usize> = HashMap::new();
            taken.all.iter().for_each(|(_, address, _)| *counts.entry(*address).or_default() += 1);
            let greedy = counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address);
            let oldest = taken.all.iter().position(|(_, address, _)| Some(*address) == greedy);
            if let Some(oldest) = oldest {
                taken.all.remove(oldest).2.cancel();
            }
        }
        let (number, evicted) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.all.push((number, address, evicted.clone()));
        Slot { slots: Arc::clone(slots), number, evicted }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock();
        taken.all.retain(|(number, ..)| *number != self.number);
    }
}

async fn connection<P: Pipelines>(stream: TcpStream, site: Arc<Site<P>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&request, &site);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_SIZE)
        .keep_alive(false);
    // A client that disconnects early or violates HTTP affects only itself.
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

/// Returns true if a request is for a host of this server. Browsers send `Host` and `Origin` for requests of foreign
/// pages too; other clients may omit them.
fn is_for_known_host<B>(request: &Request<B>, hosts: &Hosts) -> bool {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let mut named = request.headers().get_all(HOST).iter().map(text);
    let mut origins = request.headers().get_all(ORIGIN).iter().map(text);
    named.all(|host| hosts.allows(&host))
        && request.uri().authority().is_none_or(|authority| hosts.allows(authority.as_str()))
        && origins.all(|origin| hosts.allows_origin(&origin))
}

fn respond<P: Pipelines, B>(request: &Request<B>, site: &Site<P>) -> Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    if !is_for_known_host(request, &site.hosts) {
        let why = "this server is for localhost and loopback addresses; --admin-host NAME adds a name\n";
        return page(StatusCode::FORBIDDEN, "text/plain", why.into());
    }
    if request.method() != Method::GET {
        let mut refusal =
            page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is served here\n".into());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refusal;
    }
    let pipelines = &site.pipelines;
    match request.uri().path() {
        "/" => page(StatusCode::OK, "text/html; charset=utf-8", DASHBOARD.into()),
        "/healthz" => match health::blocked(&pipelines.status()) {
            alive if alive.is_empty() => page(StatusCode::OK, "text/plain", "ok\n".into()),
            blocked => page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", blocked),
        },
        "/metrics" => page(
            StatusCode::OK,
            metrics::MEDIA_TYPE,
            metrics::render(&pipelines.status(), &pipelines.reloads()),
        ),
        "/status" => {
            page(StatusCode::OK, JSON, health::status(&pipelines.status(), &pipelines.reloads()).to_string())
        }
        "/readyz" => {
            let (ready, body) = health::readiness(&pipelines.status());
            let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            page(code, JSON, body.to_string())
        }
        _ => {
            let paths = "there is /, /status, /metrics, /healthz and /readyz\n";
            page(StatusCode::NOT_FOUND, "text/plain", paths.into())
        }
    }
}

fn page(code: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, DASHBOARD_POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
