//! The options about the server, shared by the source and the sink.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Duration, Secret};

/// The address, the login and the time limits of a server.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerOptions {
    /// A single server: `redis://host:6379/0`, `rediss://host:6379` for TLS, or `unix:///run/redis.sock`. It may
    /// hold a user and a password (`redis://user:password@host`), which are never shown.
    pub(crate) url: Option<String>,
    /// A server that Redis Sentinel watches:
    /// `sentinel = { urls = ["redis://10.0.0.1:26379"], name = "mymaster" }`.
    pub(crate) sentinel: Option<SentinelOptions>,
    /// A Redis Cluster, by the addresses of some of its nodes: `cluster = ["redis://10.0.0.1:6379"]`. The
    /// other nodes are discovered.
    pub(crate) cluster: Option<Vec<String>>,
    /// The ACL user to log in as. Overrides a user in the URL.
    pub(crate) user: Option<String>,
    /// The password to log in with. Overrides a password in the URL.
    pub(crate) password: Option<Secret>,
    /// The number of the database. Overrides the one in the URL. Default: 0.
    pub(crate) database: Option<u32>,
    /// The check of the server's certificate, for addresses that begin with `rediss://`. Default: the certificate must
    /// be signed by a public authority.
    pub(crate) tls: Option<TlsOptions>,
    /// The longest time for the answer to one exchange: one command, or up to 1 MiB of a sink's commands. After it the
    /// connection is closed, and what was not answered is retried over another one.
    #[serde(default = "ten_seconds")]
    pub(crate) time_limit: Duration,
    /// The longest time to connect, including the log-in.
    #[serde(default = "five_seconds")]
    pub(crate) connect_time_limit: Duration,
}

/// A server that Redis Sentinel watches. User, password and database of the component are for the server.
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

/// The check of the server's certificate, and the client's own certificate.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsOptions {
    /// A PEM file with the authorities to trust instead of the public ones.
    pub(crate) ca_file: Option<String>,
    /// A PEM file with the client's certificate, for servers that ask for one. Goes with `client_key`.
    pub(crate) client_cert: Option<String>,
    /// A PEM file with the key of the client's certificate.
    pub(crate) client_key: Option<String>,
    /// The name that the server's certificate must be for. Default: the host of the address.
    pub(crate) server_name: Option<String>,
}

fn ten_seconds() -> Duration {
    Duration::seconds(10)
}

fn five_seconds() -> Duration {
    Duration::seconds(5)
}
