use redis::{ConnectionAddr, IntoConnectionInfo};

use super::*;

/// The address and the login as the crate `redis` reads them.
fn reference(text: &str) -> (Address, Login) {
    let info = text.into_connection_info().unwrap();
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Address::Tcp { host: host.clone(), port: *port, tls: false },
        ConnectionAddr::TcpTls { host, port, .. } => {
            Address::Tcp { host: host.clone(), port: *port, tls: true }
        }
        ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
        other => panic!("{other:?}"),
    };
    let settings = info.redis_settings();
    let login = Login {
        user: settings.username().map(str::to_owned),
        password: settings.password().map(Secret::new),
        database: u32::try_from(settings.db()).unwrap(),
    };
    (address, login)
}

#[test]
fn addresses_mean_what_they_mean_to_other_clients() {
    for text in [
        "redis://localhost",
        "redis://localhost/",
        "redis://localhost:7000/15",
        "rediss://redis.example.com:6380/1",
        "valkey://10.0.0.1",
        "valkeys://10.0.0.1:1",
        "redis://[::1]:6379",
        "redis://user:password@host",
        "redis://:password@host/3",
        "redis://us%40er:p%23a%2Fss%20%C3%A9@host",
        "redis://user@host",
        "unix:///run/redis.sock",
        "redis+unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2&user=me&pass=p%20w",
    ] {
        assert_eq!(parse(text, "/url").unwrap(), reference(text), "{text}");
    }
}

#[test]
fn parts_without_a_meaning_are_refused() {
    for (text, message) in [
        ("redis://host?protocol=resp3", "`?` has no meaning"),
        ("redis://host/0?db=1", "`?` has no meaning"),
        ("redis://host?", "`?` has no meaning"),
        ("redis://host#x", "`#` has no meaning"),
        ("redis://:pa#ss@host", "not the address"),
        ("redis://host/0#insecure", "`#` has no meaning"),
        ("rediss://host#insecure", "pose as the server"),
        ("redis://host/db1", "number of the database"),
        ("redis://host/1/2", "number of the database"),
        ("redis://host/+1", "number of the database"),
        ("redis://host/4294967296", "number of the database"),
        ("redis://host//", "number of the database"),
        ("redis://host:0", "not the port"),
        ("redis://host:99999", "not the address"),
        ("redis://", "names no host"),
        ("redis:host", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://ho%73t", "holds a `%`"),
        ("redis://user:p%zz@host", "hexadecimal"),
        ("redis://user:%ff@host", "hexadecimal"),
        (" redis://host", "no spaces"),
        ("redis://ho\tst", "no spaces"),
        ("redis://host\n", "no spaces"),
        ("redis-sentinel://host", "not the address"),
        ("http://host", "not the address"),
        ("tcp://host:6379", "not the address"),
        ("host:6379", "not the address"),
        ("", "not the address"),
        ("unix://run/redis.sock", "begins with a `/` after"),
        ("unix:///", "no socket file"),
        ("unix:redis.sock", "no socket file"),
        ("unix:///run/redis.sock?protocol=resp3", "`db`, `user` and `pass` only"),
        ("unix:///run/redis.sock?db=1&db=2", "stands twice"),
        ("unix:///run/redis.sock#x", "`#` has no meaning"),
    ] {
        let error = parse(text, "/url").map(|(address, _)| address).unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
    }
}
