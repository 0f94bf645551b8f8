//! The meaning of a reply for the events of its command.

use std::sync::Arc;

use tidegate_sdk::{Class, Error};

use crate::server::resp::Reply;

/// The form of a good reply to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Any number. A channel without subscribers and a known member of a set are no errors.
    Number,
    /// The id of a new entry.
    Id,
    /// `OK`.
    Ok,
}

/// The fate of a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The command was done. Holds the number in the reply, or 0.
    Done(i64),
    /// The server refuses the key: its type is another, or the user has no right to it.
    Key(String),
    /// The server refuses the values.
    Event(String),
    /// The command was not done, or may not have been done (if ambiguous). It can be retried.
    Again(Class, Arc<str>),
    /// The key's slot is at another node of the cluster.
    Moved { slot: u16, address: String },
    /// The key is being moved to another node of the cluster, which accepts the command after ASKING.
    Ask { address: String },
}

/// The verdict that `reply` means for a command that expects `expect`.
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

/// The verdict that an error means for its command.
pub(crate) fn classify_error(text: &str) -> Verdict {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let message = || format!("the server answered: {text}");
    let again = |class| Verdict::Again(class, message().into());
    match code {
        "MOVED" | "ASK" => redirect(code, rest).unwrap_or_else(|| again(Class::Retry)),
        "OOM" | "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY"
        | "NOREPLICAS" | "MISCONF" | "UNBLOCKED" => again(Class::Retry),
        "NOAUTH" | "WRONGPASS" | "DENIED" | "CROSSSLOT" => again(Class::Misconfigured),
        // A missing right to the command concerns the component. A missing right to a key may concern one event.
        "NOPERM" if rest.contains("to run") => again(Class::Misconfigured),
        "NOPERM" | "WRONGTYPE" => Verdict::Key(message()),
        "ERR" if is_misconfigured(rest) => again(Class::Misconfigured),
        "ERR" if rest.starts_with("max number of clients") => again(Class::Retry),
        _ => Verdict::Event(message()),
    }
}

/// True if every event would meet this error, so rejecting them one by one would lose all of them.
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

/// The error that a reply to the log-in means. `None` if the reply does not matter.
pub(crate) fn at_login(text: &[u8]) -> Option<Error> {
    let text = String::from_utf8_lossy(text);
    // The right is not needed, or an old server does not know the subcommand for the name.
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
