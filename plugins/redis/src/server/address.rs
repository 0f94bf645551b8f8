//! Addresses of servers and logins, checked before anything is connected to.

use std::fmt;
use std::path::PathBuf;

use tidegate_sdk::{ConfigError, ConfigErrors, Secret};
use url::Url;

use super::options::{SentinelOptions, ServerOptions, TlsOptions};

/// The port of a server whose address names none.
const PORT: u16 = 6379;

/// The address of one server. Its text form holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host and a port.
    Tcp { host: String, port: u16, tls: bool },
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// True if connections to it use TLS.
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

/// A user, a password and a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: u32,
}

/// The server or servers of a component.
#[derive(Clone)]
pub(crate) enum Target {
    /// A single server.
    One(Address),
    /// The server that the sentinels name.
    Sentinel { sentinels: Vec<(Address, Login)>, name: String, tls: bool },
    /// A cluster, by the addresses of some of its nodes.
    Cluster(Vec<Address>),
}

impl Target {
    /// The name of the transaction domain, without secrets. Two components with the same name can change data in one
    /// step. In a cluster that takes keys of one slot.
    pub(crate) fn domain(&self, database: u32, slot: u16) -> String {
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

/// The servers and the login that the options name.
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
    let mut errors = ConfigErrors::default();
    errors.keep(check_login(&target, &login));
    if let Some(tls) = &options.tls {
        errors.keep(check_tls(tls, &target));
    }
    errors.finish((target, login))
}

fn sentinels(options: &SentinelOptions) -> Result<Target, ConfigError> {
    let mut errors = ConfigErrors::default();
    let pointer = |index: usize| format!("/sentinel/urls/{index}");
    let mut sentinels: Vec<(Address, Login)> = Vec::new();
    for (index, url) in options.urls.iter().enumerate() {
        let Some((address, mut login)) = errors.keep(parse(url, &pointer(index))) else { continue };
        login.user = options.user.clone().or(login.user);
        login.password = options.password.clone().or(login.password);
        if login.database != 0 {
            errors.push(
                ConfigError::at(pointer(index), "a sentinel has no databases")
                    .help("write the number of the server's database as `database`"),
            );
        }
        sentinels.push((address, login));
    }
    errors.check(!options.urls.is_empty(), || {
        ConfigError::at("/sentinel/urls", "at least one sentinel is needed")
    });
    let tls = sentinels.first().is_some_and(|(first, _)| first.is_tls());
    let is_whole = sentinels.len() == options.urls.len();
    let mixed_at = sentinels.iter().position(|(address, _)| address.is_tls() != tls);
    if let Some(index) = mixed_at.filter(|_| is_whole) {
        errors.push(mixed(&pointer(index)));
    }
    if options.name.is_empty() {
        errors.push(ConfigError::at("/sentinel/name", "this needs the name that the sentinels know"));
    }
    errors.finish(Target::Sentinel { sentinels, name: options.name.clone(), tls })
}

fn cluster(urls: &[String]) -> Result<(Target, Login), ConfigError> {
    let mut errors = ConfigErrors::default();
    let mut addresses: Vec<Address> = Vec::new();
    let mut login = Login::default();
    for (index, url) in urls.iter().enumerate() {
        let pointer = format!("/cluster/{index}");
        let Some((address, in_url)) = errors.keep(parse(url, &pointer)) else { continue };
        if matches!(address, Address::Unix(_)) {
            let message = "a cluster is reached by host and port, not by a socket file";
            errors.push(ConfigError::at(pointer.as_str(), message));
        }
        if addresses.first().is_some_and(|first| first.is_tls() != address.is_tls()) {
            errors.push(mixed(&pointer));
        }
        if in_url != Login::default() {
            if login != Login::default() && login != in_url {
                errors.push(ConfigError::at(pointer.as_str(), "the addresses of one cluster have different logins")
                    .help(
                        "all nodes have the same users; write `user` and `password` once, beside `cluster`",
                    ));
            }
            login = in_url;
        }
        addresses.push(address);
    }
    if urls.is_empty() {
        errors.push(ConfigError::at("/cluster", "at least one node is needed"));
    }
    errors.finish((Target::Cluster(addresses), login))
}

fn mixed(pointer: &str) -> ConfigError {
    ConfigError::at(pointer, "some of the addresses are for TLS and some are not")
        .help("begin all of them with `rediss://`, or all with `redis://`")
}

fn check_login(target: &Target, login: &Login) -> Result<(), ConfigError> {
    let mut errors = ConfigErrors::default();
    if login.user.is_some() && login.password.is_none() {
        errors.push(
            ConfigError::at("/user", "a user without a password cannot log in")
                .help("give its `password`, such as `password = \"${REDIS_PASSWORD}\"`"),
        );
    }
    if matches!(target, Target::Cluster(_)) && login.database != 0 {
        errors.push(ConfigError::at("/database", "a cluster has no database but 0"));
    }
    errors.finish(())
}

fn check_tls(options: &TlsOptions, target: &Target) -> Result<(), ConfigError> {
    let mut errors = ConfigErrors::default();
    let tls = match target {
        Target::One(address) => address.is_tls(),
        Target::Sentinel { tls, .. } => *tls,
        Target::Cluster(addresses) => addresses.iter().all(Address::is_tls),
    };
    if !tls {
        errors.push(
            ConfigError::at("/tls", "the address is not one of TLS, so these options would do nothing")
                .help("begin the address with `rediss://`"),
        );
    }
    if options.client_cert.is_some() != options.client_key.is_some() {
        errors.push(ConfigError::at(
            "/tls",
            "`client_cert` and `client_key` go together; one of them is missing",
        ));
    }
    errors.finish(())
}

/// The address in `url`, and the login that it may hold. A part that has no meaning here is an error. The message of
/// an error shows no secret.
fn parse(text: &str, pointer: &str) -> Result<(Address, Login), ConfigError> {
    let problem = |message: &str| {
        ConfigError::at(pointer, message)
            .help("write it like `redis://host:6379/0`, `rediss://host:6379` or `unix:///run/redis.sock`")
    };
    // The parser would drop these without a word.
    if text.contains(|character: char| character.is_ascii_whitespace() || character.is_control()) {
        return Err(problem("an address holds no spaces and no control characters")
            .help("in a user or a password, write a space as `%20`"));
    }
    let url = Url::parse(text).map_err(|_| problem("this is not the address of a Redis server"))?;
    match (url.scheme(), url.fragment()) {
        ("rediss" | "valkeys", Some("insecure")) => {
            return Err(ConfigError::at(pointer, "`#insecure` would let anybody pose as the server")
                .help("trust the server's own authority with `tls = { ca_file = \"ca.pem\" }`"));
        }
        (_, Some(_)) => {
            return Err(problem("what follows the `#` has no meaning in an address")
                .help("in a user or a password, write `#` as `%23`"));
        }
        _ => {}
    }
    match url.scheme() {
        "redis" | "valkey" => tcp(&url, false).map_err(problem),
        "rediss" | "valkeys" => tcp(&url, true).map_err(problem),
        "unix" | "redis+unix" | "valkey+unix" => unix(&url).map_err(problem),
        _ => Err(problem("this is not the address of a Redis server")),
    }
}

fn tcp(url: &Url, tls: bool) -> Result<(Address, Login), &'static str> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the address names no host")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.contains('%') {
        return Err("the host of the address holds a `%`");
    }
    if url.query().is_some() {
        return Err("what follows the `?` has no meaning in this address");
    }
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let database = if path.is_empty() { 0 } else { number(path)? };
    let port = url.port().unwrap_or(PORT);
    if port == 0 {
        return Err("0 is not the port of a server");
    }
    let user = decoded(url.username())?;
    let password = url.password().map(decoded).transpose()?;
    let login = Login {
        user: Some(user).filter(|user| !user.is_empty()),
        password: password.filter(|password| !password.is_empty()).map(Secret::new),
        database,
    };
    Ok((Address::Tcp { host: host.to_owned(), port, tls }, login))
}

