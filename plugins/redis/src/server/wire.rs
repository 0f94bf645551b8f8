//! One connection: dialled, logged in, and then bytes out and replies in.

mod talk;
mod tls;

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use tidegate_sdk::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

pub(crate) use talk::Talk;
pub(crate) use tls::Tls;

use crate::server::address::{Address, Login};
use crate::server::resp::{self, Reply};
use crate::server::verdict;

/// How much is read from a socket at a time, at least.
const READ_BYTES: usize = 16 << 10;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Duplex for T {}

/// How connections are made.
pub(crate) struct Dialer {
    pub(crate) tls: Tls,
    /// For connecting, log-in included.
    pub(crate) connect_limit: Duration,
    /// For the answers to what was sent at a time.
    pub(crate) answer_limit: Duration,
}

/// An exchange that was not completed. The connection is of no use any more.
#[derive(Debug)]
pub(crate) struct Broken {
    /// How many bytes of the request have left, at most.
    pub(crate) written: usize,
    /// What happened.
    pub(crate) error: Error,
}

/// An answer that was not read. The connection is of no use any more.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than was allowed.
    TooLong,
    /// What happened to the connection.
    Broken(Error),
}

/// A connection that is logged in.
pub(crate) struct Wire {
    stream: Box<dyn Duplex>,
    inbox: BytesMut,
    address: Address,
    limit: Duration,
}

impl Dialer {
    /// Connects and logs in.
    pub(crate) async fn dial(&self, address: &Address, login: &Login) -> Result<Wire, Error> {
        match tokio::time::timeout(self.connect_limit, self.dial_unlimited(address, login)).await {
            Ok(wire) => wire,
            Err(_) => Err(Error::retry(format!(
                "connecting to {address} took longer than {}",
                tidegate_sdk::Duration(self.connect_limit)
            ))),
        }
    }

    async fn dial_unlimited(&self, address: &Address, login: &Login) -> Result<Wire, Error> {
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
        let mut wire = Wire { stream, inbox, address: address.clone(), limit: self.answer_limit };
        wire.log_in(login).await.map_err(|error| error.context(format!("logging in to {address}")))?;
        Ok(wire)
    }
}

impl Wire {
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
        // A name in `CLIENT LIST` helps whoever operates the server; a user may lack the right to set one.
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

    /// Whether the server has ended the connection while nothing was asked of it, as far as is known here.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream.read_buf(&mut self.inbox).now_or_never().is_some()
    }

    /// Sends `request`, which holds commands that answer with `count` replies, and hands each to `each`.
    ///
    /// Reads while it writes: a server that cannot send its replies stops reading requests.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        count: usize,
        each: impl FnMut(Reply<'_>) + Send,
    ) -> Result<(), Broken> {
        let mut written = 0;
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let write = async {
            while written < request.len() {
                match writer.write(&request[written..]).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    bytes => written += bytes,
                }
            }
            writer.flush().await
        };
        let read = read_replies(&mut reader, &mut self.inbox, count, each);
        let both = async { tokio::try_join!(write, read).map(|_| ()) };
        let result = tokio::time::timeout(self.limit, both).await;
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(written, Some(&error))),
            Err(_) => Err(self.broken(written, None)),
        }
    }

    /// An exchange that ended with `error`, or because time was up.
    fn broken(&self, written: usize, error: Option<&io::Error>) -> Broken {
        let address = &self.address;
        let message = match error {
            Some(error) => format!("the connection to {address} broke: {error}"),
            None => format!("{address} did not answer within {}", tidegate_sdk::Duration(self.limit)),
        };
        Broken { written, error: Error::retry(message) }
    }

    /// Sends one command that may take `pause` longer to answer, and returns the answer as it came, at most
    /// `longest` bytes of it.
    pub(crate) async fn ask_raw(
        &mut self,
        request: &[u8],
        pause: Duration,
        longest: usize,
    ) -> Result<Bytes, Unread> {
        let mut frame = resp::Frame::new();
        let talk = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await?;
            loop {
                let malformed = |_| io::Error::other("the answer is not of the Redis protocol");
                if let Some(length) = frame.end(&self.inbox).map_err(malformed)? {
                    return Ok(Some(self.inbox.split_to(length).freeze()));
                }
                if self.inbox.len() > longest {
                    return Ok(None);
                }
                let more = READ_BYTES.max(self.inbox.len() / 2);
                self.inbox.reserve(more);
                if self.stream.read_buf(&mut self.inbox).await? == 0 {
                    return Err(io::Error::other("the server closed it"));
                }
            }
        };
        let result = tokio::time::timeout(self.limit + pause, talk).await;
        let address = &self.address;
        let message = match result {
            Ok(Ok(Some(answer))) => return Ok(answer),
            Ok(Ok(None)) => return Err(Unread::TooLong),
            Ok(Err(error)) => format!("the connection to {address} broke: {error}"),
            Err(_) => {
                format!("{address} did not answer within {}", tidegate_sdk::Duration(self.limit))
            }
        };
        Err(Unread::Broken(Error::retry(message)))
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        // Everything was answered, so there is nothing to lose if the other side is gone already.
        let _ = tokio::time::timeout(self.limit, self.stream.shutdown()).await;
    }
}

async fn read_replies(
    reader: &mut (impl AsyncRead + Unpin),
    inbox: &mut BytesMut,
    count: usize,
    mut each: impl FnMut(Reply<'_>),
) -> io::Result<()> {
    let mut left = count;
    loop {
        left -= parse_replies(inbox, left, &mut each)?;
        if left == 0 {
            return Ok(());
        }
        inbox.reserve(READ_BYTES);
        if reader.read_buf(inbox).await? == 0 {
            return Err(io::Error::other("the server closed it"));
        }
    }
}

/// Hands over the replies that are there, at most `most` of them, and returns how many those were.
fn parse_replies(inbox: &mut BytesMut, most: usize, mut each: impl FnMut(Reply<'_>)) -> io::Result<usize> {
    let (mut used, mut count) = (0, 0);
    while count < most {
        match resp::parse(&inbox[used..]) {
            Ok(Some((reply, length))) => {
                each(reply);
                used += length;
                count += 1;
            }
            Ok(None) => break,
            Err(resp::Malformed) => {
                return Err(io::Error::other("the answer is not of the Redis protocol"));
            }
        }
    }
    inbox.advance(used);
    Ok(count)
}
