use serde_json::json;
use tidegate_sdk::Class;

use crate::sink::outages::fake;
use crate::sink::server::{Opened, Server, again, ask_at, file, free_port, wait_until};

/// A sentinel that watches `master` under the name `tide`.
fn sentinel(master: &Server) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor tide 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds tide 1000\nsentinel failover-timeout tide 2000\n",
        master.port
    );
    let path = file(&folder, "sentinel.conf", &config);
    let mut sentinel = Server::run(port, vec![path, "--sentinel".to_owned()]);
    // The sentinel rewrites its file, so the folder must live as long as it does.
    sentinel.folder = folder;
    sentinel
}

#[tokio::test]
async fn unplanned_failover_is_followed() {
    let (mut master, replica, sentinel) = watched();
    let down = format!("redis://127.0.0.1:{}", free_port());
    let options = json!({
        "sentinel": {"urls": [down, sentinel.url()], "name": "tide"}, "command": "rpush", "key": "l",
    });
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    sink.deliver(["a"]).await;
    wait_until("the replica to be in step", || replica.ask::<usize>(&["LLEN", "l"]) == 1);
    master.kill();
    sink.deliver_in_the_end(&tidegate_testkit::batch(["b"])).await;
    assert_eq!(replica.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), ["a", "b"]);
}

#[tokio::test]
async fn unknown_name_is_misconfigured_and_unreachable_sentinels_are_retried() {
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

/// A sentinel that is asked once, and names the server on `port` as the master of `tide`.
fn sentinel_that_names(port: u16) -> String {
    let question = b"*3\r\n$8\r\nSENTINEL\r\n$6\r\nMASTER\r\n$4\r\ntide\r\n".len();
    let words = ["ip", "127.0.0.1", "port", &port.to_string(), "flags", "master"];
    let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("redis://127.0.0.1:{}", fake(question, format!("*6\r\n{words}").as_bytes()).0)
}

/// A master, its replica that is in step, and a sentinel that knows both.
pub(crate) fn watched() -> (Server, Server, Server) {
    let master = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let sentinel = sentinel(&master);
    wait_until("the replica to be in step", || {
        replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
    });
    wait_until("the sentinel to know the replica", || {
        let info: String = ask_at(&sentinel.url(), &["INFO", "sentinel"]).unwrap();
        info.contains("slaves=1")
    });
    (master, replica, sentinel)
}

/// True if a server has this role. It may close connections while it takes another one.
fn has_role(server: &Server, role: &str) -> bool {
    let info = ask_at::<String>(&server.url(), &["INFO", "replication"]);
    info.is_ok_and(|info| info.contains(&format!("role:{role}")))
}

/// Writes while a planned failover happens. Returns the events that were delivered and are not on the new master.
async fn lost_in_a_planned_failover(options: serde_json::Value) -> (Vec<String>, usize) {
    let (master, replica, sentinel) = watched();
    let mut options = options;
    options["sentinel"] = json!({"urls": [sentinel.url()], "name": "tide"});
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    let mut delivered: Vec<String> = Vec::new();
    ask_at::<()>(&sentinel.url(), &["SENTINEL", "FAILOVER", "tide"]).unwrap();
    // Until the old master follows the new one, and for a while after that.
    let mut after = 0;
    while after < 50 {
        let events: Vec<String> = (0..20).map(|event| (delivered.len() + event).to_string()).collect();
        sink.deliver_in_the_end(&tidegate_testkit::batch(&events)).await;
        delivered.extend(events);
        if after > 0 || (has_role(&replica, "master") && has_role(&master, "slave")) {
            after += 1;
        }
    }
    let kept: std::collections::HashSet<String> =
        replica.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]).into_iter().collect();
    let count = delivered.len();
    (delivered.into_iter().filter(|event| !kept.contains(event)).collect(), count)
}

#[tokio::test]
async fn planned_failover_under_load_loses_nothing_that_was_delivered() {
    let (lost, count) = lost_in_a_planned_failover(json!({"command": "rpush", "key": "l"})).await;
    assert!(lost.is_empty(), "{} of {count} are lost", lost.len());
}

#[tokio::test]
async fn planned_failover_loses_nothing_that_replicas_confirmed() {
    // The old master has no replica once the new one is promoted, so nothing that it takes counts.
    let options = json!({"command": "rpush", "key": "l", "wait_for_replicas": 1, "time_limit": "2s"});
    let (master, replica, sentinel) = watched();
    let third = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    wait_until("the sentinel to know both replicas", || {
        let info: String = ask_at(&sentinel.url(), &["INFO", "sentinel"]).unwrap();
        info.contains("slaves=2")
    });
    let mut options = options;
    options["sentinel"] = json!({"urls": [sentinel.url()], "name": "tide"});
    let mut sink = Opened::new(&options);
    sink.open().await.unwrap();
    sink.deliver(["a"]).await;
    let has_it = |server: &Server| server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]) == ["a"];
    assert!(has_it(&replica) || has_it(&third), "one replica has it when it counts");
}

#[tokio::test]
async fn nothing_is_written_with_too_few_replicas() {
    let master = Server::start(&[]);
    let options = json!({
        "url": master.url(), "command": "rpush", "key": "l", "wait_for_replicas": 1, "time_limit": "2s",
    });
    let mut sink = Opened::new(&options);
    for _ in 0..2 {
        let (events, class, message) = again(&sink.write(["a"]).await);
        assert_eq!((events, class), (vec![0], Class::Retry), "{message}");
        assert!(message.starts_with("0 replicas of"), "{message}");
    }
    assert_eq!(master.ask::<usize>(&["LLEN", "l"]), 0);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    sink.deliver_in_the_end(&tidegate_testkit::batch(["a"])).await;
    assert_eq!(replica.ask::<usize>(&["LLEN", "l"]), 1);
}

#[tokio::test]
async fn outdated_sentinel_is_not_believed() {
    let replica = Server::start(&["--replicaof", "127.0.0.1", "1"]);
    let urls = [sentinel_that_names(replica.port)];
    let options = json!({"sentinel": {"urls": urls, "name": "tide"}, "command": "set", "key": "k"});
    let error = Opened::new(&options).open().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().contains("is a replica"), "{error}");
}

#[tokio::test]
async fn user_needs_no_right_to_ask_for_the_role() {
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
