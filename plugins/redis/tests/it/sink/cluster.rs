use serde_json::json;
use tidegate_sdk::Class;

use crate::sink::server::{Opened, Server, again, ask_at, free_port, open, wait_until};

/// Three nodes that share the slots.
pub(crate) fn cluster() -> Vec<Server> {
    let mut nodes = Vec::new();
    let mut buses = Vec::new();
    for _ in 0..3 {
        let bus = free_port().to_string();
        nodes.push(Server::start(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-node-timeout",
            "2000",
        ]));
        buses.push(bus);
    }
    for (index, (first, last)) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")].iter().enumerate() {
        nodes[index].ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        if index > 0 {
            let port = nodes[index].port.to_string();
            nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &buses[index]]);
        }
    }
    for node in &nodes {
        wait_until("the cluster", || node.ask::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    }
    nodes
}

fn options(node: &Server, command: &str, key: &str) -> serde_json::Value {
    json!({"cluster": [node.url()], "command": command, "key": key})
}

#[tokio::test]
async fn keys_spread_over_all_nodes_and_keep_their_order() {
    let nodes = cluster();
    let mut sink = Opened::new(&options(&nodes[1], "rpush", "l:{.k}"));
    sink.open().await.unwrap();
    let events: Vec<_> = (0..2000).map(|n| format!(r#"{{"k":{},"n":{n}}}"#, n % 100)).collect();
    sink.deliver(&events).await;
    let sizes: Vec<usize> = nodes.iter().map(|node| node.ask(&["DBSIZE"])).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!(sizes.iter().all(|size| *size > 10), "{sizes:?}");
    let lists = nodes
        .iter()
        .filter_map(|node| ask_at::<Vec<String>>(&node.url(), &["LRANGE", "l:7", "0", "-1"]).ok());
    let expected: Vec<_> = events.iter().filter(|event| event.contains("\"k\":7,")).cloned().collect();
    assert_eq!(lists.collect::<Vec<_>>(), [expected]);
    sink.sink.close(&sink.cx).await.unwrap();
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let nodes = cluster();
    let mut options = options(&nodes[0], "xadd", "{{tag}}:{.k}");
    options["ttl"] = json!("1h");
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    sink.deliver([r#"{"k":1}"#]).await;
    let slot: u16 = nodes[0].ask(&["CLUSTER", "KEYSLOT", "{tag}"]);
    let from = usize::from(slot / 5461).min(2);
    let to = (from + 1) % 3;
    let ids: Vec<String> = nodes.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect();
    let slot = slot.to_string();
    nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[from]]);
    nodes[from].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[to]]);

    // Half-way: the old key is still where it was, a new one is asked for at the other node.
    sink.deliver([r#"{"k":1,"n":2}"#, r#"{"k":2}"#, r#"{"k":2,"n":2}"#]).await;
    let port = nodes[to].port.to_string();
    nodes[from].ask::<()>(&["MIGRATE", "127.0.0.1", &port, "{tag}:1", "0", "5000"]);
    for node in [&nodes[to], &nodes[from], &nodes[3 - to - from]] {
        node.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]]);
    }
    sink.deliver([r#"{"k":1,"n":3}"#]).await;
    assert_eq!(nodes[to].ask::<usize>(&["XLEN", "{tag}:1"]), 3);
    assert_eq!(nodes[to].ask::<usize>(&["XLEN", "{tag}:2"]), 2);
    assert!(nodes[to].ask::<i64>(&["PTTL", "{tag}:2"]) > 0);
}

#[tokio::test]
async fn a_node_that_is_down_holds_up_only_its_own_keys() {
    let mut nodes = cluster();
    for node in &nodes {
        node.ask::<()>(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let mut sink = Opened::new(&options(&nodes[0], "set", "k:{.k}"));
    sink.open().await.unwrap();
    let batch = tidegate_testkit::batch((0..60).map(|k| format!(r#"{{"k":{k}}}"#)));
    sink.deliver_in_the_end(&batch).await;
    let lost: usize = nodes[2].ask(&["DBSIZE"]);
    nodes[2].kill();
    let (events, class, _) = again(&sink.try_write(&batch).await.unwrap());
    assert_eq!(events.len(), lost);
    assert!(matches!(class, Class::Retry | Class::Ambiguous), "{class:?}");
    nodes[2].restart();
    sink.deliver_in_the_end(&batch).await;
    assert_eq!(nodes[2].ask::<usize>(&["DBSIZE"]), lost);
}

#[tokio::test]
async fn a_single_server_is_not_a_cluster_and_a_node_not_a_server() {
    let single = Server::start(&[]);
    let error = Opened::new(&options(&single, "set", "k")).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured, "{error}");
    assert!(error.message().contains("use `url`"), "{error}");
    let nodes = cluster();
    let mut sink = open(&nodes[0], json!({"command": "set", "key": "k:{.k}"})).await;
    let delivery = sink.write((0..20).map(|k| format!(r#"{{"k":{k}}}"#))).await;
    let (_, class, message) = again(&delivery);
    assert_eq!(class, Class::Misconfigured);
    assert!(message.contains("use `cluster`"), "{message}");
}
