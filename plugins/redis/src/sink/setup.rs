//! The checked options of a sink, and the parts of its commands that do not depend on events.

use std::sync::Arc;

use tidegate_sdk::Error;

use crate::server::address::{Login, Target};
use crate::server::commands::Commands;
use crate::server::connection::Dialer;
use crate::server::verdict::Expect;
use crate::sink::options::{Command, Options};
use crate::sink::shape::Shape;

/// The checked options of a component, shared by its instances.
pub(crate) struct Setup {
    pub(crate) options: Options,
    pub(crate) shape: Shape,
    pub(crate) target: Target,
    pub(crate) login: Arc<Login>,
    pub(crate) dialer: Arc<Dialer>,
}

impl Setup {
    /// Refuses options that mean nothing for effectively-once delivery.
    pub(crate) fn check_effectively_once(&self) -> Result<(), Error> {
        if self.options.wait_for_replicas.is_none() {
            return Ok(());
        }
        Err(Error::fatal(
            "`wait_for_replicas` is for delivery at least once: events that a failover loses are noticed by the record \
             and delivered again; leave it out",
        ))
    }

    /// True if a key is trimmed, or given a time to live, after a write.
    pub(crate) fn owes(&self) -> bool {
        self.expires() || self.trims()
    }

    fn expires(&self) -> bool {
        self.options.ttl.is_some() && self.shape.command != Command::Set
    }

    fn trims(&self) -> bool {
        self.options.maxlen.is_some() && self.shape.command.is_list()
    }

    /// The first and the last index that a list keeps. Empty if it keeps all.
    pub(crate) fn trim(&self) -> (String, String) {
        match (self.trims(), self.options.maxlen, self.shape.command) {
            (true, Some(maxlen), Command::Lpush) => ("0".to_owned(), (maxlen - 1).to_string()),
            (true, Some(maxlen), _) => (format!("-{maxlen}"), "-1".to_owned()),
            _ => (String::new(), String::new()),
        }
    }

    /// The trim of a transaction: as [`trim`](Self::trim), or for a stream the exactness and the number of entries.
    pub(crate) fn trim_after(&self) -> (String, String) {
        match (self.shape.command, self.options.maxlen) {
            (Command::Xadd, Some(maxlen)) => {
                let how = if self.options.maxlen_exact { "=" } else { "~" };
                (how.to_owned(), maxlen.to_string())
            }
            _ => self.trim(),
        }
    }

    /// The time to live of a key after a write, in milliseconds. Empty if the command itself has it, or there is none.
    pub(crate) fn ttl(&self) -> String {
        let ttl = self.options.ttl.filter(|_| self.expires());
        ttl.map(|ttl| ttl.as_millis().to_string()).unwrap_or_default()
    }

    /// The type that a key must have. Empty for any.
    pub(crate) fn kind(&self) -> &'static str {
        match self.shape.command {
            Command::Xadd => "stream",
            Command::Rpush | Command::Lpush => "list",
            Command::Sadd => "set",
            Command::Zadd => "zset",
            Command::Hset => "hash",
            Command::Set | Command::Publish => "",
        }
    }

    pub(crate) fn after_write(&self, key: &[u8], commands: &mut Commands) {
        if self.trims() {
            let (first, last) = self.trim();
            commands.push_bare("LTRIM", key, &[&first, &last], Expect::Ok);
        }
        if self.expires() {
            commands.push_bare("PEXPIRE", key, &[&self.ttl()], Expect::Number);
        }
    }
}
