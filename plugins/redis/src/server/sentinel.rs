//! Redis Sentinel: the address of the current master, and the watch that no write goes to a replaced one.
//!
//! A planned failover promotes a replica first and tells the old master up to ten seconds later. Until then the old
//! master answers as before, and what it is given is lost. So a write counts only when two questions are answered after
//! it: the master still has each of its replicas, because a promoted one has left it; and where one is missing, no
//! sentinel replaces the master.
//!
//! Protocol: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tidegate_sdk::{Class, Error};
use tracing::warn;

use crate::server::address::{Address, Login};
use crate::server::ask::ask_with;
use crate::server::connection::{Connection, Dialer};
use crate::server::resp::Reply;

/// The interval at which the sentinels are asked while a connection is used.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time limit of one question to one sentinel.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time for which a sentinel that did not answer is not asked again, while others do.
const REST: Duration = Duration::from_secs(10);

/// The sentinels, and the name of the master that they watch.
pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<(Address, Login)>,
    pub(crate) name: String,
    /// True if connections to the master use TLS.
    pub(crate) tls: bool,
}

/// The state of the watch over one master.
#[derive(Default)]
pub(crate) struct Watch {
    /// A connection to each sentinel, in the order of the sentinels.
    lines: Vec<Line>,
    /// The replicas of the master. `None` if the user may not ask for them.
    replicas: Option<BTreeSet<String>>,
    /// The last time that the sentinels named this master.
    confirmed: Option<Instant>,
}

/// The connection to one sentinel.
#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    failed: Option<Instant>,
}

/// The answer of one sentinel.
struct View {
    master: Address,
    /// The number of the configuration. The sentinel with the largest one is right.
    epoch: u64,
    is_failing_over: bool,
}

/// The answer of all sentinels.
enum Opinion {
    Master(Address),
    FailingOver,
    /// No sentinel answered, for this reason.
    Unknown(Error),
}

impl Sentinels {
    /// Connects to the master.
    pub(crate) async fn dial(
        &self,
        watch: &mut Watch,
        dialer: &Dialer,
        login: &Login,
    ) -> Result<Connection, Error> {
        let master = match self.opinion(watch, dialer, true).await {
            Opinion::Master(master) => master,
            Opinion::FailingOver => return Err(self.failing_over()),
            Opinion::Unknown(error) => return Err(error),
        };
        let mut connection = dialer.dial(&master, login).await?;
        match role(&mut connection).await? {
            Role::Master(replicas) => watch.replicas = Some(replicas),
            // A user without the right to ask is believed. A replica refuses writes anyhow.
            Role::Unknown => watch.replicas = None,
            Role::Other => {
                let message = format!("{master} is a replica, though the sentinels name it master");
                return Err(Error::retry(message));
            }
        }
        watch.confirmed = Some(Instant::now());
        Ok(connection)
    }

    /// True if the server of `connection` is still the master, as far as the sentinels said lately.
    ///
    /// # Errors
    /// If the sentinels replace it.
    pub(crate) async fn is_master(
        &self,
        watch: &mut Watch,
        dialer: &Dialer,
        connection: &Connection,
    ) -> Result<bool, Error> {
        if watch.confirmed.is_some_and(|confirmed| confirmed.elapsed() < INTERVAL) {
            return Ok(true);
        }
        self.ask_about(watch, dialer, connection).await
    }

    /// Confirms what was written over `connection`: its server is still the master.
    ///
    /// # Errors
    /// If it is not, or may not be. Then the writes may be lost.
    pub(crate) async fn confirm(
        &self,
        watch: &mut Watch,
        dialer: &Dialer,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        let replaced = |address: &Address| {
            Error::ambiguous(format!("{address} is replaced as master, so what was written may be lost"))
        };
        let mut has_lost = false;
        if let Some(known) = &watch.replicas {
            match role(connection).await? {
                Role::Master(replicas) => {
                    has_lost = !known.is_subset(&replicas);
                    watch.replicas = Some(replicas);
                }
                Role::Unknown => {}
                Role::Other => return Err(replaced(connection.address())),
            }
        }
        let is_master = if has_lost {
            self.ask_about(watch, dialer, connection).await
        } else {
            self.is_master(watch, dialer, connection).await
        };
        match is_master {
            Ok(true) => Ok(()),
            _ => Err(replaced(connection.address())),
        }
    }

    async fn ask_about(
        &self,
        watch: &mut Watch,
        dialer: &Dialer,
        connection: &Connection,
    ) -> Result<bool, Error> {
        match self.opinion(watch, dialer, false).await {
            Opinion::Master(master) if master != *connection.address() => return Ok(false),
            Opinion::FailingOver => return Err(self.failing_over()),
            Opinion::Master(_) => {}
            // Without sentinels no master is replaced. The connection is used as one to a fixed address.
            Opinion::Unknown(error) => {
                warn!(%error, "no sentinel says whether the master is still the master; it is taken for that");
            }
        }
        watch.confirmed = Some(Instant::now());
        Ok(true)
    }

    fn failing_over(&self) -> Error {
        Error::retry(format!("the sentinels are replacing the master `{}`", self.name))
    }

