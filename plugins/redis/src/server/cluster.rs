//! Redis Cluster: the map from slots to nodes, and redirections.
//!
//! Specification: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

use std::sync::Arc;

use futures_util::future::join_all;
use tidegate_sdk::{Class, Error};

use crate::server::address::{Address, Login};
use crate::server::ask::ask_with;
use crate::server::commands::Commands;
use crate::server::connection::{Connection, Dialer};
use crate::server::link::{Link, Route};
use crate::server::resp::Reply;
use crate::server::slot::{SLOTS, slot};
use crate::server::verdict::Verdict;

/// The mark of a slot without a node.
const NO_OWNER: u16 = u16::MAX;

/// The most nodes that are known at a time: the limit of the specification.
const NODES: usize = 1000;

/// The most redirections that one command follows.
const REDIRECTIONS: usize = 5;

/// The nodes of a cluster.
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    login: Arc<Login>,
    dialer: Arc<Dialer>,
    nodes: Vec<Node>,
    /// The index of each slot's node.
    slots: Vec<u16>,
    /// True if the slot map may be outdated.
    stale: bool,
}

struct Node {
    address: Address,
    link: Link,
}

/// A command that is not done yet, and the node of an ASK redirection.
struct Pending {
    command: usize,
    ask: Option<Address>,
}

impl Cluster {
    /// A cluster that is discovered from these nodes.
    pub(crate) fn new(seeds: Vec<Address>, login: Arc<Login>, dialer: Arc<Dialer>) -> Self {
        let slots = vec![NO_OWNER; SLOTS];
        Self { seeds, login, dialer, nodes: Vec::new(), slots, stale: true }
    }

