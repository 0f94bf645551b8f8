//! Where servers are and how to log in: what the options say, checked before anything is connected to.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo};
use tidegate_sdk::{ConfigError, Secret};

use super::options::{SentinelOptions, ServerOptions, TlsOptions};

/// The place of one server. Its text form holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host and a port.
    Tcp { host: String, port: u16, tls: bool },
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether it is spoken to over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(formatter, "{host}:{port}"),
            Self::Unix(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Who logs in, and to which database.
#[derive(Clone, Default)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: u32,
}

/// Where the data goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// To one server.
    One(Address),
    /// To the server that the sentinels name.
    Sentinel { sentinels: Vec<(Address, Login)>, name: String, tls: bool },
    /// To the nodes of a cluster, of which these are some.
    Cluster(Vec<Address>),
}

impl Target {
    /// The place in words that hold no secret. Two components that say the same can do something there in one
    /// step; in a cluster that takes keys of one slot.
    pub(crate) fn place(&self, database: u32, slot: u16) -> String {
        let list = |addresses: &mut dyn Iterator<Item = &Address>| {
            let mut names: Vec<String> = addresses.map(Address::to_string).collect();
            names.sort_unstable();
            names.join(" ")
        };
        match self {
            Self::One(address) => format!("redis {address}, database {database}"),
            Self::Sentinel { sentinels, name, .. } => {
                let sentinels = list(&mut sentinels.iter().map(|(address, _)| address));
                format!("redis `{name}` of the sentinels {sentinels}, database {database}")
            }
            Self::Cluster(nodes) => format!("redis cluster {}, slot {slot}", list(&mut nodes.iter())),
        }
    }
}

/// Where the data goes and who logs in there, from the options.
pub(super) fn target(options: &ServerOptions) -> Result<(Target, Login), ConfigError> {
    let (target, mut login) = match (&options.url, &options.sentinel, &options.cluster) {
        (Some(url), None, None) => {
            parse(url, "/url").map(|(address, login)| (Target::One(address), login))?
        }
        (None, Some(sentinel), None) => (sentinels(sentinel)?, Login::default()),
        (None, None, Some(urls)) => cluster(urls)?,
        _ => {
            let message = "exactly one of `url`, `sentinel` and `cluster` says where the server is";
            return Err(ConfigError::at("", message)
                .help("write `url = \"redis://127.0.0.1:6379\"` for a server on this machine"));
        }
    };
    login.user = options.user.clone().or(login.user);
    login.password = options.password.clone().or(login.password);
    login.database = options.database.unwrap_or(login.database);
    check_login(&target, &login)?;
    if let Some(tls) = &options.tls {
        check_tls(tls, &target)?;
    }
    Ok((target, login))
}

fn sentinels(options: &SentinelOptions) -> Result<Target, ConfigError> {
    let mut sentinels = Vec::new();
    for (index, url) in options.urls.iter().enumerate() {
        let (address, mut login) = parse(url, &format!("/sentinel/urls/{index}"))?;
        login.user = options.user.clone().or(login.user);
        login.password = options.password.clone().or(login.password);
        login.database = 0;
        sentinels.push((address, login));
    }
    let Some((first, _)) = sentinels.first() else {
        return Err(ConfigError::at("/sentinel/urls", "at least one sentinel is needed"));
    };
    let tls = first.is_tls();
    Ok(Target::Sentinel { sentinels, name: options.name.clone(), tls })
}

fn cluster(urls: &[String]) -> Result<(Target, Login), ConfigError> {
    let mut addresses = Vec::new();
    let mut login = Login::default();
    for (index, url) in urls.iter().enumerate() {
        let (address, in_url) = parse(url, &format!("/cluster/{index}"))?;
        if matches!(address, Address::Unix(_)) {
            let message = "a cluster is reached by host and port, not by a socket file";
            return Err(ConfigError::at(format!("/cluster/{index}"), message));
        }
        if in_url.password.is_some() {
            login = in_url;
        }
        addresses.push(address);
    }
    match addresses.is_empty() {
        true => Err(ConfigError::at("/cluster", "at least one node is needed")),
        false => Ok((Target::Cluster(addresses), login)),
    }
}

fn check_login(target: &Target, login: &Login) -> Result<(), ConfigError> {
    if login.user.is_some() && login.password.is_none() {
        return Err(ConfigError::at("/user", "a user without a password cannot log in")
            .help("give its `password`, such as `password = \"${REDIS_PASSWORD}\"`"));
    }
    if matches!(target, Target::Cluster(_)) && login.database != 0 {
        return Err(ConfigError::at("/database", "a cluster has no database but 0"));
    }
    Ok(())
}

fn check_tls(options: &TlsOptions, target: &Target) -> Result<(), ConfigError> {
    let tls = match target {
        Target::One(address) => address.is_tls(),
        Target::Sentinel { tls, .. } => *tls,
        Target::Cluster(addresses) => addresses.iter().all(Address::is_tls),
    };
    if !tls {
        return Err(ConfigError::at(
            "/tls",
            "the address is not one of TLS, so these options would do nothing",
        )
        .help("begin the address with `rediss://`"));
    }
    if options.client_cert.is_some() != options.client_key.is_some() {
        return Err(ConfigError::at(
            "/tls",
            "`client_cert` and `client_key` go together; one of them is missing",
        ));
    }
    Ok(())
}

/// The address in `url`, and the login that it may hold. The message of an error shows neither.
fn parse(url: &str, pointer: &str) -> Result<(Address, Login), ConfigError> {
    let problem = |message: &str| {
        ConfigError::at(pointer, message)
            .help("write it like `redis://host:6379/0`, `rediss://host:6379` or `unix:///run/redis.sock`")
    };
    let info =
        url.into_connection_info().map_err(|_| problem("this is not the address of a Redis server"))?;
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Address::Tcp { host: host.clone(), port: *port, tls: false },
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            return Err(ConfigError::at(pointer, "`#insecure` would let anybody pose as the server")
                .help("trust the server's own authority with `tls = { ca_file = \"ca.pem\" }`"));
        }
        ConnectionAddr::TcpTls { host, port, .. } => {
            Address::Tcp { host: host.clone(), port: *port, tls: true }
        }
        ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
        _ => return Err(problem("this kind of address is not supported")),
    };
    let settings = info.redis_settings();
    let database =
        u32::try_from(settings.db()).map_err(|_| problem("the number of the database is not one"))?;
    let login = Login {
        user: settings.username().map(str::to_owned),
        password: settings.password().map(Secret::new),
        database,
    };
    Ok((address, login))
}
