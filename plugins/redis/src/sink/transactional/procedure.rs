//! The function that runs inside of Redis: loading and calling it.

use tidegate_sdk::Error;

use crate::server::ask::{ask, error};
use crate::server::connection::Connection;
use crate::server::resp::{self, Reply};
use crate::server::verdict::{Verdict, classify_error};

const SOURCE: &str = concat!(include_str!("tidegate.lua"), include_str!("acknowledge.lua"));

/// The first version of Redis with functions.
const FUNCTIONS: u64 = 7;

/// The way to call the function on a server.
#[derive(Debug, PartialEq)]
pub(crate) enum Procedure {
    /// By name: the server keeps it with its data.
    Function(String),
    /// By the checksum of its text: the server keeps it until it ends.
    Script(String),
}

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The texts of the reply.
    List(Vec<String>),
    /// The server does not know the function. Nothing was done.
    Unknown,
    /// The server refused it. Nothing was done.
    Refused(Error),
    /// The key is at another node of the cluster. Nothing was done.
    Elsewhere,
}

impl Procedure {
    /// Loads the function into a server of this major version. It may be there already.
    pub(crate) async fn load(connection: &mut Connection, version: u64) -> Result<Self, Error> {
        if version >= FUNCTIONS {
            let name = name();
            let code = format!(
                "#!lua name={name}\n{SOURCE}\nredis.register_function{{function_name='{name}', \
                 callback=tidegate, description='Stores events and the record of their lane in one step.'}}\n"
            );
            match ask(connection, &[b"FUNCTION", b"LOAD", code.as_bytes()]).await? {
                Ok(_) => return Ok(Self::Function(name)),
                Err(text) if text.contains("already exists") => return Ok(Self::Function(name)),
                // Without the right to keep a function there, its text can still be run.
                Err(text) if text.starts_with("NOPERM") || text.contains("unknown") => {}
                Err(text) => return Err(error(&text)),
            }
        }
        let code = format!("{SOURCE}\nreturn tidegate(KEYS, ARGV)\n");
        match ask(connection, &[b"SCRIPT", b"LOAD", code.as_bytes()]).await? {
            Ok(checksum) => Ok(Self::Script(checksum)),
            Err(text) => Err(error(&text)),
        }
    }

    /// Begins a call with these keys and this number of arguments, which are to follow.
    pub(crate) fn begin<K: AsRef<[u8]>>(&self, request: &mut Vec<u8>, keys: &[K], arguments: usize) {
        resp::begin(request, 3 + keys.len() + arguments);
        let (command, name) = match self {
            Self::Function(name) => ("FCALL", name),
            Self::Script(checksum) => ("EVALSHA", checksum),
        };
        resp::argument(request, command.as_bytes());
        resp::argument(request, name.as_bytes());
        resp::argument(request, keys.len().to_string().as_bytes());
        keys.iter().for_each(|key| resp::argument(request, key.as_ref()));
    }
}

/// Sends a call and reads its result. After an error the call may have been done.
pub(crate) async fn call(connection: &mut Connection, request: &[u8]) -> Result<Answer, Error> {
    let mut answer = Answer::Unknown;
    connection.exchange(request, 1, |reply| answer = read(&reply)).await.map_err(|broken| broken.error)?;
    Ok(answer)
}

fn read(reply: &Reply<'_>) -> Answer {
    match reply {
        Reply::Array(values) => {
            Answer::List(values.iter().map(|value| value.text().unwrap_or_default()).collect())
        }
        Reply::Error(text) => {
            let text = String::from_utf8_lossy(text);
            if text.starts_with("NOSCRIPT") || text.contains("Function not found") {
                return Answer::Unknown;
            }
            match classify_error(&text) {
                Verdict::Moved { .. } | Verdict::Ask { .. } => Answer::Elsewhere,
                _ => Answer::Refused(error(&text)),
            }
        }
        _ => Answer::Refused(Error::misconfigured("the server's answer does not fit; is it really Redis?")),
    }
}

/// The name of the function. It holds a checksum (FNV-1a) of the text, so that releases with different texts do not use
/// each other's.
fn name() -> String {
    let checksum = SOURCE
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("tidegate_{checksum:016x}")
}
