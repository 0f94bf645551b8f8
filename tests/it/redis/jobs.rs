//! Poll, push and serve in one process.

use tidegate_servers::http::{Answer, Server};
use tidegate_servers::redis::Redis;

use crate::harness::{Tidegate, http, until};

const USERS: &str = r#"[
    {"name": "Ada", "age": 36, "status": "active", "team": {"id": 1}},
    {"name": "Charles", "age": 79, "status": "retired"},
    {"name": "Grace", "age": 85, "status": "active"}
]"#;

#[test]
fn poll_push_and_serve_side_by_side() {
    let api = Server::start(|_| Answer::json(USERS));
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.jsonl");
    let pipeline = format!(
        r#"
        [source.poll]
        plugin = "http_poll"
        url = "{users}"
        interval = "100ms"
        [filter.active]
        plugin = "jq"
        query = 'select(.status == "active") | {{name, age}}'
        [sink.stream]
        plugin = "redis"
        url = "{redis}"
        command = "rpush"
        key = "users:active"
        [sink.file]
        plugin = "file"
        from = "active"
        path = "{file}"

        [source.request]
        plugin = "http_server"
        listen = "127.0.0.1:0"
        path = "/active"
        methods = ["GET"]
        respond = "result"
        answer_as = "array"
        [filter.ask]
        plugin = "http"
        url = "{users}"
        replace = true
        split = true
        [filter.only_active]
        plugin = "jq"
        query = 'select(.status == "active") | {{name, age}}'
        [sink.answer]
        plugin = "http_response"
        "#,
        users = api.url("/users"),
        redis = redis.url(),
        file = file.display(),
    );
    let mut running = Tidegate::pipeline(&pipeline).start();
    let address = running.address("listening on");
    let answer = http(address, "GET /active", "", b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"[{"name":"Ada","age":36},{"name":"Grace","age":85}]"#);
    let length = || redis.query(["LLEN", "users:active"]).integer().unwrap();
    until("six users in Redis", || length() >= 6);
    assert!(api.connections() <= 3, "connections to the API are kept: {}", api.connections());
    running.signal("TERM");
    running.end().expect(0);
    let pushed = redis.query(["LRANGE", "users:active", "0", "-1"]);
    let pushed = pushed.texts();
    assert_eq!(pushed[..2], [r#"{"name":"Ada","age":36}"#, r#"{"name":"Grace","age":85}"#]);
    let written = std::fs::read_to_string(file).unwrap();
    assert_eq!(written.lines().collect::<Vec<_>>(), pushed, "the file and the list hold the same");
    let clients = redis.query(["CLIENT", "LIST"]).text().lines().count();
    assert_eq!(clients, 1, "only the question itself is connected: Tidegate has closed its connections");
}

#[test]
fn slow_poll_does_not_block_requests() {
    // The API never answers while the test runs.
    let api = Server::start(|_| Answer::silence());
    let pipeline = format!(
        r#"
        [source.poll]
        plugin = "http_poll"
        url = "{users}"
        interval = "60s"
        [sink.nowhere]
        plugin = "blackhole"

        [source.events]
        plugin = "http_server"
        listen = "127.0.0.1:0"
        path = "/events"
        respond = "delivered"
        [sink.count]
        plugin = "blackhole"
        "#,
        users = api.url("/users"),
    );
    let mut running = Tidegate::pipeline(&pipeline).start();
    let address = running.address("listening on");
    api.wait_for(1);
    for number in 0..200 {
        let body = format!(r#"{{"n":{number}}}"#);
        assert_eq!(http(address, "POST /events", "application/json", body.as_bytes()).status, 200);
    }
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("count"), "the summary names the sink:\n{}", ended.stderr);
}
