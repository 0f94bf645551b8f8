use serde_json::json;
use tidegate_sdk::Class;

use crate::outages::fake;
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

/// A sentinel that is asked once, and names whoever listens on `port` as the master of `tide`.
fn sentinel_that_names(port: u16) -> String {
    let question = b"*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$4\r\ntide\r\n".len();
    let port = port.to_string();
    let answer = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
    format!("redis://127.0.0.1:{}", fake(question, answer.as_bytes()).0)
}

#[tokio::test]
async fn a_sentinel_whose_news_are_old_is_not_believed() {
    let replica = Server::start(&["--replicaof", "127.0.0.1", "1"]);
    let urls = [sentinel_that_names(replica.port)];
    let options = json!({"sentinel": {"urls": urls, "name": "tide"}, "command": "set", "key": "k"});
    let error = Opened::new(&options).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().contains("is a replica"), "{error}");
}

#[tokio::test]
async fn a_user_need_not_have_the_right_to_ask_for_the_role() {
    let master = Server::start(&[]);
    master.ask::<()>(&["ACL", "SETUSER", "w", "on", ">pw", "~*", "+set"]);
    let urls = [sentinel_that_names(master.port)];
    let options = json!({
        "sentinel": {"urls": urls, "name": "tide"}, "command": "set", "key": "k", "user": "w", "password": "pw",
    });
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    sink.deliver(["v"]).await;
    assert_eq!(master.ask::<String>(&["GET", "k"]), "v");
}
