//! The server or servers behind a sink, as one.

use std::sync::Arc;

use tidegate_sdk::Error;

use crate::address::{Address, Login, Target};
use crate::cluster::Cluster;
use crate::link::{Link, Route};
use crate::plan::Plan;
use crate::sentinel::Sentinels;
use crate::verdict::Verdict;
use crate::wire::Dialer;

/// The server or servers behind a sink.
pub(crate) enum Servers {
    /// One, at a fixed address or found through Sentinel.
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
            Self::One(link) => link.connect().await.map(|_| ()),
            Self::Many(cluster) => cluster.connect().await,
        }
    }

    /// Sends every command of the plan and says what became of each.
    pub(crate) async fn send(&mut self, plan: &Plan) -> Vec<Verdict> {
        match self {
            Self::One(link) => {
                let commands: Vec<_> = (0..plan.commands.len()).collect();
                link.send(plan, &commands, false).await
            }
            Self::Many(cluster) => cluster.send(plan).await,
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
