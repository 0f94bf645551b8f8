//! Every file under `pipelines/`, run unchanged.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_servers::redis::Redis;

use crate::harness::{Tidegate, free_port, http, root, until};

fn pipeline(name: &str) -> PathBuf {
    root().join("pipelines").join(name)
}

#[test]
fn every_pipeline_is_tested_and_well_formed() {
    let known = [
        "active-users.toml",
        "answer.toml",
        "fan-out.toml",
        "file-to-redis.toml",
        "follow-access-log.toml",
        "library.toml",
        "quickstart.toml",
        "requests.toml",
    ];
    let mut found: Vec<String> = std::fs::read_dir(root().join("pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    found.sort();
    assert_eq!(found, known, "each has a test in this file");
    let folder = tempfile::tempdir().unwrap();
    let library = grep_library(folder.path());
    let check = Tidegate::new(&["check", "pipelines"]).env("GREP_LIBRARY", library).end().expect(0);
    assert!(check.stdout.contains("8 files") || check.stderr.contains("8 files"), "{check:?}");
}

/// The library of `library.toml`, built by the command in that file.
fn grep_library(folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(pipeline("library.toml")).unwrap();
    let command = text.lines().find_map(|line| line.strip_prefix("#   cc ")).unwrap();
    let library = folder.join("libgrep_c.so");
    let arguments = command.split(' ').map(|word| match word {
        "target/libgrep_c.so" => library.as_os_str(),
        word => word.as_ref(),
    });
    assert!(Command::new("cc").args(arguments).current_dir(root()).status().unwrap().success());
    library
}

#[test]
fn library() {
    let folder = tempfile::tempdir().unwrap();
    let library = grep_library(folder.path());
    let ended = Tidegate::run(&[&pipeline("library.toml")]).env("GREP_LIBRARY", library).end().expect(0);
    let lines = [0, 4, 8].map(|n| format!("{{\"n\":{n},\"level\":\"error\"}}"));
    assert_eq!(ended.lines(), lines);
}

#[test]
fn quickstart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let call = Tidegate::run(&[&pipeline("quickstart.toml")]).env("QUICKSTART_OUT", &out);
    let ended = call.end().expect(0);
    let lines = ended.lines();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines.join("\n") + "\n", std::fs::read_to_string(out).unwrap());
    assert!(lines.contains(&r#"{"name":"Ranua","country":"FI","lat":65.91667}"#), "{lines:?}");
}

#[test]
fn active_users() {
    let redis = Redis::start();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut running = Tidegate::run(&[&pipeline("active-users.toml")])
        .env("USERS_LISTEN", &listen)
        .env("USERS_URL", format!("http://{listen}/users"))
        .env("USERS_INTERVAL", "50ms")
        .env("REDIS_URL", redis.url())
        .start();
    until("both active users are in the stream", || {
        redis.query(["XLEN", "users:active"]).integer() == Some(2)
    });
    running.signal("TERM");
    running.end().expect(0);
    let entries = redis.query(["XRANGE", "users:active", "-", "+"]);
    let users: Vec<&str> = entries.list().iter().map(|entry| entry.list()[1].texts()[1]).collect();
    assert_eq!(users, [r#"{"name":"Ada","age":36}"#, r#"{"name":"Grace","age":85}"#]);
}

#[test]
fn answer() {
    let (own, api) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let mut running = Tidegate::run(&[&pipeline("answer.toml")])
        .env("ANSWER_LISTEN", &own)
        .env("USERS_LISTEN", &api)
        .env("USERS_URL", format!("http://{api}/users"))
        .start();
    running.wait_for(&format!("listening on {own}"));
    running.wait_for(&format!("listening on {api}"));
    let answer = http(own.parse().unwrap(), "GET /active-users", "", b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"[{"name":"Ada","age":36},{"name":"Grace","age":85}]"#);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn file_to_redis() {
    let redis = Redis::start();
    Tidegate::run(&[&pipeline("file-to-redis.toml")]).env("REDIS_URL", redis.url()).end().expect(0);
    let list = redis.query(["LRANGE", "cities", "0", "-1"]);
    let file = std::fs::read_to_string(root().join("pipelines/data/cities.jsonl")).unwrap();
    assert_eq!(list.texts(), file.lines().collect::<Vec<_>>());
}

#[test]
fn follow_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let line = |status: u16, path: &str| {
        format!(
            "203.0.113.9 - ada [22/Nov/2026:10:00:00 +0000] \"GET {path} HTTP/1.1\" {status} 512 \"-\" \"curl/8\"\n"
        )
    };
    std::fs::write(&log, line(200, "/a") + &line(502, "/b")).unwrap();
    let mut running = Tidegate::run(&[&pipeline("follow-access-log.toml")])
        .env("ACCESS_LOG", &log)
        .env("OUT_DIR", folder.path())
        .start();
    let lines =
        |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default().lines().count();
    until("the first two", || lines("requests.jsonl") == 2);
    std::fs::rename(&log, folder.path().join("access.log.1")).unwrap();
    std::fs::write(&log, line(500, "/c")).unwrap();
    until("the line after the rotation", || lines("requests.jsonl") == 3 && lines("errors.jsonl") == 2);
    running.signal("TERM");
    running.end().expect(0);
    let errors = std::fs::read_to_string(folder.path().join("errors.jsonl")).unwrap();
    assert!(errors.contains(r#""status":502,"method":"GET","path":"/b""#), "{errors}");
}

#[test]
fn requests() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let line = |status: u16, bytes: &str| {
        format!("203.0.113.9 - - [22/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" {status} {bytes}\n")
    };
    std::fs::write(&log, line(200, "512") + &line(502, "20") + &line(304, "-") + &line(200, "1000")).unwrap();
    let mut running = Tidegate::new(&["run", "--admin", "127.0.0.1:0"])
        .arg(pipeline("requests.toml"))
        .env("ACCESS_LOG", &log)
        .start();
    let address = running.address("admin listening on");
    let page = || http(address, "GET /metrics", "", b"").body;
    until("all requests to be counted", || {
        let page = page();
        page.contains("http_requests_total{method=\"GET\",status=\"200\"} 2")
            && page.contains("http_response_bytes_count 3")
    });
    let page = page();
    for expected in [
        "# HELP http_requests_total Requests by status and method.",
        "# TYPE http_requests_total counter",
        "http_requests_total{method=\"GET\",status=\"304\"} 1",
        "http_requests_total{method=\"GET\",status=\"502\"} 1",
        "# TYPE http_response_bytes histogram",
        "http_response_bytes_bucket{le=\"100\"} 1",
        "http_response_bytes_bucket{le=\"1000\"} 3",
        "http_response_bytes_bucket{le=\"+Inf\"} 3",
        "http_response_bytes_sum 1532",
    ] {
        assert!(page.lines().any(|line| line == expected), "{expected} is not in\n{page}");
    }
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn fan_out() {
    let folder = tempfile::tempdir().unwrap();
    let call = Tidegate::run(&[&pipeline("fan-out.toml")]).env("OUT_DIR", folder.path());
    let ended = call.end().expect(0);
    assert!(!ended.lines().is_empty());
    assert!(ended.lines().iter().all(|line| line.contains("\"celsius\":9")), "{}", ended.stdout);
    let broken = std::fs::read_to_string(folder.path().join("broken.jsonl")).unwrap();
    assert_eq!(broken.lines().count(), 5);
}
