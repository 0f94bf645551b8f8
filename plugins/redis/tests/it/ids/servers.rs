use serde_json::json;
use tidegate_servers::redis::Redis;

use crate::ids::run::{Run, add, numbers, options};
use crate::sink::cluster::cluster;
use crate::sink::sentinel::watched;
use crate::sink::server::{ask_at, wait_until};

#[tokio::test]
async fn server_that_dies_and_comes_back_is_read_on() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut run = Run::new(&options(&redis), None).await;
    add(&redis, 0, 2);
    assert_eq!(run.texts(2).await, numbers(0..2));
    redis.restart();
    add(&redis, 2, 5);
    assert_eq!(run.texts(3).await, numbers(2..5));
}

#[tokio::test]
async fn failover_is_followed() {
    let (mut master, replica, sentinel) = watched();
    let options = json!({"sentinel": {"urls": [sentinel.url()], "name": "tide"}, "stream": "s"});
    let mut run = Run::new(&options, None).await;
    master.ask::<String>(&["XADD", "s", "1-0", "event", "a"]);
    assert_eq!(run.texts(1).await, ["a"]);
    wait_until("the replica to be in step", || replica.ask::<usize>(&["XLEN", "s"]) == 1);
    master.kill();
    wait_until("the replica to be promoted", || {
        ask_at::<String>(&replica.url(), &["XADD", "s", "2-0", "event", "b"]).is_ok()
    });
    assert_eq!(run.texts(1).await, ["b"]);
}

#[tokio::test]
async fn node_of_a_cluster_is_found_by_the_key() {
    let nodes = cluster();
    for (node, key) in nodes.iter().zip(["b", "c", "a"]) {
        let owner = nodes
            .iter()
            .find(|node| ask_at::<String>(&node.url(), &["XADD", key, "1-0", "event", key]).is_ok())
            .unwrap();
        let options = json!({"cluster": [node.url()], "stream": key});
        let mut run = Run::new(&options, None).await;
        assert_eq!(run.texts(1).await, [key]);
        owner.ask::<String>(&["XADD", key, "2-0", "event", "more"]);
        assert_eq!(run.texts(1).await, ["more"]);
    }
}
