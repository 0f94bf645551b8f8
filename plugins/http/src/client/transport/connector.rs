//! How a connection is made, for the pool.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tidegate_sdk::Error;
use tokio::net::TcpStream;
use tower_service::Service;

type Failure = Box<dyn StdError + Send + Sync>;
type Plain = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The interval of TCP's keep-alive: a server that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    /// To a server, or to a proxy.
    direct: HttpsConnector<HttpConnector>,
    tls: ClientConfig,
    proxies: Arc<Matcher>,
    time_limit: Duration,
}

impl Connector {
    /// # Errors
    /// If the system's certificates cannot be read.
    pub(super) fn new(time_limit: Duration, proxies: Arc<Matcher>) -> Result<Self, Error> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // A program that embeds the engine may not have chosen a provider. An error means that another thread was
            // faster, which is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let tls = ClientConfig::builder()
            .with_platform_verifier()
            .map_err(|error| Error::misconfigured(format!("the system's certificates: {error}")))?
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_connect_timeout(Some(time_limit));
        Ok(Self { direct: with_tls(&tls, tcp), tls, proxies, time_limit })
    }

    async fn connect(mut self, uri: Uri) -> Result<Wire, Failure> {
        let Some(proxy) = self.proxies.intercept(&uri) else {
            return Ok(Wire::Direct(self.direct.call(uri).await?));
        };
        match proxy.uri().scheme_str() {
            Some("http" | "https") => {}
            other => {
                let scheme = other.unwrap_or_default();
                return Err(
                    format!("a proxy of the kind `{scheme}` is not supported, only http and https").into()
                );
            }
        }
        if uri.scheme_str() == Some("https") {
            return Ok(Wire::Tunnel(Box::new(self.tunnel(&proxy, uri).await?)));
        }
        Ok(Wire::Proxied(self.direct.call(proxy.uri().clone()).await?))
    }

    async fn tunnel(&self, proxy: &Intercept, uri: Uri) -> Result<MaybeHttpsStream<Plain>, Failure> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct.clone());
        if let Some(login) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(login.clone());
        }
        with_tls(&self.tls, tunnel).call(uri).await
    }
}

fn with_tls<C>(tls: &ClientConfig, connector: C) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
    builder.enable_http1().enable_http2().wrap_connector(connector)
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connector").field("time_limit", &self.time_limit).finish_non_exhaustive()
    }
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connector, limit) = (self.clone(), self.time_limit);
        Box::pin(async move {
            tokio::time::timeout(limit, connector.connect(uri)).await.unwrap_or_else(|_| {
                let limit = tidegate_sdk::Duration(limit);
                let reason = format!("nothing within `connect_time_limit` ({limit})");
                Err(io::Error::new(io::ErrorKind::TimedOut, reason).into())
            })
        })
    }
}

/// A connection.
pub(super) enum Wire {
    /// To the server.
    Direct(Plain),
    /// To a proxy that passes requests on.
    Proxied(Plain),
    /// Through a proxy to the server.
    Tunnel(Box<MaybeHttpsStream<Plain>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        match self {
            Self::Direct(stream) => stream.connected(),
            Self::Proxied(stream) => stream.connected().proxy(true),
            Self::Tunnel(stream) => stream.connected(),
        }
    }
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Proxied(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tunnel(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Proxied(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tunnel(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Proxied(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Proxied(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Direct(stream) | Self::Proxied(stream) => stream.is_write_vectored(),
            Self::Tunnel(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Proxied(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Tunnel(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }
}
