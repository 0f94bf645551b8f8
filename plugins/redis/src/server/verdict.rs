//! What a server's answer means for the events of the command it answers.

use std::sync::Arc;

use tidegate_sdk::{Class, Error};

use crate::server::resp::Reply;

/// What a good answer to a command looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A number, whatever it is: that nobody listens to a channel, or a member was there before, is no error.
    Number,
    /// The id of a new entry.
    Id,
    /// `OK`.
    Ok,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It was done. Holds the number that was answered, or 0.
    Done(i64),
    /// The server refuses the key: it holds another type, or the user has no right to it.
    Key(String),
    /// The server refuses the values.
    Event(String),
    /// It was not done, or (if ambiguous) maybe; it may go through later.
    Again(Class, Arc<str>),
    /// The key's slot lives at another node of the cluster.
    Moved { slot: u16, address: String },
    /// The key is being moved to another node of the cluster, which takes it if asked first.
    Ask { address: String },
}

/// What `reply` means for a command of which `expect` is the good answer.
pub(crate) fn classify(expect: Expect, reply: &Reply<'_>) -> Verdict {
    match (expect, reply) {
        (_, Reply::Error(text)) => classify_error(&String::from_utf8_lossy(text)),
        (Expect::Number, Reply::Integer(number)) => Verdict::Done(*number),
        (Expect::Id, Reply::Bulk(_)) | (Expect::Ok, Reply::Status(_)) => Verdict::Done(0),
        _ => Verdict::Again(
            Class::Misconfigured,
            "the server's answer does not fit the command; is it really Redis?".into(),
        ),
    }
}

/// What an error means for the command that it answers.
pub(crate) fn classify_error(text: &str) -> Verdict {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let message = || format!("the server answered: {text}");
    let again = |class| Verdict::Again(class, message().into());
    match code {
        "MOVED" | "ASK" => redirect(code, rest).unwrap_or_else(|| again(Class::Retry)),
        "OOM" | "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY"
        | "NOREPLICAS" | "MISCONF" | "UNBLOCKED" => again(Class::Retry),
        "NOAUTH" | "WRONGPASS" | "DENIED" | "CROSSSLOT" => again(Class::Misconfigured),
        // The right to the command is the component's concern, the right to a key may be one event's.
        "NOPERM" if rest.contains("to run") => again(Class::Misconfigured),
        "NOPERM" | "WRONGTYPE" => Verdict::Key(message()),
        "ERR" if is_misconfigured(rest) => again(Class::Misconfigured),
        "ERR" if rest.starts_with("max number of clients") => again(Class::Retry),
        _ => Verdict::Event(message()),
    }
}

/// Whether this error would meet every event alike, so that rejecting them one by one would lose them all.
fn is_misconfigured(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["unknown command", "wrong number of arguments", "syntax error"].iter().any(|text| message.contains(text))
}

/// `MOVED 3999 127.0.0.1:6381`
fn redirect(code: &str, rest: &str) -> Option<Verdict> {
    let (slot, address) = rest.split_once(' ')?;
    let (slot, address) = (slot.parse().ok()?, address.trim().to_owned());
    Some(if code == "ASK" { Verdict::Ask { address } } else { Verdict::Moved { slot, address } })
}

/// What an error while logging in means; `None` if it does not matter.
pub(crate) fn at_login(text: &[u8]) -> Option<Error> {
    let text = String::from_utf8_lossy(text);
    // A right that is not needed, or an old server that does not know the subcommand for the name.
    if text.starts_with("NOPERM") || text.contains("CLIENT") {
        return None;
    }
    Some(match classify_error(&text) {
        Verdict::Again(class, message) => Error::new(class, &*message),
        _ => Error::misconfigured(format!("the server answered: {text}")),
    })
}

#[cfg(test)]
mod tests;
