//! Single commands outside of a batch, and the errors that their refusals stand for.

use tidegate_sdk::{Class, Error};

use crate::server::connection::Connection;
use crate::server::resp::{self, Reply};
use crate::server::verdict::{Verdict, classify_error};

/// Sends one command and reads its reply with `read`.
pub(crate) async fn ask_with<T: Send>(
    connection: &mut Connection,
    command: &[&[u8]],
    read: impl FnOnce(&Reply<'_>) -> T + Send,
) -> Result<T, Error> {
    let mut request = Vec::new();
    resp::command(&mut request, command);
    let (mut read, mut answer) = (Some(read), None);
    let each = |reply: Reply<'_>| answer = read.take().map(|read| read(&reply));
    connection.exchange(&request, 1, each).await.map_err(|broken| broken.error)?;
    answer.ok_or_else(|| Error::retry("the server did not answer"))
}

/// Sends one command. Returns the text of the reply, or that of the server's error.
pub(crate) async fn ask(
    connection: &mut Connection,
    command: &[&[u8]],
) -> Result<Result<String, String>, Error> {
    ask_with(connection, command, |reply| match reply {
        Reply::Error(text) => Err(String::from_utf8_lossy(text).into_owned()),
        reply => Ok(reply.text().unwrap_or_default()),
    })
    .await
}

/// The error for a command that the server refused. The command is about many events, so none is blamed.
pub(crate) fn error(text: &str) -> Error {
    match classify_error(text) {
        Verdict::Again(class, message) if class != Class::Ambiguous => Error::new(class, &*message),
        Verdict::Moved { .. } | Verdict::Ask { .. } => {
            Error::retry("the key is at another node of the cluster")
        }
        _ => Error::misconfigured(format!("the server answered: {text}")),
    }
}
