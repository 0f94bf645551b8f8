use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Redis, Reply};

#[test]
fn server_with_persistence_keeps_data_across_a_kill() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    assert_eq!(redis.query(["RPUSH", "list", "a", "b"]), Reply::Integer(2));
    redis.kill();
    assert!(TcpStream::connect(redis.address()).is_err(), "a killed server takes no connection");
    redis.restart();
    assert_eq!(redis.query(["LRANGE", "list", "0", "-1"]).texts(), ["a", "b"]);
    assert!(matches!(redis.query(["GET", "list"]), Reply::Error(text) if text.starts_with("WRONGTYPE")));
    assert_eq!(redis.query(["GET", "none"]), Reply::Nil);
}

#[test]
fn servers_are_independent_and_one_without_persistence_forgets() {
    let (mut first, second) = (Redis::start(), Redis::start_with(&["--requirepass", "pw"]));
    assert_ne!(first.port(), second.port());
    first.query(["SET", "key", "1"]);
    assert_eq!(second.query(["GET", "key"]), Reply::Nil);
    first.stop();
    first.restart();
    assert_eq!(first.query(["GET", "key"]), Reply::Nil);
}

#[test]
fn paused_server_replies_after_it_continues() {
    let redis = Redis::start();
    redis.pause();
    let mut stream = TcpStream::connect(redis.address()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut answer = [0; 7];
    assert!(stream.read(&mut answer).is_err(), "no reply");
    redis.unpause();
    stream.set_read_timeout(None).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}
