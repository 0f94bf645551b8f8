//! Listening sockets that outlive one instance of a server, so that a reload refuses no connection.
//!
//! An instance that is replaced parks its socket here when it stops accepting. New connections then wait in the backlog
//! of the operating system until the next instance takes the socket.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_sdk::Tasks;
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The time for which a parked socket waits for the next instance, once the one before is closed.
const PARKED: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };

/// The parked sockets of this process, by local address.
static SOCKETS: LazyLock<Mutex<HashMap<SocketAddr, Parked>>> = LazyLock::new(Mutex::default);

/// The tasks that close sockets which no instance has taken.
static EXPIRIES: LazyLock<Tasks> = LazyLock::new(Tasks::new);

/// A parked socket, as a socket of the standard library, because those of tokio belong to one runtime.
#[derive(Debug)]
struct Parked {
    /// The component that has parked it.
    component: String,
    listener: std::net::TcpListener,
    taken: CancellationToken,
}

/// Removes a socket from the table when its expiry task ends, or is dropped with its runtime.
struct Expiry {
    address: SocketAddr,
    taken: CancellationToken,
}

impl Drop for Expiry {
    fn drop(&mut self) {
        let mut sockets = SOCKETS.lock();
        if !self.taken.is_cancelled() {
            sockets.remove(&self.address);
        }
    }
}

/// Parks the socket of a component. It is closed [`PARKED`] after the guard is dropped, unless an instance takes it before,
/// or the next instance of the component listens on another address.
pub(super) fn park(listener: TcpListener, component: &str) -> io::Result<DropGuard> {
    let address = listener.local_addr()?;
    let listener = listener.into_std()?;
    let (taken, closed) = (CancellationToken::new(), CancellationToken::new());
    let expiry = Expiry { address, taken: taken.clone() };
    let waiting = closed.clone();
    SOCKETS.lock().insert(address, Parked { component: component.to_owned(), listener, taken });
    EXPIRIES.spawn(async move {
        let end = async {
            waiting.cancelled().await;
            tokio::time::sleep(PARKED).await;
        };
        tokio::select! {
            () = expiry.taken.cancelled() => {}
            () = end => {}
        }
        drop(expiry);
    });
    Ok(closed.drop_guard())
}

/// Returns a socket on which the component listens on `listen`: a parked one, or else a new one. A parked socket of the
/// component that has another address is closed, because no instance accepts its connections any more.
pub(super) async fn listen(listen: &str, component: &str) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = lookup_host(listen).await?.collect();
    close(|address, parked| parked.component == component && !addresses.contains(address));
    for address in &addresses {
        if let Some(listener) = take(address) {
            return TcpListener::from_std(listener);
        }
    }
    let bound = TcpListener::bind(addresses.as_slice()).await;
    match bound {
        // A socket of another address may hold the port: `0.0.0.0:80` and `127.0.0.1:80`.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && close_ports(&addresses) => {
            TcpListener::bind(addresses.as_slice()).await
        }
        bound => bound,
    }
}

fn take(address: &SocketAddr) -> Option<std::net::TcpListener> {
    let mut sockets = SOCKETS.lock();
    let parked = sockets.remove(address)?;
    // Cancelled under the lock, so that the expiry cannot remove the next socket with this address.
    parked.taken.cancel();
    Some(parked.listener)
}

/// Closes the parked sockets with the port of any of these addresses. Returns whether there were any.
fn close_ports(addresses: &[SocketAddr]) -> bool {
    close(|parked, _| addresses.iter().any(|address| address.port() == parked.port()))
}

/// Closes the parked sockets that `is_closed` selects. Returns whether there were any.
fn close(is_closed: impl Fn(&SocketAddr, &Parked) -> bool) -> bool {
    let mut sockets = SOCKETS.lock();
    let before = sockets.len();
    sockets.retain(|address, parked| {
        let is_kept = !is_closed(address, parked);
        if !is_kept {
            parked.taken.cancel();
        }
        is_kept
    });
    sockets.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_parked_socket_is_taken_and_keeps_its_waiting_connections() {
        let first = listen("127.0.0.1:0", "first").await.unwrap();
        let address = first.local_addr().unwrap();
        let guard = park(first, "first").unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let next = listen(&address.to_string(), "first").await.unwrap();
        assert_eq!(next.local_addr().unwrap(), address);
        let (_, peer) = next.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        drop(guard);
        let again = park(next, "first").unwrap();
        drop(listen(&address.to_string(), "first").await.unwrap());
        drop(again);
        assert!(!SOCKETS.lock().contains_key(&address));
    }

    #[tokio::test]
    async fn a_socket_that_no_instance_takes_is_closed() {
        let listener = listen("127.0.0.1:0", "second").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guard = park(listener, "second").unwrap();
        assert!(
            tokio::net::TcpStream::connect(address).await.is_ok(),
            "the instance before is still at work"
        );
        drop(guard);
        let closed = async {
            while SOCKETS.lock().contains_key(&address) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_parked_socket_of_another_address_gives_up_its_port() {
        let listener = listen("0.0.0.0:0", "third").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _guard = park(listener, "third").unwrap();
        let next = listen(&format!("127.0.0.1:{port}"), "third").await.unwrap();
        assert_eq!(next.local_addr().unwrap().port(), port);
        assert!(
            listen(&format!("127.0.0.1:{port}"), "third").await.is_err(),
            "an address in use stays in use"
        );
    }

    #[tokio::test]
    async fn parked_socket_is_closed_when_its_component_moves() {
        let old = listen("127.0.0.1:0", "moving").await.unwrap();
        let address = old.local_addr().unwrap();
        let _guard = park(old, "moving").unwrap();
        drop(listen("127.0.0.1:0", "other").await.unwrap());
        assert!(tokio::net::TcpStream::connect(address).await.is_ok(), "another component has no say");
        drop(listen("127.0.0.1:0", "moving").await.unwrap());
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}
