use std::fs::{self, OpenOptions};
use std::io::Write;

use super::*;

/// What a server that is killed while it appends a transaction leaves of it.
const TORN: &[u8] = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$5\r\nRPUSH\r\n$3\r\nout\r\n$1\r\n";

/// Why the publisher takes care: the server itself makes a hole in a stream that was added to behind a torn
/// transaction, if it is killed again while its file is written anew. At the next start it cuts off all that is
/// behind the tear and refuses to start; at the one after that it starts, and what came later is there.
#[test]
fn a_server_leaves_a_hole_where_a_transaction_was_torn() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut publisher = Publisher::new(Chance::new(1), Care::None);
    publisher.whole(&redis, 3).unwrap();
    redis.kill();
    let mut files =
        fs::read_dir(redis.folder().join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
    let newest = files.find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
    OpenOptions::new().append(true).open(newest).unwrap().write_all(TORN).unwrap();
    redis.restart();
    publisher.verify(&redis).unwrap();
    publisher.whole(&redis, 2).unwrap();
    // The rewrite takes so long that it is under way when the server is killed.
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