    /// Loads the slot map, if it is outdated.
    pub(crate) async fn connect(&mut self) -> Result<(), Error> {
        if !self.stale {
            return Ok(());
        }
        let mut problem = Error::retry("no node of the cluster could be asked for its slots");
        let known: Vec<_> = self.nodes.iter().map(|node| node.address.clone()).collect();
        for address in known.into_iter().chain(self.seeds.clone()) {
            match self.learn_from(&address).await {
                Ok(()) => {
                    self.stale = false;
                    return Ok(());
                }
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    async fn learn_from(&mut self, address: &Address) -> Result<(), Error> {
        let mut connection = self.dialer.dial(address, &self.login).await?;
        let ranges = read_slots(&mut connection, address).await?;
        connection.close().await;
        // Nodes that stay keep their connections. Those that left the cluster are dropped with theirs.
        let mut before = std::mem::take(&mut self.nodes);
        self.slots.fill(NO_OWNER);
        for (first, last, address) in ranges {
            if let Some(known) = before.iter().position(|node| node.address == address) {
                self.nodes.push(before.swap_remove(known));
            }
            if let Some(index) = self.node(address) {
                self.slots[first..=last].fill(index as u16);
            }
        }
        Ok(())
    }

    /// The index of the node at `address`, which is added if it is new. `None` if there are too many.
    fn node(&mut self, address: Address) -> Option<usize> {
        if let Some(index) = self.nodes.iter().position(|node| node.address == address) {
            return Some(index);
        }
        if self.nodes.len() >= NODES {
            self.stale = true;
            return None;
        }
        let route = Route::Fixed(address.clone());
        let link = Link::new(route, Arc::clone(&self.login), Arc::clone(&self.dialer));
        self.nodes.push(Node { address, link });
        Some(self.nodes.len() - 1)
    }

    /// Ends all connections.
    pub(crate) async fn close(&mut self) {
        for node in &mut self.nodes {
            node.link.close().await;
        }
    }

    /// Opens another connection to the node that has the slot of `key`.
    pub(crate) async fn dial(&mut self, key: &[u8]) -> Result<Connection, Error> {
        self.connect().await?;
        let owner = self.slots[usize::from(slot(key))];
        match self.nodes.get_mut(usize::from(owner)) {
            Some(node) => node.link.dial().await.inspect_err(|_| self.stale = true),
            None => {
                self.stale = true;
                Err(Error::retry("no node of the cluster has the key's slot"))
            }
        }
    }

    /// Marks the slot map as outdated.
    pub(crate) fn forget(&mut self) {
        self.stale = true;
    }

    /// Sends every command to the node of its slot, to all nodes at the same time, and follows redirections.
    pub(crate) async fn send(&mut self, commands: &Commands) -> Vec<Verdict> {
        let mut verdicts = vec![again("no node of the cluster has the key's slot"); commands.list.len()];
        let mut pending: Vec<_> =
            (0..commands.list.len()).map(|command| Pending { command, ask: None }).collect();
        for _ in 0..=REDIRECTIONS {
            if let Err(error) = self.connect().await {
                for one in pending {
                    verdicts[one.command] = Verdict::Again(error.class(), error.message().into());
                }
                return verdicts;
            }
            let answers = self.round(commands, &pending).await;
            pending = self.sort(answers, &mut verdicts);
            if pending.is_empty() {
                return verdicts;
            }
        }
        for one in pending {
            verdicts[one.command] = again("the cluster keeps sending the key from node to node");
        }
        verdicts
    }

    /// Sends the pending commands, each to its node.
    async fn round(&mut self, commands: &Commands, pending: &[Pending]) -> Vec<(usize, Verdict)> {
        let mut work = vec![(Vec::new(), Vec::new()); self.nodes.len()];
        for one in pending {
            let owner = self.slots[usize::from(commands.slot(one.command))];
            let asked = one.ask.clone().and_then(|address| self.node(address));
            work.resize(self.nodes.len(), (Vec::new(), Vec::new()));
            match asked {
                Some(node) => work[node].1.push(one.command),
                None if owner != NO_OWNER => work[usize::from(owner)].0.push(one.command),
                None => self.stale = true,
            }
        }
        let busy = self.nodes.iter_mut().zip(work).filter(|(_, (own, asked))| own.len() + asked.len() > 0);
        let exchanges = busy.map(|(node, (own, asked))| async move {
            let mut verdicts = node.link.send(commands, &own, false).await;
            verdicts.extend(node.link.send(commands, &asked, true).await);
            own.into_iter().chain(asked).zip(verdicts)
        });
        join_all(exchanges).await.into_iter().flatten().collect()
    }

    /// Records the verdicts, and returns the redirected commands, in order.
    fn sort(&mut self, answers: Vec<(usize, Verdict)>, verdicts: &mut [Verdict]) -> Vec<Pending> {
        let mut pending = Vec::new();
        for (command, verdict) in answers {
            match verdict {
                Verdict::Moved { slot, address } => {
                    let index = self.address(&address).and_then(|address| self.node(address));
                    match (index, self.slots.get_mut(usize::from(slot))) {
                        (Some(index), Some(entry)) => *entry = index as u16,
                        _ => self.stale = true,
                    }
                    pending.push(Pending { command, ask: None });
                }
                Verdict::Ask { address } => {
                    pending.push(Pending { command, ask: self.address(&address) });
                }
                verdict => {
                    self.stale |= matches!(verdict, Verdict::Again(Class::Retry | Class::Ambiguous, _));
                    verdicts[command] = verdict;
                }
            }
        }
        pending.sort_unstable_by_key(|one| one.command);
        pending
    }

    /// The address in a redirection: `host:port`, without brackets around a host with colons. A server that does not
    /// know the host leaves it out.
    fn address(&self, text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty())?;
        let tls = self.seeds.iter().any(Address::is_tls);
        Some(Address::Tcp { host: host.to_owned(), port: port.parse().ok()?, tls })
    }
}

fn again(message: &str) -> Verdict {
    Verdict::Again(Class::Retry, message.into())
}

/// The first and the last slot of each range, and its node.
async fn read_slots(
    connection: &mut Connection,
    asked: &Address,
) -> Result<Vec<(usize, usize, Address)>, Error> {
    let ranges = ask_with(connection, &[b"CLUSTER", b"SLOTS"], |reply| match reply {
        Reply::Array(ranges) => Some(ranges.iter().filter_map(|range| slot_range(range, asked)).collect()),
        _ => None,
    });
    let ranges: Option<Vec<_>> = ranges.await?;
    match ranges {
        Some(ranges) if ranges.is_empty() => {
            Err(Error::retry(format!("{asked} knows no slot of its cluster")))
        }
        Some(ranges) => Ok(ranges),
        None => Err(Error::misconfigured(format!("{asked} is not a node of a cluster"))
            .context("no slots could be learned; use `url` for a single server")),
    }
}

/// `[first, last, [host, port, id], replicas...]`
fn slot_range(range: &Reply<'_>, asked: &Address) -> Option<(usize, usize, Address)> {
    let Reply::Array(parts) = range else { return None };
    let [Reply::Integer(first), Reply::Integer(last), Reply::Array(node), ..] = parts.as_slice() else {
        return None;
    };
    let [host, Reply::Integer(port), ..] = node.as_slice() else { return None };
    let Address::Tcp { host: asked_host, tls, .. } = asked else { return None };
    // A node that does not know its own name is reached by the name that it was asked by.
    let host =
        host.text().filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked_host.clone());
    let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
    let port = u16::try_from(*port).ok()?;
    (first <= last && last < SLOTS).then_some((first, last, Address::Tcp { host, port, tls: *tls }))
}
