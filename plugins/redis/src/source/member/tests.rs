use std::sync::Arc;

use tidegate_servers::redis::Redis;

use super::*;
use crate::server::address::{Address, Login, Target};
use crate::server::connection::{Dialer, Tls};
use crate::server::options::TlsOptions;

fn member(redis: &Redis) -> Member {
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: redis.port(), tls: false };
    let limit = Duration::from_secs(30);
    let tls = Tls::new(TlsOptions::default());
    Member {
        stream: Stream {
            target: Target::One(address),
            login: Arc::default(),
            dialer: Arc::new(Dialer { tls, connect_limit: limit, answer_limit: limit, replicas: 0 }),
            name: "s".to_owned(),
            longest: 1 << 20,
            sink_acknowledges: None,
        },
        group: "g".to_owned(),
        consumer: "here-1-in".to_owned(),
        component: Some("in".to_owned()),
    }
}

fn consumers(redis: &Redis) -> Vec<String> {
    let list = redis.query(["XINFO", "CONSUMERS", "s", "g"]);
    let mut names: Vec<String> = list.list().iter().map(|one| one.list()[1].text().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn only_idle_consumers_of_the_own_pattern_without_pending_entries_are_removed() {
    let redis = Redis::start();
    redis.query(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]);
    redis.query(["XADD", "s", "*", "event", "x"]);
    redis.query(["XREADGROUP", "GROUP", "g", "there-7-in", "STREAMS", "s", ">"]);
    let stay =
        ["here-1-in", "there-7-in", "in", "-in", "7-in", "there-in", "there-7-out", "worker-1", "a-7-in2"];
    let go = ["there-8-in", "host.example-123456-in", "a-b-7-in"];
    for name in stay.iter().chain(&go) {
        redis.query(["XGROUP", "CREATECONSUMER", "s", "g", name]);
    }
    let mut member = member(&redis);
    let mut connection = member.dial().await.unwrap();
    let hour = Duration::from_secs(3600);
    assert!(member.remove_dead(&mut connection, hour).await.unwrap().is_empty());
    let mut removed = member.remove_dead(&mut connection, Duration::ZERO).await.unwrap();
    removed.sort();
    let mut expected = go.to_vec();
    expected.sort_unstable();
    assert_eq!(removed, expected);
    let mut expected = stay.to_vec();
    expected.sort_unstable();
    assert_eq!(consumers(&redis), expected);
    assert_eq!(redis.query(["XPENDING", "s", "g"]).list()[0].integer(), Some(1));
    // A consumer whose name the user chose removes none.
    redis.query(["XGROUP", "CREATECONSUMER", "s", "g", "there-8-in"]);
    member.component = None;
    assert!(member.remove_dead(&mut connection, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_removed_without_the_right_to_scripts_or_without_a_group() {
    let redis = Redis::start();
    let mut member = member(&redis);
    let mut connection = member.dial().await.unwrap();
    assert!(member.remove_dead(&mut connection, Duration::ZERO).await.unwrap().is_empty(), "no group");
    redis.query(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]);
    redis.query(["XGROUP", "CREATECONSUMER", "s", "g", "there-8-in"]);
    redis.query(["ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-@scripting"]);
    let password = Some(tidegate_sdk::Secret::new("p"));
    member.stream.login = Arc::new(Login { user: Some("u".to_owned()), password, database: 0 });
    let mut connection = member.dial().await.unwrap();
    assert!(member.remove_dead(&mut connection, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(consumers(&redis), ["there-8-in"]);
}
