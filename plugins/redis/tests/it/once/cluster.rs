use serde_json::json;
use tidegate_servers::redis::Redis;

use crate::once::driver::{Driver, numbered, record, sink};

fn options(url: &str, key: &str) -> serde_json::Value {
    json!({"cluster": [url], "command": "rpush", "key": key})
}

#[test]
fn all_keys_must_share_a_tag() {
    for key in ["users", "{{users}}:{.id}", "a:{{users}}:{.id}", "{{users}}"] {
        sink(&options("redis://127.0.0.1:1", key)).transactional().unwrap();
    }
    for key in ["users:{.id}", "a:{{users:{.id}}}", "{{}}:{.id}", "a}}b"] {
        let reason = sink(&options("redis://127.0.0.1:1", key)).transactional().err().unwrap().to_string();
        assert!(reason.contains("key = \"{{users}}:{.id}\""), "{key}: {reason}");
    }
}

#[tokio::test]
async fn the_record_lies_beside_the_data() {
    let bus = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let node = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    node.query(["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    while !node.query(["CLUSTER", "INFO"]).text().contains("cluster_state:ok") {}
    let mut driver = Driver::new(&options(&node.url(), "{{users}}:{.id}")).await.unwrap();
    let batch = numbered(0, [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert!(driver.commit(&batch, &record(2)).await.unwrap().rejected().is_empty());
    let slot = node.query(["CLUSTER", "KEYSLOT", "{users}"]).integer().unwrap().to_string();
    let mut keys = node.query(["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).texts().join(" ");
    assert_eq!(keys.split(' ').count(), 3, "{keys}");
    keys.retain(|character| character != '"');
    assert!(keys.contains("tidegate:{users}:pipe/out"), "{keys}");
}
