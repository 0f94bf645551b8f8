use std::fs::{self, OpenOptions};
use std::io::Write;

use super::*;

/// The part of a transaction that remains when a server is killed while it appends it.
const TORN: &[u8] = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$5\r\nRPUSH\r\n$3\r\nout\r\n$1\r\n";

/// Shows why the publisher needs [`Care`]: a server makes a hole in a stream if entries follow a torn transaction and
/// the server is killed during the rewrite of its file. At the next start it truncates the file at the tear and refuses
/// to start. At the start after that it runs, with the entries that were added last.
#[test]
fn server_leaves_a_hole_after_a_torn_transaction() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut publisher = Publisher::new(Random::new(1), Care::None);
    publisher.whole(&redis, 3).unwrap();
    redis.kill();
    let mut files =
        fs::read_dir(redis.folder().join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
    let newest = files.find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
    OpenOptions::new().append(true).open(newest).unwrap().write_all(TORN).unwrap();
    redis.restart();
    publisher.verify(&redis).unwrap();
    publisher.whole(&redis, 2).unwrap();
    // The rewrite is slow enough to be running when the server is killed.
    redis.query(["CONFIG", "SET", "rdb-key-save-delay", "5000000"]);
    redis.query(["BGREWRITEAOF"]);
    publisher.whole(&redis, 2).unwrap();
    publisher.verify(&redis).unwrap();
    redis.kill();
    redis.restart();
    let found = publisher.verify(&redis).unwrap_err().to_string();
    assert_eq!(found, "the stream holds Some(5) in the place of event 3");
    assert!(redis.log().contains("the truncated file is not the last file"), "{}", redis.log());
}
