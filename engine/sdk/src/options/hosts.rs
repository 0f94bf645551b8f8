//! The names by which a server without a password may be called.
//!
//! A web page can make the browser of its reader send requests to this machine: to a loopback address, or to a name of
//! its own that it lets point there (DNS rebinding). The browser then names the page's host in `Origin`, or in `Host`.

use std::net::IpAddr;

/// The hosts that a server without a password answers to: those of loopback, and configured ones.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The hosts of loopback and these.
    ///
    /// # Errors
    /// The first one that is not the name or the address of a host.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, String> {
        let mut hosts = Vec::new();
        for name in names {
            let name = name.as_ref();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
            match host(name) {
                Some(host) if name.chars().all(plain) => hosts.push(host),
                _ => return Err(name.to_owned()),
            }
        }
        Ok(Self(hosts))
    }

    /// Returns true if a request with this `Host` is answered. The `Host` is a name or an address, with or without a port.
    pub fn allows(&self, authority: &str) -> bool {
        host(authority).is_some_and(|host| is_loopback(&host) || self.0.contains(&host))
    }

    /// Returns true if a request that a page of this `Origin` has sent is answered.
    pub fn allows_origin(&self, origin: &str) -> bool {
        origin.split_once("://").is_some_and(|(_, authority)| self.allows(authority))
    }
}

/// The host of an authority in lower case, without its port, brackets and the dot of the root.
fn host(authority: &str) -> Option<String> {
    let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(address)?
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) if is_port(port) && !host.contains(':') => host,
            // An address of IPv6 needs no brackets where there is no port.
            Some(_) => authority.parse::<IpAddr>().is_ok().then_some(authority)?,
            None => authority,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_configured_hosts_are_allowed_and_nothing_else() {
        let hosts = Hosts::new(["Events.example.com", "10.0.0.1:80", "[2001:db8::1]"]).unwrap();
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "127.0.0.53:9",
            "[::1]:8080",
            "::1",
            "[::ffff:127.0.0.1]",
            "events.example.com",
            "EVENTS.EXAMPLE.COM.:443",
            "10.0.0.1",
            "[2001:db8::1]:9",
        ] {
            assert!(hosts.allows(good), "{good}");
            assert!(good == "::1" || hosts.allows_origin(&format!("http://{good}")), "{good}");
        }
        for bad in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "example.com",
            "127.1",
            "2130706433",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:80:80",
            "localhost:x",
            "[::1",
            "[::1]x",
            "10.0.0.2",
            "localhost/",
            "a b",
        ] {
            assert!(!hosts.allows(bad), "{bad}");
            assert!(!hosts.allows_origin(&format!("https://{bad}")), "{bad}");
        }
        for bad in ["null", "localhost", "file://", ""] {
            assert!(!hosts.allows_origin(bad), "{bad}");
        }
        for bad in ["", "http://a", "a/b", "a b", "*"] {
            assert_eq!(Hosts::new([bad]).unwrap_err(), bad);
        }
    }
}
