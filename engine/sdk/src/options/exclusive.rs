//! Resources that components of one process must not use at the same time.

mod pattern;

use std::fmt;
use std::net::IpAddr;
use std::path::{Component as Step, Path, PathBuf};

pub use pattern::PathPattern;

use crate::Template;

/// Claim on a resource, and the option that makes it.
///
/// The engine compares the claims of all components of a run. Two components that cannot have a resource together are an
/// error of `tidegate check`, of the start and of a reload; two that may meet are a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// JSON pointer to the option that names the resource; empty for the component as a whole.
    pub pointer: String,
    /// The resource.
    pub resource: Resource,
    /// Use of the resource, which decides what other use is possible beside it.
    pub access: Access,
    /// Restricts the claim to components of the same name, because the name is a part of the resource.
    pub of_same_name: bool,
    /// Advice if the resource is taken.
    pub help: Option<String>,
}

/// Use of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Use that excludes every other one: listening on an address, writing a file.
    Alone,
    /// Use that only an exclusive one disturbs: sinks that take turns on standard output.
    Shared,
    /// Reading. A component may write what another one reads, unless that is made of what was read: then the input grows
    /// without end.
    Read,
}

impl Exclusive {
    /// Claims a resource for one component alone.
    pub fn new(pointer: impl Into<String>, resource: Resource) -> Self {
        Self { pointer: pointer.into(), resource, access: Access::Alone, of_same_name: false, help: None }
    }

    /// Claims a resource that components of this kind share.
    pub fn shared(pointer: impl Into<String>, resource: Resource) -> Self {
        Self { access: Access::Shared, ..Self::new(pointer, resource) }
    }

    /// Names a resource that the component reads.
    pub fn read(pointer: impl Into<String>, resource: Resource) -> Self {
        Self { access: Access::Read, ..Self::new(pointer, resource) }
    }

    /// Restricts the claim to components of the same name. `help` says what to do if there is one.
    #[must_use]
    pub fn of_same_name(self, help: impl Into<String>) -> Self {
        Self { of_same_name: true, help: Some(help.into()), ..self }
    }

    /// Returns access and resource as the C ABI spells them: `shared RESOURCE`, `read RESOURCE`, or the resource alone.
    pub fn encode(&self) -> String {
        let access = match self.access {
            Access::Alone => "",
            Access::Shared => "shared ",
            Access::Read => "read ",
        };
        format!("{access}{}", self.resource.encode())
    }

    /// Parses what [`encode`](Self::encode) returns.
    pub fn decode(pointer: impl Into<String>, text: &str) -> Self {
        if let Some(resource) = text.strip_prefix("shared ") {
            Self::shared(pointer, Resource::decode(resource))
        } else if let Some(resource) = text.strip_prefix("read ") {
            Self::read(pointer, Resource::decode(resource))
        } else {
            Self::new(pointer, Resource::decode(text))
        }
    }
}

/// A resource that cannot be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Resource with a name of its own, such as `standard input`. Equal names are one resource.
    Named(String),
    /// TCP address to listen on. `0.0.0.0` and `[::]` overlap with the other addresses of their port.
    Listen {
        /// A host name or an IP address without brackets.
        host: String,
        /// The port; 0 is any free port and overlaps with nothing.
        port: u16,
    },
    /// File. Standard streams under their names in `/dev` are the streams.
    File(PathBuf),
    /// Files that a glob matches, or that a template names.
    Files(PathPattern),
}

/// Degree to which two resources are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overlap {
    /// They are never one.
    None,
    /// They may be one: the events decide.
    Possible,
    /// They are one.
    Certain,
}

const STDIN: &str = "standard input";
const STDOUT: &str = "standard output";
const STDERR: &str = "standard error";

