//! What a source and a sink alike are told about their server.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{ConfigError, Duration, Secret};

use super::address::{self, Login, Target};
use super::connection::{Dialer, Tls};

/// Where the server is, who logs in there, and how long it may take.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerOptions {
    /// One server: `redis://host:6379/0`, `rediss://host:6379` for TLS, or `unix:///run/redis.sock`. It may
    /// hold a user and a password (`redis://user:password@host`), which are never shown.
    pub(crate) url: Option<String>,
    /// A server whose address Redis Sentinel knows:
    /// `sentinel = { urls = ["redis://10.0.0.1:26379"], name = "mymaster" }`.
    pub(crate) sentinel: Option<SentinelOptions>,
    /// A Redis Cluster, by the addresses of some of its nodes: `cluster = ["redis://10.0.0.1:6379"]`. The
    /// others are found from there.
    pub(crate) cluster: Option<Vec<String>>,
    /// The ACL user to log in as. Takes the place of a user in the URL.
    pub(crate) user: Option<String>,
    /// The password to log in with. Takes the place of a password in the URL.
    pub(crate) password: Option<Secret>,
    /// The number of the database. Takes the place of the one in the URL; 0 if neither says.
    pub(crate) database: Option<u32>,
    /// How to check the server's certificate, for addresses that begin with `rediss://`. Left out, the
    /// certificate must be signed by a public authority.
    pub(crate) tls: Option<TlsOptions>,
    /// How long the server may take to answer what was sent to it at a time: one command, or of those that a sink
    /// sends together at most 1 MiB. After that the connection is left, and what was not answered is tried again
    /// on another one.
    #[serde(default = "ten_seconds")]
    pub(crate) time_limit: Duration,
    /// How long connecting may take, log-in included.
    #[serde(default = "five_seconds")]
    pub(crate) connect_time_limit: Duration,
}

/// A server whose address Redis Sentinel knows. User, password and database of the component are for the server.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SentinelOptions {
    /// The addresses of all sentinels. With `rediss://` the server is reached over TLS too.
    #[schemars(length(min = 1))]
    pub(crate) urls: Vec<String>,
    /// The name that the sentinels know the server by, such as `mymaster`.
    pub(crate) name: String,
    /// The ACL user to log in to the sentinels as.
    pub(crate) user: Option<String>,
    /// The password to log in to the sentinels with.
    pub(crate) password: Option<Secret>,
}

/// How to check the server's certificate, and what to show of our own.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsOptions {
    /// A PEM file with the authorities to trust instead of the public ones.
    pub(crate) ca_file: Option<String>,
    /// A PEM file with our certificate, for servers that ask for one. Goes with `client_key`.
    pub(crate) client_cert: Option<String>,
    /// A PEM file with the key of our certificate.
    pub(crate) client_key: Option<String>,
    /// The name that the server's certificate must be for, if that is not the host of the address.
    pub(crate) server_name: Option<String>,
}

impl ServerOptions {
    /// Where the server is, who logs in there, and what connects to it.
    pub(crate) fn resolve(&self) -> Result<(Target, Login, Dialer), ConfigError> {
        let (target, login) = address::target(self)?;
        for (pointer, limit) in
            [("/time_limit", self.time_limit), ("/connect_time_limit", self.connect_time_limit)]
        {
            if limit.is_zero() {
                let nothing = ConfigError::at(pointer, "nothing can be done in no time");
                return Err(nothing.help("the default suits most"));
            }
        }
        let dialer = Dialer {
            tls: Tls::new(self.tls.clone().unwrap_or_default()),
            connect_limit: *self.connect_time_limit,
            answer_limit: *self.time_limit,
            replicas: 0,
        };
        Ok((target, login, dialer))
    }
}

fn ten_seconds() -> Duration {
    Duration::seconds(10)
}

fn five_seconds() -> Duration {
    Duration::seconds(5)
}