    /// Asks all sentinels at the same time. With `eagerly`, also those that did not answer a moment ago.
    async fn opinion(&self, watch: &mut Watch, dialer: &Dialer, eagerly: bool) -> Opinion {
        watch.lines.resize_with(self.sentinels.len(), Line::default);
        let questions =
            watch.lines.iter_mut().zip(&self.sentinels).map(|(line, (address, login))| async move {
                let rests = line.failed.is_some_and(|failed| failed.elapsed() < REST);
                if rests && !eagerly {
                    return None;
                }
                let asked = tokio::time::timeout(PATIENCE, self.view(line, dialer, address, login)).await;
                let view = asked.unwrap_or_else(|_| {
                    Err(Error::retry(format!("the sentinel {address} did not answer within {PATIENCE:?}")))
                });
                if view.is_err() {
                    *line = Line { connection: None, failed: Some(Instant::now()) };
                }
                Some(view)
            });
        let mut problem: Option<Error> = None;
        let mut best: Option<View> = None;
        for view in join_all(questions).await.into_iter().flatten() {
            match view {
                Ok(view) if view.is_failing_over => return Opinion::FailingOver,
                Ok(view) if best.as_ref().is_none_or(|best| best.epoch < view.epoch) => best = Some(view),
                Ok(_) => {}
                // A mistake in the configuration is worth more in a message than a machine that is down.
                Err(error) if error.class() == Class::Misconfigured => problem = Some(error),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        match (best, problem) {
            (Some(view), _) => Opinion::Master(view.master),
            (None, Some(problem)) => Opinion::Unknown(problem),
            (None, None) => Opinion::Unknown(Error::retry("no sentinel answered lately")),
        }
    }

    /// Asks one sentinel.
    async fn view(
        &self,
        line: &mut Line,
        dialer: &Dialer,
        address: &Address,
        login: &Login,
    ) -> Result<View, Error> {
        let mut connection = match line.connection.take() {
            Some(connection) => connection,
            None => dialer.dial(address, login).await?,
        };
        let question: [&[u8]; 3] = [b"SENTINEL", b"MASTER", self.name.as_bytes()];
        let answer = ask_with(&mut connection, &question, |reply| match reply {
            Reply::Array(fields) => Ok(view(fields, self.tls)),
            Reply::Error(text) => Err(String::from_utf8_lossy(text).into_owned()),
            _ => Ok(None),
        });
        let view = match answer.await? {
            Ok(view) => view,
            Err(text) if text.starts_with("NOPERM") => self.address_only(&mut connection).await?,
            Err(_) => None,
        };
        line.connection = Some(connection);
        line.failed = None;
        view.ok_or_else(|| {
            Error::misconfigured(format!("the sentinel {address} knows no master named `{}`", self.name))
        })
    }

    /// The question that every user of a sentinel may ask. Its answer does not tell of a failover that is under way.
    async fn address_only(&self, connection: &mut Connection) -> Result<Option<View>, Error> {
        let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.name.as_bytes()];
        let pair = ask_with(connection, &question, |reply| match reply {
            Reply::Array(pair) => match pair.as_slice() {
                [host, port] => Some((host.text()?, port.text()?.parse().ok()?)),
                _ => None,
            },
            _ => None,
        });
        let view = |(host, port)| {
            let master = Address::Tcp { host, port, tls: self.tls };
            View { master, epoch: 0, is_failing_over: false }
        };
        Ok(pair.await?.map(view))
    }
}

/// The answer to SENTINEL MASTER: names and values in turn.
fn view(fields: &[Reply<'_>], tls: bool) -> Option<View> {
    let field = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0] == Reply::Bulk(name.as_bytes()))?;
        pair[1].text()
    };
    let master = Address::Tcp { host: field("ip")?, port: field("port")?.parse().ok()?, tls };
    let epoch = field("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    let flags = field("flags").unwrap_or_default();
    Some(View { master, epoch, is_failing_over: flags.split(',').any(|flag| flag == "failover_in_progress") })
}

/// The role of a server.
enum Role {
    /// A master with these replicas.
    Master(BTreeSet<String>),
    Other,
    /// The user may not ask.
    Unknown,
}

async fn role(connection: &mut Connection) -> Result<Role, Error> {
    ask_with(connection, &[b"ROLE"], |reply| match reply {
        Reply::Array(parts) if parts.first() == Some(&Reply::Bulk(b"master")) => {
            let Some(Reply::Array(replicas)) = parts.get(2) else { return Role::Master(BTreeSet::new()) };
            Role::Master(replicas.iter().filter_map(replica).collect())
        }
        Reply::Array(_) => Role::Other,
        _ => Role::Unknown,
    })
    .await
}

/// `[host, port, offset]`
fn replica(reply: &Reply<'_>) -> Option<String> {
    let Reply::Array(parts) = reply else { return None };
    let [host, port, ..] = parts.as_slice() else { return None };
    Some(format!("{} {}", host.text()?, port.text()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_reads_address_epoch_and_flags() {
        let bulk = |text: &'static str| Reply::Bulk(text.as_bytes());
        let fields =
            ["name", "m", "ip", "::1", "port", "7", "flags", "master,failover_in_progress"].map(bulk);
        let seen = view(&fields, true).unwrap();
        assert_eq!(seen.master, Address::Tcp { host: "::1".into(), port: 7, tls: true });
        assert!(seen.is_failing_over && seen.epoch == 0);
        let fields = ["ip", "a", "port", "7", "flags", "master", "config-epoch", "12"].map(bulk);
        let seen = view(&fields, false).unwrap();
        assert!(!seen.is_failing_over && seen.epoch == 12);
        assert!(view(&["ip", "a", "port"].map(bulk), false).is_none());
    }
}
