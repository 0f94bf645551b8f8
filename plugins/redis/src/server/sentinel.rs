//! Redis Sentinel: who the master is right now.
//!
//! Protocol: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.

use tidegate_sdk::{Class, Error};

use crate::server::address::{Address, Login};
use crate::server::ask::ask_with;
use crate::server::connection::{Connection, Dialer};
use crate::server::resp::Reply;

/// The sentinels, and the name they know the server by.
pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<(Address, Login)>,
    pub(crate) name: String,
    /// Whether the server is spoken to over TLS.
    pub(crate) tls: bool,
}

impl Sentinels {
    /// Connects to the master. A sentinel that cannot be reached, or whose news are old, is passed over.
    pub(crate) async fn dial(&self, dialer: &Dialer, login: &Login) -> Result<Connection, Error> {
        let mut problem = None;
        for (sentinel, sentinel_login) in &self.sentinels {
            match self.dial_through(dialer, sentinel, sentinel_login, login).await {
                Ok(connection) => return Ok(connection),
                // What somebody must change is worth more in a message than that a machine is down.
                Err(error) if error.class() == Class::Misconfigured => problem = Some(error),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| Error::misconfigured("there is no sentinel to ask")))
    }

    async fn dial_through(
        &self,
        dialer: &Dialer,
        sentinel: &Address,
        sentinel_login: &Login,
        login: &Login,
    ) -> Result<Connection, Error> {
        let mut connection = dialer.dial(sentinel, sentinel_login).await?;
        let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.name.as_bytes()];
        let answer = ask_with(&mut connection, &question, |reply| match reply {
            Reply::Array(pair) => match pair.as_slice() {
                [host, port] => Some((host.text()?, port.text()?.parse().ok()?)),
                _ => None,
            },
            _ => None,
        });
        let answer = answer.await?;
        connection.close().await;
        let Some((host, port)) = answer else {
            let message = format!("the sentinel {sentinel} knows no master named `{}`", self.name);
            return Err(Error::misconfigured(message));
        };
        let master = Address::Tcp { host, port, tls: self.tls };
        let mut connection = dialer.dial(&master, login).await?;
        let is_replica = ask_with(&mut connection, &[b"ROLE"], |reply| match reply {
            Reply::Array(parts) => parts.first().map(|role| *role != Reply::Bulk(b"master")),
            _ => None,
        });
        // A user without the right to ask for the role is believed; a replica refuses the writes anyhow.
        match is_replica.await?.unwrap_or(false) {
            true => Err(Error::retry(format!("{master} is a replica, though {sentinel} names it master"))),
            false => Ok(connection),
        }
    }
}
