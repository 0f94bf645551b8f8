//! A connection to a server: dialled, logged in, and used for exchanges of commands and replies.

mod pipelined;
mod tls;

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tidegate_sdk::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

pub(crate) use pipelined::Exchange;
pub(crate) use tls::Tls;

use crate::server::address::{Address, Login};
use crate::server::resp::{self, Malformed, Reply};
use crate::server::verdict;

/// The smallest room for one read from a socket, in bytes.
const READ_BYTES: usize = 16 << 10;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Duplex for T {}

/// Makes connections.
pub(crate) struct Dialer {
    pub(crate) tls: Tls,
    /// The time limit of connecting, including the log-in.
    pub(crate) connect_limit: Duration,
    /// The time limit of the answers to what was sent at a time.
    pub(crate) answer_limit: Duration,
    /// The number of replicas that must have a write of a sink before it counts.
    pub(crate) replicas: u32,
}

/// An exchange that was not completed. The connection cannot be used any more.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The number of bytes of the request that may have left.
    pub(crate) written: usize,
    /// True if a reply was longer than is read.
    pub(crate) is_too_long: bool,
    pub(crate) error: Error,
}

/// A connection after its log-in.
pub(crate) struct Connection {
    stream: Box<dyn Duplex>,
    inbox: BytesMut,
    address: Address,
    limit: Duration,
}

impl Dialer {
    /// Connects and logs in.
    pub(crate) async fn dial(&self, address: &Address, login: &Login) -> Result<Connection, Error> {
        match tokio::time::timeout(self.connect_limit, self.dial_unlimited(address, login)).await {
            Ok(connection) => connection,
            Err(_) => Err(Error::retry(format!(
                "connecting to {address} took longer than {}",
                tidegate_sdk::Duration(self.connect_limit)
            ))),
        }
    }

    async fn dial_unlimited(&self, address: &Address, login: &Login) -> Result<Connection, Error> {
        let failed = |error: io::Error| Error::retry(format!("cannot connect to {address}: {error}"));
        let stream: Box<dyn Duplex> = match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(failed)?),
            Address::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                match tls {
                    false => Box::new(stream),
                    true => Box::new(self.tls.shake_hands(stream, host, address).await?),
                }
            }
        };
        let inbox = BytesMut::with_capacity(READ_BYTES);
        let mut connection = Connection { stream, inbox, address: address.clone(), limit: self.answer_limit };
        connection.log_in(login).await.map_err(|error| error.context(format!("logging in to {address}")))?;
        Ok(connection)
    }
}

impl Connection {
    async fn log_in(&mut self, login: &Login) -> Result<(), Error> {
        let mut request = Vec::new();
        let mut count = 0;
        if let Some(password) = &login.password {
            match &login.user {
                Some(user) => {
                    resp::command(&mut request, &[b"AUTH", user.as_bytes(), password.expose().as_bytes()]);
                }
                None => resp::command(&mut request, &[b"AUTH", password.expose().as_bytes()]),
            }
            count += 1;
        }
        if login.database != 0 {
            resp::command(&mut request, &[b"SELECT", login.database.to_string().as_bytes()]);
            count += 1;
        }
        // A name in `CLIENT LIST` helps the operators of the server. A user may lack the right to set one.
        resp::command(&mut request, &[b"CLIENT", b"SETNAME", b"tidegate"]);
        resp::command(&mut request, &[b"PING"]);
        let mut refused = None;
        self.exchange(&request, count + 2, |reply| {
            if let (Reply::Error(text), None) = (&reply, &refused) {
                refused = verdict::at_login(text);
            }
        })
        .await
        .map_err(|broken| Error::retry(broken.error.message()))?;
        refused.map_or(Ok(()), Err)
    }

    /// True if the server has closed the connection or has sent something unasked, as far as the runtime knows.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.inbox.is_empty() || self.stream.read_buf(&mut self.inbox).now_or_never().is_some()
    }

    /// The address of the server.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends `request`, which holds commands with `count` replies, and hands each reply to `each`.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        count: usize,
        each: impl FnMut(Reply<'_>) + Send,
    ) -> Result<(), Broken> {
        self.run(&mut Plain { request, count, each }).await
    }

    /// Sends one command that may take `pause` longer to answer. Returns the reply as it came, of at most `longest`
    /// bytes.
    pub(crate) async fn ask_raw(
        &mut self,
        request: &[u8],
        pause: Duration,
        longest: usize,
    ) -> Result<Bytes, Broken> {
        let mut raw = Raw { request, pause, longest, answer: Bytes::new() };
        self.run(&mut raw).await?;
        Ok(raw.answer)
    }

    /// Shuts the connection down.
    pub(crate) async fn close(mut self) {
        // Everything was answered, so an error loses nothing.
        let _ = tokio::time::timeout(self.limit, self.stream.shutdown()).await;
    }
}

/// An exchange whose request is complete at its start.
struct Plain<'r, E> {
    request: &'r [u8],
    count: usize,
    each: E,
}

impl<E: FnMut(Reply<'_>) + Send> Exchange for Plain<'_, E> {
    fn request(&self) -> &[u8] {
        self.request
    }

    fn replies(&self) -> usize {
        self.count
    }

    fn reply(&mut self, reply: Reply<'_>) {
        (self.each)(reply);
    }
}

/// An exchange of one command, whose reply is taken without a copy.
struct Raw<'r> {
    request: &'r [u8],
    pause: Duration,
    longest: usize,
    answer: Bytes,
}

impl Exchange for Raw<'_> {
    fn request(&self) -> &[u8] {
        self.request
    }

    fn replies(&self) -> usize {
        1
    }

    fn reply(&mut self, _: Reply<'_>) {}

    fn take(&mut self, inbox: &mut BytesMut, length: usize) -> Result<(), Malformed> {
        self.answer = inbox.split_to(length).freeze();
        Ok(())
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn pause(&self) -> Duration {
        self.pause
    }
}
