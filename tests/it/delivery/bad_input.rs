//! Bad input: rejected or retried, never lost, and never the end of a run.

use serde_json::Value;
use tidegate_servers::http::{Answer, Server};
use tidegate_servers::redis::Redis;

use crate::harness::{Ended, Tidegate, until};

/// Runs a pipeline and reads its dead letters as the command prints them.
fn run(pipeline: &str) -> (Ended, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.toml");
    std::fs::write(&path, pipeline).unwrap();
    let data = folder.path().join("data");
    let ended = Tidegate::new(&["run", "--data-dir"]).arg(&data).arg(&path).end();
    let list = Tidegate::new(&["dead-letters", "list", "--format", "json", "--data-dir"]).arg(&data);
    let list = list.end().expect(0);
    let dead_letters = list.lines().into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    (ended, dead_letters)
}

fn reasons(dead_letters: &[Value]) -> Vec<&str> {
    dead_letters.iter().map(|dead_letter| dead_letter["reason"].as_str().unwrap()).collect()
}

#[test]
fn malformed_json_and_invalid_utf8_are_dead_letters_and_other_events_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let bytes = b"{\"n\":1}\n{\"n\":\n{\"n\":\"\xff\"}\nnot json\n{\"n\":2}\n\"\\ud800\"\n{\"n\":3}\n";
    std::fs::write(&input, bytes).unwrap();
    let (ended, dead_letters) = run(&format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{}"
        [filter.number]
        plugin = "jq"
        query = '.n?'
        [sink.out]
        plugin = "file"
        path = "{}"
        "#,
        input.display(),
        out.display()
    ));
    let ended = ended.expect(0);
    assert!(ended.stderr.contains("dead-letters list"), "the summary names the command:\n{}", ended.stderr);
    let written = std::fs::read_to_string(out).unwrap();
    for number in ["1", "2", "3"] {
        assert!(written.lines().any(|line| line == number), "{written}");
    }
    let reasons = reasons(&dead_letters);
    assert!(reasons.len() >= 3, "{reasons:?}");
    assert!(reasons.iter().all(|reason| !reason.is_empty() && !reason.contains("::")), "{reasons:?}");
    assert!(dead_letters.iter().any(|dead_letter| dead_letter["payload"] == "not json"), "{dead_letters:?}");
}

#[test]
fn a_line_of_a_hundred_megabytes_is_a_dead_letter_and_memory_stays_flat() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let mut bytes = b"{\"n\":1}\n".to_vec();
    bytes.resize(100 << 20, b'x');
    bytes.extend_from_slice(b"\n{\"n\":2}\n");
    std::fs::write(&input, bytes).unwrap();
    let (ended, dead_letters) = run(&format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{}"
        [sink.out]
        plugin = "file"
        path = "{}"
        "#,
        input.display(),
        out.display()
    ));
    ended.expect(0);
    assert_eq!(std::fs::read_to_string(out).unwrap(), "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(dead_letters.len(), 1);
    assert!(reasons(&dead_letters)[0].contains("over the limit of 16MiB"), "{dead_letters:?}");
}

#[test]
fn http_500_is_retried_and_400_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    std::fs::write(&input, "\"good\"\n\"bad\"\n\"late\"\n").unwrap();
    let failed = std::sync::atomic::AtomicBool::new(false);
    let server = Server::start(move |request| match request.text().as_str() {
        text if text.contains("bad") => Answer::status(400).body("no such thing"),
        text if text.contains("late") && !failed.swap(true, std::sync::atomic::Ordering::Relaxed) => {
            Answer::status(500)
        }
        _ => Answer::status(200),
    });
    let (ended, dead_letters) = run(&format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{}"
        [sink.api]
        plugin = "http"
        url = "{}"
        format = "single"
        retry = {{ base = "10ms", cap = "50ms" }}
        "#,
        input.display(),
        server.url("/in")
    ));
    ended.expect(0);
    assert_eq!(dead_letters.len(), 1, "{dead_letters:?}");
    assert!(reasons(&dead_letters)[0].contains("400"), "{dead_letters:?}");
    assert_eq!(dead_letters[0]["payload"], "\"bad\"");
    assert!(server.requests().iter().filter(|request| request.text().contains("late")).count() >= 2);
}

#[test]
fn key_of_the_wrong_type_rejects_only_its_own_event() {
    let redis = Redis::start();
    redis.query(["SET", "user:2", "text"]);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    std::fs::write(&input, "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n").unwrap();
    let (ended, dead_letters) = run(&format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{}"
        [sink.lists]
        plugin = "redis"
        url = "{}"
        command = "rpush"
        key = "user:{{.id}}"
        "#,
        input.display(),
        redis.url()
    ));
    ended.expect(0);
    assert_eq!(dead_letters.len(), 1, "{dead_letters:?}");
    assert!(reasons(&dead_letters)[0].contains("WRONGTYPE"), "{dead_letters:?}");
    assert_eq!(redis.query(["LLEN", "user:1"]).integer(), Some(1));
    assert_eq!(redis.query(["LLEN", "user:3"]).integer(), Some(1));
}

#[test]
fn a_fixed_key_of_the_wrong_type_waits_unhealthy_and_nothing_is_dropped() {
    let redis = Redis::start();
    redis.query(["SET", "list", "text"]);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    std::fs::write(&input, "1\n2\n3\n").unwrap();
    let pipeline = format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{}"
        [sink.list]
        plugin = "redis"
        url = "{}"
        command = "rpush"
        key = "list"
        retry = {{ base = "10ms", cap = "50ms" }}
        "#,
        input.display(),
        redis.url()
    );
    let mut running = Tidegate::pipeline(&pipeline).start();
    running.wait_for("WRONGTYPE");
    redis.query(["DEL", "list"]);
    running.end().expect(0);
    until("all are there", || redis.query(["LLEN", "list"]).integer() == Some(3));
}
