//! SIGHUP and `--watch`: changed graphs are replaced, the others continue.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tidegate_servers::http::{Answer, Server};

use crate::harness::{Running, Tidegate, free_port, http, until};

/// A folder of pipeline files, and the process that runs them.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pipelines")).unwrap();
        let all = Self { folder };
        files.iter().for_each(|(name, text)| all.write(name, text));
        all
    }

    /// A path outside the folder of pipelines.
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pipelines(&self) -> PathBuf {
        self.at("pipelines")
    }

    /// Writes a pipeline file, in which `DIR` is the folder.
    fn write(&self, name: &str, text: &str) {
        let text = text.replace("DIR", &self.folder.path().display().to_string());
        std::fs::write(self.pipelines().join(name), text).unwrap();
    }

    fn call(&self) -> Tidegate {
        Tidegate::run(&[&self.pipelines()])
    }

    fn lines(&self, name: &str) -> usize {
        read(&self.at(name)).lines().count()
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Sends SIGHUP and waits for the result of this reload in the log.
fn reload(running: &Running, number: usize) -> String {
    running.signal("HUP");
    running.wait_for_nth(number, "reloaded: ")
}

const TICKS: &str = r#"
    [source.ticks]
    plugin = "generate"
    query = '{n: $n}'
    rate = 1000
    [sink.out]
    plugin = "file"
    path = "DIR/OUT"
"#;

#[test]
fn valid_changes_take_effect_and_files_can_be_added_and_removed() {
    let files = Files::new(&[("a.toml", &TICKS.replace("OUT", "one"))]);
    let mut running = files.call().start();
    until("the first file", || files.lines("one") > 10);
    files.write("a.toml", &TICKS.replace("OUT", "two"));
    files.write("b.toml", &TICKS.replace("OUT", "three"));
    assert!(reload(&running, 1).ends_with("reloaded: 1 changed, 1 added, 0 removed, 0 untouched"));
    let first = files.lines("one");
    until("the others", || files.lines("two") > 10 && files.lines("three") > 10);
    assert_eq!(files.lines("one"), first, "nothing is written to the old one");
    std::fs::remove_file(files.pipelines().join("b.toml")).unwrap();
    assert!(reload(&running, 2).ends_with("reloaded: 0 changed, 0 added, 1 removed, 1 untouched"));
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn an_invalid_file_changes_nothing_and_the_log_says_why() {
    let files = Files::new(&[("a.toml", &TICKS.replace("OUT", "one"))]);
    let mut running = files.call().arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin listening on");
    let metric = |line: &str| http(admin, "GET /metrics", "", b"").body.lines().any(|one| one == line);
    assert!(metric("tidegate_last_reload_success 1"));
    files.write("a.toml", &TICKS.replace("OUT", "two").replace("rate =", "rat ="));
    files.write("b.toml", "[source.x]\nplugin = \"nothing\"\n");
    running.signal("HUP");
    running.wait_for("reload refused: 3 errors in the pipeline files; the pipelines run on as they were");
    for said in ["`rat` is not an option", "did you mean `rate`?", "b.toml:2:10", "no sink"] {
        running.wait_for(said);
    }
    let before = files.lines("one");
    until("it runs on", || files.lines("one") > before + 10);
    assert!(!files.at("two").exists());
    assert!(
        metric("tidegate_last_reload_success 0") && metric(r#"tidegate_reloads_total{outcome="refused"} 1"#)
    );
    files.write("a.toml", &TICKS.replace("OUT", "two"));
    std::fs::remove_file(files.pipelines().join("b.toml")).unwrap();
    reload(&running, 1);
    until("the new file", || files.lines("two") > 10);
    let status: Value = serde_json::from_str(&http(admin, "GET /status", "", b"").body).unwrap();
    let reloads = &status["reloads"];
    assert_eq!((&reloads["done"], &reloads["refused"]), (&1.into(), &1.into()));
    assert_eq!(reloads["last"]["outcome"], "done");
    assert!(reloads["last"]["message"].as_str().unwrap().starts_with("1 changed"), "{reloads}");
    assert!(reloads["last"]["time"].as_str().unwrap().ends_with('Z'), "{reloads}");
    assert!(metric("tidegate_last_reload_success 1"));
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn sink_that_cannot_be_opened_is_refused_and_a_dead_one_is_removed() {
    let dead = format!(
        "[pipeline]\ndrain_timeout = \"1s\"\n[source.ticks]\nplugin = \"generate\"\nline = \"x\"\nrate = 100\n[sink.out]\nplugin = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\ncommand = \"rpush\"\nkey = \"k\"\n",
        free_port()
    );
    let files = Files::new(&[("a.toml", &TICKS.replace("OUT", "one"))]);
    let mut running = files.call().start();
    until("the first file", || files.lines("one") > 10);
    files.write("a.toml", &dead);
    running.signal("HUP");
    let refused = running.wait_for("reload refused: ");
    assert!(refused.contains("pipeline `a`: the sink `out` cannot be opened: "), "{refused}");
    let before = files.lines("one");
    until("it runs on", || files.lines("one") > before + 10);
    running.signal("TERM");
    running.end().expect(0);

    let files = Files::new(&[("a.toml", &dead)]);
    let mut running = files.call().start();
    running.wait_for("tries again");
    files.write("a.toml", &TICKS.replace("OUT", "two"));
    assert!(reload(&running, 1).contains("1 changed, 0 added"));
    until("the new file", || files.lines("two") > 10);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn unchanged_graph_keeps_its_connection_and_counts() {
    let api = Server::start(|_| Answer::json("[1]"));
    let poll = format!(
        "[source.poll]\nplugin = \"http_poll\"\nurl = \"{}\"\ninterval = \"20ms\"\n[sink.out]\nplugin = \"file\"\npath = \"DIR/polled\"\n",
        api.url("/")
    );
    let files = Files::new(&[("poll.toml", &poll), ("a.toml", &TICKS.replace("OUT", "0"))]);
    let mut running = files.call().arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin listening on");
    let polled = || {
        let status: Value = serde_json::from_str(&http(admin, "GET /status", "", b"").body).unwrap();
        let graphs = status["graphs"].as_array().unwrap();
        let poll = graphs.iter().find(|graph| graph["pipeline"] == "poll").unwrap();
        poll["components"][0]["events_out"].as_u64().unwrap()
    };
    let mut last = 0;
    for number in 1..=5 {
        until("polls", || polled() > last + 3);
        last = polled();
        files.write("a.toml", &TICKS.replace("OUT", &number.to_string()));
        assert!(reload(&running, number).ends_with("1 changed, 0 added, 0 removed, 1 untouched"));
        assert!(polled() >= last, "it goes on counting");
    }
    assert_eq!(api.connections(), 1);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn listening_source_reuses_its_port() {
    let port = free_port();
    let pipeline = |word: &str| {
        format!(
            "[source.ask]\nplugin = \"http_server\"\nlisten = \"127.0.0.1:{port}\"\npath = \"/ask\"\nrespond = \"result\"\nmethods = [\"GET\"]\n[filter.say]\nplugin = \"jq\"\nquery = '\"{word}\"'\n[sink.answer]\nplugin = \"http_response\"\n"
        )
    };
    let files = Files::new(&[("a.toml", &pipeline("one"))]);
    let mut running = files.call().start();
    let address = running.address("listening on");
    assert_eq!(http(address, "GET /ask", "", b"").body, "\"one\"");
    files.write("a.toml", &pipeline("two"));
    reload(&running, 1);
    assert_eq!(http(address, "GET /ask", "", b"").body, "\"two\"");
    // The same pipeline under another name is another one, which has to wait for the port.
    std::fs::rename(files.pipelines().join("a.toml"), files.pipelines().join("b.toml")).unwrap();
    assert!(reload(&running, 2).ends_with("reloaded: 0 changed, 1 added, 1 removed, 0 untouched"));
    assert_eq!(http(address, "GET /ask", "", b"").body, "\"two\"");
    running.signal("TERM");
    running.end().expect(0);
}

/// An endpoint whose answer is `word`, after a request to the server at `url`.
fn enriching_endpoint(port: u16, url: &str, word: &str) -> String {
    format!(
        r#"
        [source.ask]
        plugin = "http_server"
        listen = "127.0.0.1:{port}"
        respond = "result"
        [filter.up]
        plugin = "http"
        url = "{url}"
        into = "up"
        parallel = 64
        [filter.say]
        plugin = "jq"
        query = '"{word}"'
        [sink.answer]
        plugin = "http_response"
        "#
    )
}

#[test]
fn a_reload_refuses_no_connection_while_a_slow_request_is_pending() {
    let (asked, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let api = Server::start({
        let (asked, release) = (Arc::clone(&asked), Arc::clone(&release));
        move |request| {
            if request.target.contains("slow") {
                asked.store(true, Ordering::SeqCst);
                until("the slow request is released", || release.load(Ordering::SeqCst));
            }
            Answer::json("1")
        }
    });
    let port = free_port();
    let pipeline = |word: &str| enriching_endpoint(port, &api.url("/{.id}"), word);
    let files = Files::new(&[("a.toml", &pipeline("one"))]);
    let mut running = files.call().arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin listening on");
    running.wait_for(&format!("listening on 127.0.0.1:{port}"));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let post = move |body: &str| {
        let answer = http(address, "POST /events", "application/json", body.as_bytes());
        (answer.status, answer.body)
    };
    let slow = std::thread::spawn(move || post(r#"{"id":"slow"}"#));
    until("the slow request is pending", || asked.load(Ordering::SeqCst));
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut last = String::new();
                while !over.load(Ordering::SeqCst) {
                    // `http` fails if the connection is refused, or closed without an answer.
                    let (status, word) = post(r#"{"id":"fast"}"#);
                    assert_eq!(status, 200, "{word}");
                    done.fetch_add(1, Ordering::SeqCst);
                    last = word;
                }
                last
            })
        })
        .collect();
    until("clients are served", || done.load(Ordering::SeqCst) > 20);
    files.write("a.toml", &pipeline("two"));
    running.signal("HUP");
    until("the old graph drains", || {
        let status: Value = serde_json::from_str(&http(admin, "GET /status", "", b"").body).unwrap();
        status["graphs"][0]["state"] == "draining"
    });
    drop(std::net::TcpStream::connect(address).expect("connections are taken while the old graph drains"));
    release.store(true, Ordering::SeqCst);
    running.wait_for("reloaded: 1 changed");
    assert_eq!(slow.join().unwrap(), (200, "\"one\"".to_owned()), "the old graph finishes its requests");
    let before = done.load(Ordering::SeqCst);
    until("the new graph serves clients", || done.load(Ordering::SeqCst) > before + 20);
    over.store(true, Ordering::SeqCst);
    for client in clients {
        assert_eq!(client.join().unwrap(), "\"two\"");
    }
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn a_removed_or_moved_endpoint_gives_its_port_back() {
    let (port, other) = (free_port(), free_port());
    let pipeline = |port: u16| {
        format!(
            "[source.ask]\nplugin = \"http_server\"\nlisten = \"127.0.0.1:{port}\"\n[sink.out]\nplugin = \"blackhole\"\n"
        )
    };
    let files = Files::new(&[("a.toml", &pipeline(port)), ("b.toml", &TICKS.replace("OUT", "one"))]);
    let mut running = files.call().start();
    running.wait_for(&format!("listening on 127.0.0.1:{port}"));
    files.write("a.toml", &pipeline(other));
    reload(&running, 1);
    running.wait_for(&format!("listening on 127.0.0.1:{other}"));
    let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    until("the old port is free", || free(port));
    std::fs::remove_file(files.pipelines().join("a.toml")).unwrap();
    assert!(reload(&running, 2).contains("1 removed"));
    assert!(free(other), "at once, because no instance follows");
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn graph_that_does_not_start_is_replaced_by_the_old_one() {
    let input = "[source.lines]\nplugin = \"file\"\npath = \"DIR/in\"\nfollow = true\n";
    let sink = "[sink.out]\nplugin = \"file\"\npath = \"DIR/out\"\n";
    let files = Files::new(&[("a.toml", &format!("{input}{sink}"))]);
    std::fs::write(files.at("in"), "1\n").unwrap();
    let mut running = files.call().start();
    until("the first line", || files.lines("out") == 1);
    let missing = input.replace("DIR/in", "DIR/missing").replace("follow = true", "follow = false");
    files.write("a.toml", &format!("{missing}{sink}"));
    running.signal("HUP");
    let printed = running.wait_for("reload incomplete: ");
    assert!(
        printed.contains("`a` did not start (`lines`: ") && printed.contains("and runs as before"),
        "{printed}"
    );
    std::fs::write(files.at("in"), "1\n2\n").unwrap();
    until("the second line", || read(&files.at("out")) == "1\n2\n");
    running.signal("TERM");
    running.end().expect(0);
}

/// Makes a FIFO in place of a pipeline file. Opening it blocks until a process writes to it.
fn block(path: &Path) {
    std::fs::remove_file(path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn signals_are_answered_while_a_reload_cannot_read_a_file() {
    let files = Files::new(&[("a.toml", &TICKS.replace("OUT", "one"))]);
    let mut running = files.call().start();
    until("the first file", || files.lines("one") > 10);
    block(&files.pipelines().join("a.toml"));
    running.signal("HUP");
    running.wait_for("reloading the pipeline files");
    running.signal("TERM");
    running.wait_for("draining");
    running.end().expect(0);
}

#[test]
fn a_missing_library_of_the_command_line_is_not_waited_for() {
    let files = Files::new(&[("a.toml", &TICKS.replace("OUT", "one"))]);
    let ended = files.call().arg("--watch").arg("--plugin").arg("./none.so").end().expect(2);
    assert!(ended.stderr.contains("none.so"), "{}", ended.stderr);
}

#[test]
fn watched_files_are_reloaded_when_they_change_and_outlive_their_end() {
    let once = "[source.ticks]\nplugin = \"generate\"\nquery = '{n: $n}'\ncount = 10\n[sink.out]\nplugin = \"file\"\npath = \"DIR/OUT\"\n";
    let files = Files::new(&[("a.toml", &once.replace("OUT", "one"))]);
    let mut running = files.call().arg("--watch").start();
    running.wait_for("waiting for a changed file");
    assert_eq!(files.lines("one"), 10);
    files.write("a.toml", "[source.ticks]\n");
    running.wait_for("reload refused: ");
    files.write("a.toml", &once.replace("OUT", "two"));
    running.wait_for("reloaded: 1 changed");
    until("it has run again", || files.lines("two") == 10);
    files.write("b.toml", &TICKS.replace("OUT", "three"));
    running.wait_for("reloaded: 0 changed, 1 added, 0 removed, 1 untouched");
    until("the new pipeline", || files.lines("three") > 10);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn watched_file_that_is_wrong_at_the_start_runs_when_it_is_right() {
    let right = "[source.ticks]\nplugin = \"generate\"\nquery = '{n: $n}'\ncount = 10\n[sink.out]\nplugin = \"file\"\npath = \"DIR/one\"\n";
    let files = Files::new(&[("a.toml", "[source.ticks]\n")]);
    let mut running = files.call().arg("--watch").start();
    running.wait_for("waiting for the files to change");
    files.write("a.toml", "[source.tick]\nplugin = \"generate\"\n");
    running.wait_for_nth(2, "waiting for the files to change");
    files.write("a.toml", right);
    running.wait_for("waiting for a changed file");
    assert_eq!(files.lines("one"), 10);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn watched_file_that_stays_wrong_ends_with_its_exit_code() {
    let files = Files::new(&[("a.toml", "[source.ticks]\n")]);
    let mut running = files.call().arg("--watch").start();
    running.wait_for("waiting for the files to change");
    running.signal("TERM");
    running.end().expect(2);
}

/// Lost, duplicated and misplaced lines after `reloads` reloads of a pipeline that follows a growing file.
fn campaign(reloads: usize, delivery: &str) -> (u64, u64, u64, u64) {
    let pipeline = |number: usize| {
        format!(
            "[pipeline]\ndelivery = \"{delivery}\"\n[source.lines]\nplugin = \"file\"\npath = \"DIR/in\"\nfollow = true\n[filter.shape]\nplugin = \"jq\"\nquery = '. # {number}'\n[sink.out]\nplugin = \"file\"\npath = \"DIR/out\"\n"
        )
    };
    let files = Files::new(&[("a.toml", &pipeline(0))]);
    let mut input = std::fs::File::create(files.at("in")).unwrap();
    let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = std::thread::spawn({
        let (over, written) = (Arc::clone(&over), Arc::clone(&written));
        move || {
            while !over.load(Ordering::Relaxed) {
                let from = written.load(Ordering::Relaxed);
                let lines: String = (from..from + 500).map(|number| format!("{number}\n")).collect();
                input.write_all(lines.as_bytes()).unwrap();
                written.store(from + 500, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let mut running = files.call().start();
    let size = || std::fs::metadata(files.at("out")).map_or(0, |known| known.len());
    for number in 1..=reloads {
        let before = size();
        until("it goes on", || size() > before);
        files.write("a.toml", &pipeline(number));
        assert!(reload(&running, number).ends_with("reloaded: 1 changed, 0 added, 0 removed, 0 untouched"));
    }
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    let all = std::fs::metadata(files.at("in")).unwrap().len();
    until("everything is there", || size() >= all);
    running.signal("TERM");
    running.end().expect(0);
    let total = written.load(Ordering::Relaxed);
    let mut seen = vec![0_u64; total as usize];
    let (mut misplaced, mut last) = (0, None);
    for line in read(&files.at("out")).lines() {
        let number: u64 = line.parse().unwrap();
        seen[number as usize] += 1;
        misplaced += u64::from(last.is_some_and(|last| number <= last));
        last = Some(number);
    }
    let lost = seen.iter().filter(|count| **count == 0).count() as u64;
    let doubled = seen.iter().map(|count| count.saturating_sub(1)).sum();
    (total, lost, doubled, misplaced)
}

#[test]
fn twenty_reloads_under_load_neither_lose_nor_duplicate() {
    for delivery in ["at_least_once", "effectively_once"] {
        let (total, lost, doubled, misplaced) = campaign(20, delivery);
        assert_eq!((lost, doubled, misplaced), (0, 0, 0), "of {total}, {delivery}");
    }
}

/// `./tests/run five_hundred_reloads -- --ignored --nocapture` prints the counts.
#[test]
#[ignore = "a campaign of minutes"]
#[allow(clippy::print_stdout, reason = "its findings are for who started it")]
fn five_hundred_reloads_under_load() {
    for delivery in ["at_least_once", "effectively_once"] {
        let (total, lost, doubled, misplaced) = campaign(500, delivery);
        println!(
            "500 reloads, {delivery}, {total} events: {lost} lost, {doubled} doubled, {misplaced} misplaced"
        );
        assert_eq!((lost, doubled, misplaced), (0, 0, 0));
    }
}
