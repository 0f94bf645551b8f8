use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A proxy between a client and a server. Of every Nth commit it forwards the request, and closes the
/// connection instead of handing back the answer.
pub(crate) struct Proxy {
    address: SocketAddr,
    lost: Arc<AtomicU64>,
    server: Arc<Mutex<SocketAddr>>,
}

impl Proxy {
    /// A proxy for `server` that loses the answer to each `every`th commit.
    pub(crate) fn new(server: SocketAddr, every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (lost, commits) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&lost);
        let server = Arc::new(Mutex::new(server));
        let target = Arc::clone(&server);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A server that is down closes each new connection.
                let Ok(server) = TcpStream::connect(*target.lock().unwrap()) else { continue };
                let client = client.unwrap();
                let losing = Arc::new(AtomicBool::new(false));
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (mark, commits) = (Arc::clone(&losing), Arc::clone(&commits));
                std::thread::spawn(move || {
                    pass(&mut from, &mut to, |bytes| {
                        let has = |end: &[u8]| bytes.windows(end.len()).any(|part| part == end);
                        let is_commit = has(b"commit\r\n") || has(b"EXEC\r\n");
                        if is_commit && (commits.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(every) {
                            mark.store(true, Ordering::SeqCst);
                        }
                        true
                    });
                });
                let lost = Arc::clone(&counted);
                std::thread::spawn(move || {
                    let (mut from, mut to) = (server, client);
                    pass(&mut from, &mut to, |_| {
                        let lose = losing.load(Ordering::SeqCst);
                        lost.fetch_add(u64::from(lose), Ordering::SeqCst);
                        !lose
                    });
                });
            }
        });
        Self { address, lost, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// New connections lead to this server from now on.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap() = server;
    }

    /// The number of lost answers.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }
}

/// Hands bytes on while `go_on` says so, then closes both sides.
fn pass(from: &mut TcpStream, to: &mut TcpStream, mut go_on: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !go_on(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
