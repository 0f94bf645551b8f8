//! Transactions of events and their record: plain commands that write, and a short script after them that stores the
//! record or undoes the writes.
//!
//! A function that gets the events costs the server two to three times as much as plain commands, because each value
//! is copied into Lua and out again. Several transactions are in flight at a time. Each expects the record of the one
//! before it, so after a refusal all later ones undo their writes.

use std::ops::Range;

use tidegate_sdk::{Error, Record};

use super::record::{Held, Stored};
use super::writes::{Preface, Writes};
use crate::server::ask;
use crate::server::connection::{Connection, Exchange};
use crate::server::resp::{self, Reply};
use crate::sink::options::Command;
use crate::sink::shape::Shape;

const SEAL: &str = include_str!("seal.lua");

/// The first version of Redis that refuses MULTI in no state. After a refused MULTI, the commands would be done one by
/// one.
const OLDEST: u64 = 7;

/// The most events of one transaction. The server starts it when it is complete, and does nothing else until its end.
const EVENTS: usize = 2_048;

/// The most bytes of transactions in one exchange.
const EXCHANGE_BYTES: usize = 1 << 20;

/// The commands that a user needs for the script of a transaction.
const NEEDED: [&str; 9] = ["HMGET", "HSET", "TYPE", "LTRIM", "XREVRANGE", "XDEL", "XTRIM", "PEXPIRE", "EVAL"];

/// True if the writes of `command` can be undone, so that they can come before the check of the record.
pub(crate) fn can_be_taken_back(command: Command) -> bool {
    matches!(command, Command::Rpush | Command::Lpush | Command::Xadd)
}

/// The script that ends a transaction, without its comments. It is sent each time, so no server can lack it.
pub(crate) fn script() -> String {
    let lines = SEAL.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

/// True if the server lets the user run transactions with these commands.
pub(crate) async fn is_allowed(
    connection: &mut Connection,
    version: u64,
    state: &str,
) -> Result<bool, Error> {
    if version < OLDEST {
        return Ok(false);
    }
    let check = "for _, name in ipairs(ARGV) do if not redis.acl_check_cmd(name, KEYS[1], '0', '0', '0', '0') \
                 then return name end end return 'ALLOWED'";
    let mut request = Vec::new();
    resp::command(&mut request, &[b"MULTI"]);
    let mut words: Vec<&[u8]> = vec![b"EVAL", check.as_bytes(), b"1", state.as_bytes()];
    words.extend(NEEDED.iter().map(|name| name.as_bytes()));
    resp::command(&mut request, &words);
    resp::command(&mut request, &[b"EXEC"]);
    let (mut is_allowed, mut refused) = (false, false);
    let read = |reply: Reply<'_>| match &reply {
        Reply::Error(_) => refused = true,
        Reply::Array(list) => is_allowed = list.first() == Some(&Reply::Bulk(b"ALLOWED")),
        _ => {}
    };
    connection.exchange(&request, 3, read).await.map_err(|broken| broken.error)?;
    Ok(is_allowed && !refused)
}

/// The result of one transaction.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The script's reply, and the refusal of a command before it, if there was one.
    Sealed(Vec<String>, Option<String>),
    /// The server did nothing of it.
    Refused(Error),
}

/// A transaction that was sent.
pub(crate) struct Sent {
    /// The record after it.
    pub(crate) next: Stored,
    /// Its keys as indices of [`Writes::keys`], in the order of their numbers.
    pub(crate) keys: Vec<usize>,
    pub(crate) items: Range<usize>,
    /// The number of commands before the script.
    commands: usize,
}

/// The transactions of one batch.
pub(crate) struct Transactions<'x> {
    shape: &'x Shape,
    writes: &'x Writes<'x>,
    /// The known state of the lane in the server.
    held: &'x mut Held,
    state: &'x str,
    script: &'x str,
    preface: Preface<'x>,
    /// The record after all of them.
    record: &'x Record,
    /// The transactions that are not made yet, in order.
    calls: std::vec::IntoIter<Range<usize>>,
    request: &'x mut Vec<u8>,
    sent: Vec<Sent>,
    ended: Vec<Ended>,
    /// The number of replies to the current transaction that were read, and the first refusal among them.
    read: usize,
    refused: Option<String>,
    replies: usize,
}

impl<'x> Transactions<'x> {
    /// The transactions that store `writes` and `record`. None is made yet.
    pub(crate) fn new(
        (shape, writes, record): (&'x Shape, &'x Writes<'x>, &'x Record),
        held: &'x mut Held,
        (state, script): (&'x str, &'x str),
        preface: Preface<'x>,
        request: &'x mut Vec<u8>,
    ) -> Self {
        let calls = writes.calls(EVENTS).into_iter();
        let (sent, ended, refused) = (Vec::new(), Vec::new(), None);
        let (read, replies) = (0, 0);
        Self {
            shape,
            writes,
            record,
            held,
            state,
            script,
            preface,
            calls,
            request,
            sent,
            ended,
            read,
            refused,
            replies,
        }
    }

    /// Sends all of them, in exchanges of limited size. Returns those that were sent with their results, and the
    /// error of the connection if not all were answered.
    pub(crate) async fn send(
        mut self,
        connection: &mut Connection,
    ) -> (Vec<(Sent, Ended)>, Result<(), Error>) {
        let mut result = Ok(());
        while result.is_ok() && self.calls.len() > 0 && self.ended.iter().all(Ended::is_done) {
            self.request.clear();
            (self.read, self.replies) = (0, 0);
            result = connection.run(&mut self).await.map_err(|broken| broken.error);
        }
        (self.sent.into_iter().zip(self.ended).collect(), result)
    }

