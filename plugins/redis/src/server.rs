//! A client for the server or servers of a component. Commands go in, and a verdict on each comes out.

pub(crate) mod address;
pub(crate) mod ask;
pub(crate) mod cluster;
pub(crate) mod commands;
pub(crate) mod connection;
pub(crate) mod health;
pub(crate) mod link;
pub(crate) mod options;
pub(crate) mod resolve;
pub(crate) mod resp;
pub(crate) mod sentinel;
pub(crate) mod slot;
pub(crate) mod verdict;

use std::sync::Arc;

use tidegate_sdk::Error;

use address::{Address, Login, Target};
use cluster::Cluster;
use commands::{CommandSource, Commands};
use connection::{Connection, Dialer};
use link::{Link, Route};
use sentinel::Sentinels;
use verdict::Verdict;

/// The server or servers of a component.
pub(crate) enum Servers {
    /// A single server, at a fixed address or found through Sentinel.
    One(Link),
    /// The nodes of a cluster.
    Many(Cluster),
}

impl Servers {
    /// The servers of `target`, not connected yet.
    pub(crate) fn new(target: &Target, login: &Arc<Login>, dialer: &Arc<Dialer>) -> Self {
        let link = |route| Self::One(Link::new(route, Arc::clone(login), Arc::clone(dialer)));
        match target.clone() {
            Target::One(address) => link(Route::Fixed(address)),
            Target::Sentinel { sentinels, name, tls } => {
                link(Route::Sentinel(Arc::new(Sentinels { sentinels, name, tls })))
            }
            Target::Cluster(seeds) => Self::cluster(seeds, login, dialer),
        }
    }

    fn cluster(seeds: Vec<Address>, login: &Arc<Login>, dialer: &Arc<Dialer>) -> Self {
        Self::Many(Cluster::new(seeds, Arc::clone(login), Arc::clone(dialer)))
    }

    /// Connects, and logs in.
    pub(crate) async fn connect(&mut self) -> Result<(), Error> {
        match self {
            Self::One(link) => link.open().await,
            Self::Many(cluster) => cluster.connect().await,
        }
    }

    /// Sends every command and returns the verdict on each.
    pub(crate) async fn send(&mut self, commands: &Commands) -> Vec<Verdict> {
        match self {
            Self::One(link) => {
                let all: Vec<_> = (0..commands.list.len()).collect();
                link.send(commands, &all, false).await
            }
            Self::Many(cluster) => cluster.send(commands).await,
        }
    }

    /// Sends every command that `supply` adds to `commands`, which are empty, and returns the verdict on each. A single
    /// server gets the first commands while the others are made.
    pub(crate) async fn send_from(
        &mut self,
        commands: &mut Commands,
        supply: &mut impl CommandSource,
    ) -> Vec<Verdict> {
        match self {
            Self::One(link) => link.send_from(commands, supply).await,
            Self::Many(cluster) => {
                while supply.supply(commands) {}
                cluster.send(commands).await
            }
        }
    }

    /// Opens another connection to the server that has `key`.
    pub(crate) async fn dial(&mut self, key: &[u8]) -> Result<Connection, Error> {
        match self {
            Self::One(link) => link.dial().await,
            Self::Many(cluster) => cluster.dial(key).await,
        }
    }

    /// Confirms what was written over a connection of [`dial`](Self::dial): its server is still the master.
    pub(crate) async fn confirm(&mut self, connection: &mut Connection) -> Result<(), Error> {
        match self {
            Self::One(link) => link.confirm(connection).await,
            Self::Many(_) => Ok(()),
        }
    }

    /// Marks the location of the server as outdated, after a connection of [`dial`](Self::dial) broke or was
    /// redirected.
    pub(crate) fn forget(&mut self) {
        if let Self::Many(cluster) = self {
            cluster.forget();
        }
    }

    /// Ends all connections.
    pub(crate) async fn close(&mut self) {
        match self {
            Self::One(link) => link.close().await,
            Self::Many(cluster) => cluster.close().await,
        }
    }
}

/// The host name of this machine, or `localhost`.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
