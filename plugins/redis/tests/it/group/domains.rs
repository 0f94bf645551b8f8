use serde_json::{Value, json};
use tidegate_servers::redis::Redis;

use crate::group::worker::{Worker, add, out, pending, sink, source};

/// The transaction domains of source and sink, both reached by `place`.
fn domains(place: &Value, stream: &str, key: &str) -> (String, Result<String, String>) {
    let (mut from, mut to) = (place.clone(), place.clone());
    from["stream"] = json!(stream);
    from["group"] = json!("g");
    to["command"] = json!("rpush");
    to["key"] = json!(key);
    let domain = sink(&to).acknowledging().map(|sink| sink.transaction_domain());
    (source(&from).transaction_domain().unwrap(), domain.map_err(|error| error.to_string()))
}

#[test]
fn the_same_server_is_the_same_place_and_shows_no_secret() {
    let place = json!({"url": "redis://user:hidden@10.0.0.1:6380/3"});
    let (from, to) = domains(&place, "in", "out:{.id}");
    assert_eq!((from.as_str(), to.as_deref()), ("redis 10.0.0.1:6380, database 3", Ok(from.as_str())));
    let other = domains(&json!({"url": "redis://10.0.0.1:6380"}), "in", "out");
    assert_ne!(other.0, from, "another database");
    let sentinels = |name| json!({"sentinel": {"urls": ["redis://b", "redis://a"], "name": name}});
    let (from, to) = domains(&sentinels("mymaster"), "in", "out");
    assert_eq!(to.unwrap(), from);
    assert_ne!(domains(&sentinels("other"), "in", "out").0, from);
}

#[test]
fn in_a_cluster_all_keys_share_the_slot_of_the_stream() {
    let place = json!({"cluster": ["redis://b:1", "redis://a:1"]});
    for key in ["{{jobs}}:out", "{{jobs}}:{.id}", "jobs"] {
        let (from, to) = domains(&place, "{jobs}:in", key);
        assert_eq!(to.unwrap(), from, "{key}");
    }
    let (from, to) = domains(&place, "{jobs}:in", "out");
    assert_ne!(to.unwrap(), from);
    let reason = domains(&place, "{jobs}:in", "out:{.id}").1.unwrap_err();
    assert!(reason.contains("begin `key` with a literal tag"), "{reason}");
}

#[test]
fn publish_has_no_transaction_domain() {
    let options = json!({"url": "redis://h", "command": "publish", "key": "c"});
    assert!(sink(&options).acknowledging().err().unwrap().message().contains("`publish` keeps nothing"));
}

#[tokio::test]
async fn a_node_of_a_cluster_does_it_in_one_slot() {
    let bus = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let node = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    node.query(["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    while !node.query(["CLUSTER", "INFO"]).text().contains("cluster_state:ok") {}
    // The stream is called `in`, which is the tag, too.
    let options = json!({"cluster": [node.url()], "command": "rpush", "key": "{{in}}:{.}"});
    let mut worker = Worker::new(&node, "a", &options).await;
    add(&node, 0, 3);
    let mut written = 0;
    while written < 3 {
        let work = worker.read().await;
        worker.finish(&work).await;
        written += work.batch.len();
        work.over();
    }
    assert_eq!((pending(&node), out(&node).len()), (0, 0));
    assert_eq!(node.query(["LRANGE", "{in}:2", "0", "-1"]).texts(), ["2"]);
}