    /// The record after the items before `items.end`.
    fn next(&self, items: &Range<usize>) -> Record {
        match self.writes.items.get(items.end) {
            Some(item) => Record { done: item.number, ..self.held.stored.record.clone() },
            None => self.record.clone(),
        }
    }

    /// Adds the transaction with these items to the request.
    fn make(&mut self, items: Range<usize>) {
        let next = Stored::new(self.next(&items));
        resp::command(self.request, &[b"MULTI"]);
        let (keys, counts, commands) = self.writes.encode_plain(self.shape, items.clone(), self.request);
        let expected = self.sent.last().map_or(&self.held.stored.text, |sent| &sent.next.text);
        let preface = &self.preface;
        let (first, last) = preface.trim;
        let number = (1 + keys.len()).to_string();
        let name = self.shape.command.name();
        let words =
            [preface.lane, preface.owner, expected, &next.text, name, preface.kind, first, last, preface.ttl];
        resp::begin(self.request, 4 + keys.len() + words.len() + counts.len());
        let head = ["EVAL", self.script, &number, self.state];
        let names = keys.iter().map(|key| &*self.writes.keys[*key]);
        let words = head.into_iter().chain(names).chain(words);
        words.for_each(|word| resp::argument(self.request, word.as_bytes()));
        counts.iter().for_each(|count| resp::argument(self.request, count.to_string().as_bytes()));
        resp::command(self.request, &[b"EXEC"]);
        // From here on the record may be in the server, until a reply says more.
        self.held.sent.push(next.clone());
        self.replies += commands + 3;
        self.sent.push(Sent { next, keys, items, commands });
    }
}

impl Exchange for Transactions<'_> {
    fn more(&mut self) -> bool {
        if self.request.len() >= EXCHANGE_BYTES {
            return false;
        }
        let Some(items) = self.calls.next() else { return false };
        self.make(items);
        true
    }

    fn request(&self) -> &[u8] {
        self.request
    }

    fn replies(&self) -> usize {
        self.replies
    }

    fn reply(&mut self, reply: Reply<'_>) {
        let commands = self.sent[self.ended.len()].commands;
        self.read += 1;
        if self.read < commands + 3 {
            if let (Reply::Error(text), None) = (&reply, &self.refused) {
                self.refused = Some(String::from_utf8_lossy(text).into_owned());
            }
            return;
        }
        self.read = 0;
        self.ended.push(Ended::new(&reply, self.refused.take()));
    }
}

impl Ended {
    /// The result that the reply to EXEC means, if one of the commands before it was `refused`.
    fn new(reply: &Reply<'_>, refused: Option<String>) -> Self {
        match (reply, refused) {
            (Reply::Array(replies), None) => {
                let Some((seal, writes)) = replies.split_last() else { return Self::unfit() };
                let failed = writes.iter().find_map(|reply| match reply {
                    Reply::Error(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    _ => None,
                });
                match seal {
                    Reply::Array(words) => Self::Sealed(
                        words.iter().map(|word| word.text().unwrap_or_default()).collect(),
                        failed,
                    ),
                    Reply::Error(text) => Self::Sealed(
                        vec!["BROKEN".to_owned(), String::from_utf8_lossy(text).into_owned()],
                        failed,
                    ),
                    _ => Self::unfit(),
                }
            }
            // The server does nothing of a transaction with a refused command. If that command was MULTI itself, EXEC
            // gets another error.
            (Reply::Error(text), Some(refused)) if text.starts_with(b"EXECABORT") => {
                Self::Refused(ask::error(&refused))
            }
            // For example, the server ran out of memory between the commands and EXEC.
            (Reply::Error(text), None) => {
                let text = String::from_utf8_lossy(text);
                let reason = text.split_once("because of: ").map_or(&*text, |(_, reason)| reason);
                Self::Refused(ask::error(reason))
            }
            (_, Some(refused)) => Self::Sealed(vec!["BROKEN".to_owned(), refused], None),
            _ => Self::unfit(),
        }
    }

    fn unfit() -> Self {
        Self::Refused(Error::misconfigured("the server's answer does not fit; is it really Redis?"))
    }

    /// True if the record was stored.
    fn is_done(&self) -> bool {
        matches!(self, Self::Sealed(words, None) if words.first().is_some_and(|word| word == "DONE"))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sdk::Class;

    use super::*;

    fn class(reply: &Reply<'_>, refused: Option<&str>) -> Option<Class> {
        match Ended::new(reply, refused.map(str::to_owned)) {
            Ended::Refused(error) => Some(error.class()),
            Ended::Sealed(..) => None,
        }
    }

    #[test]
    fn discarded_and_executed_transactions_are_distinguished() {
        let abort = Reply::Error(b"EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(class(&abort, Some("OOM command not allowed")), Some(Class::Retry));
        assert_eq!(
            class(&abort, Some("NOPERM no permissions to run the 'rpush' command")),
            Some(Class::Misconfigured)
        );
        let late = Reply::Error(b"EXECABORT Transaction discarded because of: OOM command not allowed");
        assert_eq!(class(&late, None), Some(Class::Retry));
        let done = || Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![Reply::Bulk(b"DONE")])]);
        assert!(Ended::new(&done(), None).is_done());
        let bare = Reply::Error(b"ERR EXEC without MULTI");
        assert_eq!(class(&bare, Some("NOPERM multi")), None, "the commands were done one by one");
        assert!(!Ended::new(&bare, Some("NOPERM multi".to_owned())).is_done());
        let failed = Reply::Array(vec![Reply::Error(b"ERR"), Reply::Array(vec![Reply::Bulk(b"DONE")])]);
        assert!(!Ended::new(&failed, None).is_done());
    }

    #[test]
    fn the_script_is_sent_without_its_comments() {
        let script = script();
        assert!(!script.contains("--") && script.contains("'HSET'"), "{script}");
    }
}
