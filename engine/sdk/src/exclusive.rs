//! Resources that only one component of a process can use at a time.

use std::fmt;
use std::net::IpAddr;
use std::path::{Component as Step, Path, PathBuf};

/// A claim on a resource, and the option that makes it.
///
/// The engine compares the claims of all components of a run. Two components that claim one resource are an
/// error of `tidegate check`, of the start and of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// JSON pointer to the option that names the resource; empty for the component as a whole.
    pub pointer: String,
    /// The resource.
    pub resource: Resource,
    /// Whether the claim holds only against components of the same name, because that is a part of the resource.
    pub of_same_name: bool,
    /// What to do if the resource is taken.
    pub help: Option<String>,
}

impl Exclusive {
    /// A claim that the option `pointer` makes.
    pub fn new(pointer: impl Into<String>, resource: Resource) -> Self {
        Self { pointer: pointer.into(), resource, of_same_name: false, help: None }
    }

    /// The same claim against components of the same name alone, with what to do if there is one.
    #[must_use]
    pub fn of_same_name(self, help: impl Into<String>) -> Self {
        Self { of_same_name: true, help: Some(help.into()), ..self }
    }
}

/// A resource that cannot be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A resource with a name of its own, such as `standard input`. Equal names are one resource.
    Named(String),
    /// A TCP address to listen on. `0.0.0.0` and `[::]` overlap with the other addresses of their port.
    Listen {
        /// A host name or an IP address without brackets.
        host: String,
        /// The port; 0 is any free port and overlaps with nothing.
        port: u16,
    },
    /// A file that is written. Standard streams under their names in `/dev` are the streams.
    File(PathBuf),
}

/// The name of the resource that the source `stdin` claims.
const STDIN: &str = "standard input";
/// The name of standard output as a file.
const STDOUT: &str = "standard output";

impl Resource {
    /// Standard input.
    pub fn stdin() -> Self {
        Self::Named(STDIN.into())
    }

    /// The address `HOST:PORT`; `None` if it is not one.
    pub fn listen(address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Some(Self::Listen { host, port: port.parse().ok()? })
    }

    /// The file at this path, or the stream that the path stands for.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = normal(path.as_ref());
        match path.to_str() {
            Some("/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") => Self::stdin(),
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::Named(STDOUT.into()),
            _ => Self::File(path),
        }
    }

    /// The resource as the C ABI spells it: `tcp HOST:PORT`, `file PATH`, or its name.
    pub fn spelled(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Listen { .. } => format!("tcp {self}"),
            Self::File(path) => format!("file {}", path.display()),
        }
    }

    /// The resource that is spelled like this.
    pub fn of_spelling(text: &str) -> Self {
        let listen = text.strip_prefix("tcp ").and_then(Self::listen);
        listen.unwrap_or_else(|| match text.strip_prefix("file ") {
            Some(path) => Self::file(path),
            None => Self::Named(text.to_owned()),
        })
    }

    /// Whether two components that claim these would disturb each other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listen { host, port }, Self::Listen { host: other_host, port: other_port }) => {
                *port != 0 && port == other_port && hosts_overlap(host, other_host)
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => formatter.write_str(name),
            Self::Listen { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Listen { host, port } => write!(formatter, "{host}:{port}"),
            Self::File(path) => write!(formatter, "the file {}", path.display()),
        }
    }
}

/// Whether a listener on one host keeps another from listening on the other, at the same port. A socket on `[::]`
/// takes the IPv4 addresses too.
fn hosts_overlap(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (ones, others) = (addresses(one), addresses(other));
    let covers = |wide: &IpAddr, narrow: &IpAddr| {
        wide == narrow || (wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4()))
    };
    ones.iter().any(|one| others.iter().any(|other| covers(one, other) || covers(other, one)))
}

/// The addresses that a host is known to have without a look-up.
fn addresses(host: &str) -> Vec<IpAddr> {
    const LOCALHOST: [IpAddr; 2] =
        [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
    match host.parse::<IpAddr>() {
        Ok(address) => vec![address.to_canonical()],
        Err(_) if host == "localhost" => LOCALHOST.to_vec(),
        Err(_) => Vec::new(),
    }
}

/// The path without `.` and without `..` behind a name.
fn normal(path: &Path) -> PathBuf {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for step in path.components() {
        match (step, steps.last()) {
            (Step::CurDir, _) | (Step::ParentDir, Some(Step::RootDir)) => {}
            (Step::ParentDir, Some(Step::Normal(_))) => drop(steps.pop()),
            _ => steps.push(step),
        }
    }
    steps.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str) -> Resource {
        Resource::listen(address).unwrap()
    }

    #[test]
    fn addresses_overlap_where_the_kernel_refuses_the_second_listener() {
        let overlapping = [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("[::]:80", "0.0.0.0:80"),
            ("[::]:80", "[::1]:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("localhost:80", "[::1]:80"),
            ("LOCALHOST:80", "0.0.0.0:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("example.org:80", "example.org:80"),
        ];
        for (one, other) in overlapping {
            assert!(listen(one).overlaps(&listen(other)), "{one} {other}");
            assert!(listen(other).overlaps(&listen(one)), "{other} {one}");
        }
        let apart = [
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:80", "127.0.0.2:80"),
            ("0.0.0.0:80", "[::1]:80"),
            ("example.org:80", "127.0.0.1:80"),
        ];
        for (one, other) in apart {
            assert!(!listen(one).overlaps(&listen(other)), "{one} {other}");
            assert!(!listen(other).overlaps(&listen(one)), "{other} {one}");
        }
    }

    #[test]
    fn paths_are_compared_by_what_they_mean() {
        assert_eq!(Resource::file("./out/a/../b.log"), Resource::file("out/b.log"));
        assert_eq!(Resource::file("/../x"), Resource::file("/x"));
        assert_ne!(Resource::file("../x"), Resource::file("x"));
        assert_eq!(Resource::file("/dev/stdin"), Resource::stdin());
        assert_eq!(Resource::file("/proc/self/fd/1"), Resource::file("/dev/stdout"));
        assert!(!Resource::file("80").overlaps(&Resource::Named("80".into())));
    }

    #[test]
    fn a_resource_is_shown_as_a_user_writes_it() {
        assert_eq!(listen("[::1]:80").to_string(), "[::1]:80");
        assert_eq!(listen("0.0.0.0:80").to_string(), "0.0.0.0:80");
        assert_eq!(Resource::stdin().to_string(), "standard input");
        assert_eq!(Resource::file("a//b").to_string(), "the file a/b");
        for resource in [listen("[::1]:80"), listen("localhost:80"), Resource::stdin(), Resource::file("a/b")]
        {
            assert_eq!(Resource::of_spelling(&resource.spelled()), resource);
        }
        assert!(Resource::listen("80").is_none() && Resource::listen("a:b").is_none());
    }
}
