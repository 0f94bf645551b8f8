//! The admin server: metrics, health and a dashboard, over plain HTTP on a loopback address.
//!
//! It only answers questions. It has limits of its own, because whoever can reach it may be broken or
//! hostile: so many connections, so much time, so large a header.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tidegate_sdk::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::watch::Pipelines;
use crate::{health, metrics};

/// Connections at a time; more wait until one is over.
const CONNECTIONS: usize = 32;
/// How long the header of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long a connection may take in all, from its first byte to the last of its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// The longest header, in bytes.
const HEADER_SIZE: usize = 16 << 10;
/// The pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const DASHBOARD: &str = include_str!("dashboard.html");
const DASHBOARD_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

/// An address that is taken, and nobody is served on yet.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// A server that runs.
pub(crate) struct Serving {
    stopping: CancellationToken,
    tasks: Tasks,
}

impl Admin {
    /// Takes the address.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let problem = |error| Failure::wrong(format!("--admin {address} cannot be listened on: {error}"));
        let listener = TcpListener::bind(address).await.map_err(problem)?;
        let address = listener.local_addr().map_err(problem)?;
        Ok(Self { listener, address })
    }

    /// The address with its real port.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped.
    pub(crate) fn serve<P: Pipelines>(self, pipelines: Arc<P>) -> Serving {
        tracing::info!("admin listening on {}", self.address);
        let (stopping, tasks) = (CancellationToken::new(), Tasks::new());
        let accepting = accept(self.listener, pipelines, tasks.clone(), stopping.clone());
        tasks.spawn(accepting);
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

async fn accept<P: Pipelines>(
    listener: TcpListener,
    pipelines: Arc<P>,
    tasks: Tasks,
    stopping: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let next = async || loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    while let Some((stream, place)) = stopping.run_until_cancelled(next()).await {
        let (pipelines, stopping) = (Arc::clone(&pipelines), stopping.clone());
        tasks.spawn(async move {
            stopping.run_until_cancelled(timeout(CONNECTION_TIME, connection(stream, pipelines))).await;
            drop(place);
        });
    }
}

async fn connection<P: Pipelines>(stream: TcpStream, pipelines: Arc<P>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), pipelines.as_ref());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_SIZE)
        .keep_alive(false);
    // A client that leaves early or talks nonsense harms only itself.
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

fn answer(method: &Method, path: &str, pipelines: &impl Pipelines) -> Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    if method != Method::GET {
        let mut refusal =
            page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is served here\n".into());
        refusal.headers_mut().insert(ALLOW, "GET".parse().expect("a plain word is a header value"));
        return refusal;
    }
    match path {
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
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
