//! Accepts connections within the limits, and refuses others.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::connection::{self, Shutdown};
use super::handler::{Peer, Server};
use super::sockets;

/// The number of refused connections that get a response at one time. Others are closed without one.
const TURNED_AWAY: usize = 64;

/// The time that a refused client gets to read its response.
const FAREWELL: Duration = Duration::from_secs(1);

/// The pause after a connection cannot be accepted, for example without free file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 59\r\n\r\n\
    {\"error\":\"there are too many connections; try again later\"}";

/// Accepts connections until the pipeline stops, and then drains them. When a reload replaces the server, the socket is
/// parked for the next instance, for as long as the returned guard exists and some seconds more.
pub(super) async fn listen(
    listener: TcpListener,
    server: Arc<Server>,
    tasks: TaskTracker,
    shutdown: Shutdown,
) -> Option<DropGuard> {
    let accepting = server.newcomers.token();
    let options = &server.settings.options;
    let slots = Arc::new(Slots::new(options.connections, options.connections_per_address));
    let protocol = connection::protocol(options);
    let farewells = Arc::new(Semaphore::new(TURNED_AWAY));
    let cx = server.cx.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = cx.stopping() => break,
            () = shutdown.drain.cancelled() => break,
            () = shutdown.kill.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error, &server).await;
                continue;
            }
        };
        if let Some(slot) = Slots::take(&slots, address.ip()) {
            // Otherwise a response may wait for the acknowledgement of the previous segment.
            let _ = stream.set_nodelay(true);
            let peer = Peer::new(plain(address).to_string(), server.newcomers.token());
            let serve =
                connection::serve(Arc::clone(&server), protocol.clone(), stream, peer, shutdown.child());
            cx.spawn(tasks.track_future(async move {
                serve.await;
                drop(slot);
            }));
        } else if let Ok(permit) = Arc::clone(&farewells).try_acquire_owned() {
            cx.spawn(tasks.track_future(turn_away(stream, permit)));
        }
    }
    let parked = cx.is_replaced().then(|| sockets::park(listener, cx.component()));
    drop(accepting);
    shutdown.drain.cancel();
    parked.and_then(|parked| {
        let failed = |error| tracing::warn!(component = cx.component(), "the socket is closed: {error}");
        parked.map_err(failed).ok()
    })
}

/// Pauses after a failed accept, unless the client merely left.
async fn pause(error: &io::Error, server: &Server) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        let component = server.cx.component();
        tracing::warn!(component, "a connection cannot be accepted: {error}; going on in {PAUSE:?}");
        server.cx.sleep(PAUSE).await;
    }
}

/// Sends the response 503, and waits a moment for the client to read it.
async fn turn_away(mut stream: TcpStream, permit: OwnedSemaphorePermit) {
    let farewell = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        let mut waste = [0; 1024];
        while stream.read(&mut waste).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that does not read it is disconnected.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    drop(permit);
}

/// Returns an IPv4 address that is mapped to IPv6 as IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The number of connections, in all and by address.
#[derive(Debug)]
struct Slots {
    limit: usize,
    limit_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The slot of one connection.
#[derive(Debug)]
struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Slots {
    fn new(limit: usize, limit_per_address: usize) -> Self {
        Self { limit, limit_per_address, taken: Mutex::default() }
    }

    fn take(slots: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = network(address);
        let mut taken = slots.taken.lock();
        if taken.all >= slots.limit {
            return None;
        }
        let of_address = taken.by_address.entry(address).or_insert(0);
        if *of_address >= slots.limit_per_address {
            return None;
        }
        *of_address += 1;
        taken.all += 1;
        Some(Slot { slots: Arc::clone(slots), address })
    }
}

/// Returns the unit of the limit per address: with IPv6 the /64 network, because a client usually has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_its_connection_ends() {
        let slots = Arc::new(Slots::new(3, 2));
        let take = |address: &str| Slots::take(&slots, address.parse().unwrap());
        let (one, two) = (take("10.0.0.1"), take("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some());
        assert!(take("10.0.0.1").is_none(), "the limit of one address");
        let three = take("2001:db8::1");
        assert!(three.is_some());
        assert!(take("10.0.0.2").is_none(), "the limit of all");
        drop(one);
        assert!(take("10.0.0.1").is_some());
        drop((two, three));
        assert!(slots.taken.lock().by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }

    #[test]
    fn the_farewell_says_its_own_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