/// A socket file. Its path leaves no room for a user, so the query names the user.
fn unix(url: &Url) -> Result<(Address, Login), &'static str> {
    if url.host_str().is_some_and(|host| !host.is_empty()) || !url.username().is_empty() {
        return Err("the path of a socket file begins with a `/` after `unix://`");
    }
    let path = decoded(url.path())?;
    if !path.starts_with('/') || path == "/" || path.contains('\0') {
        return Err("the address names no socket file");
    }
    let (mut user, mut password, mut database) = (None, None, None);
    for (name, value) in url.query_pairs() {
        let is_first = match &*name {
            "db" => database.replace(number(&value)?).is_none(),
            "user" => user.replace(value.into_owned()).is_none(),
            "pass" => password.replace(Secret::new(value.into_owned())).is_none(),
            _ => return Err("the query of a socket file may have `db`, `user` and `pass` only"),
        };
        if !is_first {
            return Err("a name stands twice in the query of the address");
        }
    }
    let login = Login { user, password, database: database.unwrap_or(0) };
    Ok((Address::Unix(PathBuf::from(path)), login))
}

/// The number of a database: digits and nothing else.
fn number(text: &str) -> Result<u32, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or("the number of the database is not one")
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, &'static str> {
    let malformed = "a `%` in the address is not followed by two hexadecimal digits, or they are not UTF-8";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(malformed)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| malformed)
}

#[cfg(test)]
mod tests;
