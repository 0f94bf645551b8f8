//! Servers that the pipeline calls: a bad response affects only its own event, and a cursor is neither lost nor moved too
//! far.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{Ended, Tidegate, http, until};

/// A response: status, further header lines, body.
type Reply = (u16, String, String);

/// A server that records the targets of its requests.
struct Server {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(reply: impl Fn(&str, &[u8]) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let (reply, asked) = (Arc::new(reply), Arc::clone(&targets));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (reply, asked) = (Arc::clone(&reply), Arc::clone(&asked));
                std::thread::spawn(move || serve(stream, &*reply, &asked));
            }
        });
        Self { address, targets }
    }

    fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

/// Serves one connection until the client closes it.
fn serve(stream: TcpStream, reply: &dyn Fn(&str, &[u8]) -> Reply, asked: &Mutex<Vec<String>>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut target, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                return;
            }
            if target.is_none() {
                target = line.split(' ').nth(1).map(str::to_owned);
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let target = target.unwrap();
        asked.lock().unwrap().push(target.clone());
        let (status, headers, body) = reply(&target, &body);
        let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn plain(status: u16, body: impl Into<String>) -> Reply {
    (status, String::new(), body.into())
}

/// Runs a pipeline to its end, with its data in `folder`.
fn run(folder: &Path, pipeline: &str) -> Ended {
    let file = folder.join("test.toml");
    std::fs::write(&file, pipeline).unwrap();
    let data = folder.join("data");
    Tidegate::new(&["run", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]).end()
}

fn dead_letters(folder: &Path) -> String {
    let data = folder.join("data");
    Tidegate::new(&["dead-letters", "list", "--data-dir", data.to_str().unwrap()]).end().expect(0).stdout
}

#[test]
fn failed_look_up_does_not_affect_the_other_thousand() {
    let server = Server::start(|target, _| match target {
        "/17" => plain(500, "ill"),
        target => plain(200, target[1..].to_owned()),
    });
    let folder = tempfile::tempdir().unwrap();
    for (more, lines, given_up) in [("", 999, 1), ("on_error = \"pass\"", 1000, 0)] {
        let pipeline = format!(
            r#"
            [source.n]
            plugin = "generate"
            query = '{{id: $n}}'
            count = 1000
            [filter.ask]
            plugin = "http"
            url = "http://{}/{{.id}}"
            into = "r"
            retry = {{ attempts = 3, base = "1ms" }}
            {more}
            [filter.mark]
            plugin = "jq"
            query = '.error = $meta.attributes.http_error'
            [sink.out]
            plugin = "stdout"
            "#,
            server.address
        );
        std::fs::remove_dir_all(folder.path().join("data")).ok();
        let ended = run(folder.path(), &pipeline).expect(0);
        assert_eq!(ended.lines().len(), lines, "{}", ended.stderr);
        assert_eq!(ended.lines()[16], r#"{"id":16,"r":16,"error":null}"#);
        let listed = dead_letters(folder.path());
        assert_eq!(listed.matches("given up after 3 tries: GET").count(), given_up, "{listed}");
        let passed = ended.lines()[17].contains(r#""error":"given up after 3 tries: GET"#);
        assert_eq!(passed, given_up == 0, "{}", ended.lines()[17]);
    }
    assert_eq!(server.targets().iter().filter(|target| *target == "/17").count(), 6);
}

#[test]
fn failed_write_does_not_affect_the_others_and_their_order() {
    let server = Server::start(|_, body| if body == b"17" { plain(500, "ill") } else { plain(200, "") });
    let folder = tempfile::tempdir().unwrap();
    for parallel in [1, 8] {
        let pipeline = format!(
            r#"
            [source.n]
            plugin = "generate"
            query = '$n'
            count = 200
            [sink.send]
            plugin = "http"
            url = "http://{}/"
            format = "single"
            parallel = {parallel}
            retry = {{ attempts = 3, base = "1ms" }}
            "#,
            server.address
        );
        std::fs::remove_dir_all(folder.path().join("data")).ok();
        let before = server.targets().len();
        run(folder.path(), &pipeline).expect(0);
        let listed = dead_letters(folder.path());
        assert_eq!(listed.matches("given up after 3 tries: POST").count(), 1, "{listed}");
        assert_eq!(server.targets().len() - before, 202, "one is tried three times");
    }
}

/// Responds with the ids from 29 down to 0, ten to a page.
fn ids(target: &str) -> Reply {
    let parameter = |name: &str| {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<i64>().ok())
    };
    let since = parameter("since").unwrap_or(-1);
    let page = parameter("page").unwrap_or(1) as usize;
    let all = (0..30).rev().filter(|id| *id > since).map(|id| format!(r#"{{"id":{id}}}"#));
    let page: Vec<String> = all.skip((page - 1) * 10).take(10).collect();
    plain(200, format!("[{}]", page.join(",")))
}

#[test]
fn a_poll_that_is_run_several_times_keeps_its_cursor() {
    let server = Server::start(|target, _| ids(target));
    let folder = tempfile::tempdir().unwrap();
    for (more, counts) in [("", [30, 0, 0]), ("max_pages = 1", [10, 10, 10])] {
        let pipeline = format!(
            r#"
            [source.ids]
            plugin = "http_poll"
            url = "http://{}/ids"
            times = 1
            cursor = {{ from = ".id", parameter = "since" }}
            pagination = {{ kind = "page" }}
            {more}
            [sink.out]
            plugin = "stdout"
            "#,
            server.address
        );
        std::fs::remove_dir_all(folder.path().join("data")).ok();
        let mut all = Vec::new();
        for count in counts {
            let ended = run(folder.path(), &pipeline).expect(0);
            assert_eq!(ended.lines().len(), count, "{more}: {}", ended.stderr);
            assert_eq!(ended.stderr.contains("the poll is incomplete"), !more.is_empty(), "{}", ended.stderr);
            all.extend(ended.lines().into_iter().map(str::to_owned));
        }
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((all.len(), unique.len()), (30, 30), "{more}: each once");
    }
}

#[test]
fn a_wrong_kind_of_pagination_is_reported_if_the_page_may_be_full() {
    let server = Server::start(|_, _| plain(200, "[1,2,3]"));
    let folder = tempfile::tempdir().unwrap();
    for (kind, query, words) in [
        (r#"kind = "link""#, "?per_page=3", "no `Link` header"),
        (r#"kind = "cursor", from = ".next""#, "?per_page=3", "no `.next`"),
        (r#"kind = "link""#, "?per_page=100", ""),
        (r#"kind = "cursor", from = ".next""#, "", ""),
    ] {
        let pipeline = format!(
            r#"
            [source.ids]
            plugin = "http_poll"
            url = "http://{}/{query}"
            times = 1
            pagination = {{ {kind} }}
            [sink.out]
            plugin = "stdout"
            "#,
            server.address
        );
        let ended = run(folder.path(), &pipeline).expect(0);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("the only page"), !words.is_empty(), "{query}: {}", ended.stderr);
    }
}

/// The cursor is kept, so a later run with nothing but a full page of news does not warn again.
#[test]
fn a_run_that_resumes_from_a_cursor_does_not_doubt_its_pagination_again() {
    let server = Server::start(|_, _| plain(200, r#"[{"id":1},{"id":2}]"#));
    let folder = tempfile::tempdir().unwrap();
    let pipeline = format!(
        r#"
        [source.ids]
        plugin = "http_poll"
        url = "http://{}/?per_page=2"
        times = 1
        pagination = {{ kind = "link" }}
        cursor = {{ from = ".id", parameter = "since" }}
        [sink.out]
        plugin = "stdout"
        "#,
        server.address
    );
    for warns in [true, false, false] {
        let ended = run(folder.path(), &pipeline).expect(0);
        assert_eq!(ended.stderr.contains("the only page"), warns, "{}", ended.stderr);
    }
}

#[test]
fn a_poll_without_a_good_answer_is_unready_and_in_the_log() {
    let server = Server::start(|_, _| plain(200, "<html>"));
    let pipeline = format!(
        r#"
        [source.users]
        plugin = "http_poll"
        url = "http://{}/"
        interval = "20ms"
        [sink.out]
        plugin = "blackhole"
        [pipeline]
        dead_letters = {{ share = 0, per_minute = 0 }}
        "#,
        server.address
    );
    let running = Tidegate::pipeline(&pipeline).arg("--admin").arg("127.0.0.1:0").start();
    let address = running.address("admin listening on");
    assert!(running.wait_for("a response is unusable").contains("malformed JSON"));
    until("readiness says why", || {
        let ready = http(address, "GET /readyz", "", b"");
        let body: Value = serde_json::from_str(&ready.body).unwrap();
        ready.status == 503 && body.to_string().contains("no response of the last poll was usable")
    });
}

#[test]
fn a_pause_of_an_hour_is_kept() {
    for code in [403, 429, 503] {
        let server =
            Server::start(move |_, _| (code, "retry-after: 3600\r\n".to_owned(), "slow down".to_owned()));
        let pipeline = format!(
            r#"
            [source.users]
            plugin = "http_poll"
            url = "http://{}/"
            interval = "1s"
            [sink.out]
            plugin = "blackhole"
            "#,
            server.address
        );
        let mut running = Tidegate::pipeline(&pipeline).start();
        let line = running.wait_for(&format!("answered {code}"));
        assert!(line.contains("in 3600.0 s"), "{line}");
        running.signal("TERM");
        running.end().expect(0);
    }
}

#[test]
fn a_query_parameter_beside_a_body_is_a_warning_of_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.toml");
    let pipeline = r#"
        [source.users]
        plugin = "http_poll"
        url = "https://api.example.com/graphql"
        interval = "60s"
        method = "POST"
        body = '{"query":"{users{id}}"}'
        pagination = { kind = "cursor", from = ".data.next" }
        [sink.out]
        plugin = "stdout"
    "#;
    std::fs::write(&file, pipeline).unwrap();
    let ended = Tidegate::new(&["check", file.to_str().unwrap()]).end().expect(0);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("this request has a body") && said.contains("body_path"), "{said}");
}
