//! Serves one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::handler::{Peer, Server};
use super::options::Options;
use super::timed_socket::{Phase, TimedSocket, Timeouts};

/// Signals that end connections: `drain` lets each finish its current request, `kill` does not.
#[derive(Clone, Debug, Default)]
pub(super) struct Shutdown {
    pub(super) drain: CancellationToken,
    pub(super) kill: CancellationToken,
}

impl Shutdown {
    /// Returns child signals for one connection, so that waiting for them does not contend with other connections.
    pub(super) fn child(&self) -> Self {
        Self { drain: self.drain.child_token(), kill: self.kill.child_token() }
    }
}

/// The time that a connection without a request gets to send one, when a reload replaces the server.
const FIRST_BYTE: Duration = Duration::from_secs(1);

/// The number of headers for which hyper has room by default.
const HEADER_COUNT: usize = 100;

/// Configures hyper. Its time limits are off, because [`TimedSocket`] has one for each phase.
pub(super) fn protocol(options: &Options) -> http1::Builder {
    let size = options.header_size.as_usize();
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(size).max_buf_size(size);
    // Setting the limit costs an allocation for each request, even if it is the default.
    if options.header_count != HEADER_COUNT {
        builder.max_headers(options.header_count);
    }
    builder
}

/// Serves the requests of one connection until either side ends it.
pub(super) async fn serve(
    server: Arc<Server>,
    protocol: http1::Builder,
    stream: TcpStream,
    peer: Peer,
    shutdown: Shutdown,
) {
    let guard = TimedSocket::new(stream, Arc::clone(&peer.phase), Timeouts::new(&server.settings.options));
    let peer = Arc::new(peer);
    let service = service_fn(|request| {
        let (server, peer) = (Arc::clone(&server), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(server.serve(request, &peer).await) }
    });
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(guard), service));
    let mut drain = pin!(shutdown.drain.cancelled());
    let mut kill = pin!(shutdown.kill.cancelled());
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(component = server.cx.component(), client = peer.address, "connection ended: {error}");
                }
                return;
            }
            () = drain.as_mut(), if !draining => {
                draining = true;
                if server.cx.is_replaced() {
                    await_first_byte(connection.as_mut(), &peer.phase).await;
                }
                connection.as_mut().graceful_shutdown();
            }
            () = kill.as_mut() => return,
        }
    }
}

/// Drives a connection until its first byte arrives, or its time is up. A graceful shutdown before the first byte would
/// close it without a response.
async fn await_first_byte(mut connection: Pin<&mut impl Future>, phase: &Phase) {
    let first_byte = poll_fn(|cx| {
        if phase.is_fresh() && connection.as_mut().poll(cx).is_pending() && phase.is_fresh() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    });
    // After the time limit the connection is closed.
    let _ = tokio::time::timeout(FIRST_BYTE, first_byte).await;
}
