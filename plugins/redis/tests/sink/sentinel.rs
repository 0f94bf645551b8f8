use serde_json::json;
use tidegate_sdk::Class;

use crate::server::{Opened, Server, ask_at, file, free_port, wait_until};

/// A sentinel that watches `master` under the name `tide`.
fn sentinel(master: &Server) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor tide 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds tide 300\nsentinel failover-timeout tide 2000\n",
        master.port
    );
    let path = file(&folder, "sentinel.conf", &config);
    let mut sentinel = Server::run(port, vec![path, "--sentinel".to_owned()]);
    // The sentinel rewrites its file, so the folder must live as long as it does.
    sentinel.folder = folder;
    sentinel
}

#[tokio::test]
async fn a_failover_is_followed() {
    let mut master = Server::start(&[]);
    let port = master.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let sentinel = sentinel(&master);
    let down = format!("redis://127.0.0.1:{}", free_port());
    let options = json!({
        "sentinel": {"urls": [down, sentinel.url()], "name": "tide"}, "command": "rpush", "key": "l",
    });
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    sink.deliver(["a"]).await;
    wait_until("the replica to be in step", || replica.ask::<usize>(&["LLEN", "l"]) == 1);
    wait_until("the sentinel to know the replica", || {
        let info: String = ask_at(&sentinel.url(), &["INFO", "sentinel"]).unwrap();
        info.contains("slaves=1")
    });
    master.kill();
    sink.deliver_in_the_end(&tidegate_testkit::batch(["b"])).await;
    assert_eq!(replica.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), ["a", "b"]);
}

#[tokio::test]
async fn an_unknown_name_is_misconfigured_and_no_sentinel_is_tried_again() {
    let master = Server::start(&[]);
    let sentinel = sentinel(&master);
    let options =
        |url: String| json!({"sentinel": {"urls": [url], "name": "x"}, "command": "set", "key": "k"});
    let error = Opened::new(&options(sentinel.url())).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("knows no master named `x`"), "{error}");
    let down = format!("redis://127.0.0.1:{}", free_port());
    let error = Opened::new(&options(down)).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
}