impl Resource {
    /// Standard input.
    pub fn stdin() -> Self {
        Self::Named(STDIN.into())
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Self::Named(STDOUT.into())
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
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::stdout(),
            Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => Self::Named(STDERR.into()),
            _ => Self::File(path),
        }
    }

    /// The files that a glob matches, or the file that a path without wildcards names.
    pub fn glob(text: &str) -> Self {
        PathPattern::glob(text).map_or_else(|| Self::file(text), Self::Files)
    }

    /// The files that a template names.
    pub fn template(template: &Template) -> Self {
        PathPattern::template(template)
            .map_or_else(|| Self::file(template.as_literal().unwrap_or("")), Self::Files)
    }

    /// Returns the resource as the C ABI spells it: `tcp HOST:PORT`, `file PATH`, `glob PATH`, `template PATH`, or its name.
    pub fn encode(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Listen { .. } => format!("tcp {self}"),
            Self::File(path) => format!("file {}", path.display()),
            Self::Files(pattern) if pattern.is_glob() => format!("glob {pattern}"),
            Self::Files(pattern) => format!("template {pattern}"),
        }
    }

    /// Parses what [`encode`](Self::encode) returns. Other text is a name.
    pub fn decode(text: &str) -> Self {
        let parsed = match text.split_once(' ') {
            Some(("tcp", address)) => Self::listen(address),
            Some(("file", path)) => Some(Self::file(path)),
            Some(("glob", path)) => Some(Self::glob(path)),
            Some(("template", path)) => path.parse().ok().map(|template| Self::template(&template)),
            _ => None,
        };
        parsed.unwrap_or_else(|| Self::Named(text.to_owned()))
    }

    /// Tells whether two components that use these would use one resource.
    pub fn overlap(&self, other: &Self) -> Overlap {
        let (is_one, is_known) = match (self, other) {
            (Self::Listen { host, port }, Self::Listen { host: other_host, port: other_port }) => {
                (*port != 0 && port == other_port && hosts_overlap(host, other_host), true)
            }
            (Self::Files(pattern), Self::File(path)) | (Self::File(path), Self::Files(pattern)) => {
                (pattern.matches(path), pattern.is_glob())
            }
            (Self::Files(one), Self::Files(other)) => (one.meets(other), one == other),
            _ => (self == other, true),
        };
        match (is_one, is_known) {
            (false, _) => Overlap::None,
            (true, false) => Overlap::Possible,
            (true, true) => Overlap::Certain,
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
            Self::Files(pattern) => write!(formatter, "the files {pattern}"),
        }
    }
}

/// Tells whether a listener on one host keeps another from listening on the other, at the same port. A socket on `[::]`
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

/// Removes `.`, and `..` after a name, from a path.
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
            assert_eq!(listen(one).overlap(&listen(other)), Overlap::Certain, "{one} {other}");
            assert_eq!(listen(other).overlap(&listen(one)), Overlap::Certain, "{other} {one}");
        }
        let apart = [
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:80", "127.0.0.2:80"),
            ("0.0.0.0:80", "[::1]:80"),
            ("example.org:80", "127.0.0.1:80"),
        ];
        for (one, other) in apart {
            assert_eq!(listen(one).overlap(&listen(other)), Overlap::None, "{one} {other}");
            assert_eq!(listen(other).overlap(&listen(one)), Overlap::None, "{other} {one}");
        }
    }

    #[test]
    fn paths_are_compared_by_what_they_mean() {
        assert_eq!(Resource::file("./out/a/../b.log"), Resource::file("out/b.log"));
        assert_eq!(Resource::file("/../x"), Resource::file("/x"));
        assert_ne!(Resource::file("../x"), Resource::file("x"));
        assert_eq!(Resource::file("/dev/stdin"), Resource::stdin());
        assert_eq!(Resource::file("/proc/self/fd/1"), Resource::file("/dev/stdout"));
        assert_eq!(Resource::file("/proc/self/fd/2"), Resource::file("/dev/stderr"));
        assert_eq!(Resource::file("80").overlap(&Resource::Named("80".into())), Overlap::None);
    }

    #[test]
    fn files_of_patterns_overlap_for_certain_or_perhaps() {
        let template = |text: &str| Resource::template(&text.parse().unwrap());
        for (one, other, expected) in [
            (Resource::file("out/a.log"), Resource::glob("./out/*.log"), Overlap::Certain),
            (Resource::file("out/a.log"), template("out/{.name}.log"), Overlap::Possible),
            (Resource::file("out/a.log"), template("out/{.name}.csv"), Overlap::None),
            (template("out/{.name}"), template("out/{.name}"), Overlap::Certain),
            (template("out/{.name}"), template("out/{.day}"), Overlap::Possible),
            (template("out/{.name}"), Resource::glob("out/*"), Overlap::Possible),
            (Resource::glob("out/x"), Resource::file("out/x"), Overlap::Certain),
            (template("out/x"), Resource::file("out/x"), Overlap::Certain),
        ] {
            assert_eq!(one.overlap(&other), expected, "{one} {other}");
            assert_eq!(other.overlap(&one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_resource_is_shown_as_a_user_writes_it() {
        assert_eq!(listen("[::1]:80").to_string(), "[::1]:80");
        assert_eq!(listen("0.0.0.0:80").to_string(), "0.0.0.0:80");
        assert_eq!(Resource::stdin().to_string(), "standard input");
        assert_eq!(Resource::file("a//b").to_string(), "the file a/b");
        for resource in [
            listen("[::1]:80"),
            listen("localhost:80"),
            Resource::stdin(),
            Resource::file("a/b"),
            Resource::glob("a/*.log"),
            Resource::template(&"a/{.b}.log".parse().unwrap()),
        ] {
            assert_eq!(Resource::decode(&resource.encode()), resource);
            for claim in [
                Exclusive::new("/path", resource.clone()),
                Exclusive::shared("/path", resource.clone()),
                Exclusive::read("/path", resource.clone()),
            ] {
                assert_eq!(Exclusive::decode("/path", &claim.encode()), claim);
            }
        }
        assert!(Resource::listen("80").is_none() && Resource::listen("a:b").is_none());
    }
}
