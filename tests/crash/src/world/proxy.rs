//! A TCP proxy that injects network faults.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::random::Random;

/// Maximum number of concurrent connections. Others wait in the backlog of the listener.
const CONNECTIONS: usize = 64;

/// Interval at which a thread that waits for bytes checks whether it has to end.
const LOOK: Duration = Duration::from_millis(10);

/// A network fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No fault.
    None,
    /// Bytes arrive later by this time.
    Delay(Duration),
    /// Half of the next chunk is forwarded, then both ends are closed.
    Cut,
    /// The next chunk and everything after it is discarded; the connection stays open.
    HalfOpen,
    /// Bytes are forwarded one at a time.
    Split,
    /// Some bytes of replies are changed.
    Garble,
    /// Requests pass, the next reply is dropped, and both ends are closed.
    DropReply,
}

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    trouble: Mutex<Trouble>,
    random: Mutex<Random>,
    over: AtomicBool,
    /// Number of chunks hit by a fault.
    struck: AtomicUsize,
}

/// Direction of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

impl Proxy {
    /// Starts a proxy on a free port of the loopback interface.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn start(upstream: SocketAddr, random: Random) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            trouble: Mutex::new(Trouble::None),
            random: Mutex::new(random),
            over: AtomicBool::new(false),
            struck: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = Some(std::thread::spawn(move || accept(&listener, &accepting)));
        Ok(Self { address, shared, acceptor })
    }

    /// Address of the listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault of all further bytes.
    pub(crate) fn set(&self, trouble: Trouble) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Number of chunks hit by a fault.
    pub(crate) fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic of the thread has been printed already.
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut pumps: Vec<JoinHandle<()>> = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        pumps.retain(|pump| !pump.is_finished());
        if pumps.len() < 2 * CONNECTIONS
            && let Ok((client, _)) = listener.accept()
            && let Ok(server) = TcpStream::connect(shared.upstream)
            && let Ok(both) = join(client, server, shared)
        {
            pumps.extend(both);
            continue;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    pumps.into_iter().for_each(|pump| drop(pump.join()));
}

/// Starts a thread for each direction.
fn join(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> Result<[JoinHandle<()>; 2]> {
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    }
    let (to_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let pump = |from: TcpStream, to: TcpStream, way: Way| {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            shared.pump(&from, &to, way);
            // The end of one direction ends the other.
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        })
    };
    Ok([pump(client, to_server, Way::Request), pump(server, to_client, Way::Reply)])
}

impl Shared {
    fn pump(&self, mut from: &TcpStream, to: &TcpStream, way: Way) {
        let mut chunk = [0; 16 << 10];
        let mut dead = false;
        while !self.over.load(Ordering::Relaxed) {
            let length = match from.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => return,
            };
            let trouble = *self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            dead |= trouble == Trouble::HalfOpen;
            if dead {
                self.struck.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if !self.pass(&mut chunk[..length], to, way, trouble) {
                return;
            }
        }
    }

    /// Forwards bytes. False if the connection is over.
    fn pass(&self, bytes: &mut [u8], mut to: &TcpStream, way: Way, trouble: Trouble) -> bool {
        let answers_only = matches!(trouble, Trouble::Garble | Trouble::DropReply);
        let trouble = if answers_only && way == Way::Request { Trouble::None } else { trouble };
        if trouble != Trouble::None {
            self.struck.fetch_add(1, Ordering::Relaxed);
        }
        match trouble {
            Trouble::None | Trouble::HalfOpen => {}
            Trouble::Delay(time) => std::thread::sleep(time),
            Trouble::Cut => {
                let _ = to.write_all(&bytes[..bytes.len() / 2]);
                return false;
            }
            Trouble::Split => return bytes.iter().all(|byte| to.write_all(&[*byte]).is_ok()),
            Trouble::Garble => self.garble(bytes),
            Trouble::DropReply => return false,
        }
        to.write_all(bytes).is_ok()
    }

    fn garble(&self, bytes: &mut [u8]) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..=bytes.len() / 16 {
            let at = random.within(0..bytes.len() as u64) as usize;
            bytes[at] ^= random.within(1..256) as u8;
        }
    }
}

#[cfg(test)]
mod tests;
