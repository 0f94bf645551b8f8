//! A minimal RESP2 client, independent of the client under test.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A reply of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// A number.
    Integer(i64),
    /// A text or bytes; bytes that are not UTF-8 are replaced.
    Text(String),
    /// A list of replies.
    List(Vec<Reply>),
    /// An error of the server.
    Error(String),
}

impl Reply {
    /// The text; empty for other replies.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The number, also of a text that is a number.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The replies of a list; none for other replies.
    pub fn list(&self) -> &[Reply] {
        match self {
            Self::List(replies) => replies,
            _ => &[],
        }
    }

    /// The texts of the replies of a list.
    pub fn texts(&self) -> Vec<&str> {
        self.list().iter().map(Self::text).collect()
    }
}

pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn connect(address: SocketAddr, password: Option<&str>) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut client = Self(BufReader::new(stream));
        if let Some(password) = password {
            client.query(&["AUTH", password])?;
        }
        Ok(client)
    }

    pub(super) fn query<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Result<Reply> {
        let mut text = Vec::new();
        encode(command, &mut text);
        self.0.get_mut().write_all(&text)?;
        self.reply()
    }

    /// The replies to several commands that are sent together.
    pub(super) fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Result<Vec<Reply>> {
        let mut text = Vec::new();
        commands.iter().for_each(|command| encode(command, &mut text));
        self.0.get_mut().write_all(&text)?;
        commands.iter().map(|_| self.reply()).collect()
    }

    fn reply(&mut self) -> Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| Error::other("an empty reply"))?;
        let number = || rest.parse::<i64>().map_err(Error::other);
        Ok(match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" | "*" if number()? < 0 => Reply::Nil,
            "$" => {
                let mut bytes = Vec::new();
                let length = number()? as u64 + 2;
                self.0.by_ref().take(length).read_to_end(&mut bytes)?;
                bytes.truncate(bytes.len().saturating_sub(2));
                Reply::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" => Reply::List((0..number()?).map(|_| self.reply()).collect::<Result<_>>()?),
            _ => return Err(Error::other(format!("`{line}` is not a reply"))),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(Error::other("the connection was closed")),
        }
    }
}

fn encode<A: AsRef<[u8]>>(command: &[A], text: &mut Vec<u8>) {
    text.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        let word = word.as_ref();
        text.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        text.extend_from_slice(word);
        text.extend_from_slice(b"\r\n");
    }
}
