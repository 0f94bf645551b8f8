//! Ports for programs that cannot choose one themselves, and for addresses where no program listens.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port. All of them are below the range from which operating systems take the ports of connections and of
/// listeners without a port, so no such socket can take one meanwhile. A connection to one cannot connect to itself either.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// A free port of the loopback interface. A process gets each port once, so two tests do not share one.
///
/// # Panics
/// If all ports are in use.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin at different ports.
    let start = (std::process::id().wrapping_mul(7919) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + number) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {} is free", FIRST + COUNT - 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_below_those_of_connections() {
        let first = free_port();
        let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let ports: Vec<u16> = (0..100).map(|_| free_port()).collect();
        assert!(!ports.contains(&first) && !ports.contains(&taken.local_addr().unwrap().port()), "{ports:?}");
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)), "{ports:?}");
    }
}
