//! Endpoints: concurrent requests, cancelled requests, bad requests, and the checks of `check`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::harness::{LIMIT, Running, Tidegate, free_port, http, until};

/// A server with a thread for each request. `answer` returns the status.
fn upstream(answer: impl Fn(&str) -> u16 + Send + Sync + 'static) -> SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut first = String::new();
                    if reader.read_line(&mut first).unwrap_or(0) == 0 {
                        return;
                    }
                    let mut line = String::new();
                    while reader.read_line(&mut line).unwrap_or(0) > 2 {
                        line.clear();
                    }
                    let status = answer(first.split(' ').nth(1).unwrap_or_default());
                    let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 6\r\n\r\n\"done\"");
                    if reader.get_mut().write_all(text.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// An endpoint that calls the upstream for each request, and its address.
fn endpoint(upstream: SocketAddr, server: &str, filter: &str) -> (Running, SocketAddr) {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let running = Tidegate::pipeline(&format!(
        r#"
        [source.api]
        plugin = "http_server"
        listen = "{listen}"
        respond = "result"
        {server}
        [filter.ask]
        plugin = "http"
        url = "http://{upstream}/{{.id}}"
        into = "answer"
        {filter}
        [sink.answer]
        plugin = "http_response"
        "#
    ))
    .start();
    running.wait_for(&format!("listening on {listen}"));
    (running, listen)
}

fn post(address: SocketAddr, body: &str) -> (u16, String) {
    let answer = http(address, "POST /events", "application/json", body.as_bytes());
    (answer.status, answer.body)
}

#[test]
fn twenty_clients_are_served_at_once() {
    const CLIENTS: usize = 20;
    // The upstream responds only after all twenty requests have arrived.
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let upstream = upstream(move |_| {
        barrier.wait();
        200
    });
    let (running, address) = endpoint(upstream, "", &format!("parallel = {CLIENTS}"));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let expected = format!(r#"{{"id":{client},"answer":"done"}}"#);
                assert_eq!(post(address, &format!(r#"{{"id":{client}}}"#)), (200, expected));
            });
        }
    });
    running.signal("TERM");
}

#[test]
fn request_that_never_succeeds_blocks_no_other_and_ends_with_its_client() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let upstream = upstream(move |path| {
        if path != "/bad" {
            return 200;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        500
    });
    // By default, retries have no limit. The limit is the time that the test takes, and longer than a busy machine needs for
    // a few retries and a response.
    for (parallel, time_limit) in [("parallel = 1", "5s"), ("", "6s")] {
        let retry = "retry = { base = \"1ms\", cap = \"1ms\" }";
        let server = format!("time_limit = \"{time_limit}\"");
        let (mut running, address) = endpoint(upstream, &server, &format!("{parallel}\n{retry}"));
        let bad = std::thread::spawn(move || post(address, r#"{"id":"bad"}"#));
        until("it is retried", || asked.load(Ordering::SeqCst) >= 5);
        assert_eq!(post(address, r#"{"id":"good"}"#).0, 200, "{parallel}");
        let (status, body) = bad.join().unwrap();
        assert!(status == 504 && body.contains("cancelled"), "{status} {body}");
        running.signal("TERM");
        running.end().expect(0);
        let before = asked.swap(0, Ordering::SeqCst);
        assert!(before >= 5);
    }
}

/// A former limit of bad requests stopped the pipeline after 101 of them.
#[test]
fn bad_requests_stop_nothing_and_leave_no_dead_letters() {
    for (respond, on_reject) in
        [("result", ""), ("delivered", "on_reject = \"dead_letter\""), ("delivered", "on_reject = \"stop\"")]
    {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let sink = if respond == "result" { "http_response" } else { "blackhole" };
        let call = Tidegate::pipeline(&format!(
            r#"
            [source.api]
            plugin = "http_server"
            listen = "{listen}"
            respond = "{respond}"
            [filter.number]
            plugin = "jq"
            query = '{{n: (.n|tonumber)}}'
            {on_reject}
            [sink.out]
            plugin = "{sink}"
            "#
        ));
        let mut running = call.arg("--admin").arg("127.0.0.1:0").start();
        let admin = running.address("admin listening on");
        running.wait_for(&format!("listening on {listen}"));
        for _ in 0..150 {
            assert_eq!(post(listen, r#"{"n":"x"}"#).0, 422, "{respond} {on_reject}");
        }
        assert_eq!(post(listen, r#"{"n":"7"}"#).0, 200, "{respond} {on_reject}");
        assert_eq!(http(admin, "GET /healthz", "", b"").status, 200);
        assert_eq!(http(admin, "GET /readyz", "", b"").status, 200);
        let metrics = http(admin, "GET /metrics", "", b"").body;
        let kept = metrics.lines().find(|line| {
            line.starts_with("tidegate_dead_letters_total{") && line.contains("component=\"number\"")
        });
        let kept: usize = kept.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(kept, if on_reject.contains("dead_letter") { 100 } else { 0 }, "{respond} {on_reject}");
        let line = running.wait_for("rejected 1 event; the latest reason");
        assert!(line.contains("WARN") && line.contains("number"), "{line}");
        running.signal("TERM");
        running.end().expect(0);
    }
}

#[test]
fn accepted_requests_become_dead_letters_within_the_budget_and_stop_nothing() {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut running = Tidegate::pipeline(&format!(
        r#"
        [source.api]
        plugin = "http_server"
        listen = "{listen}"
        respond = "accepted"
        [filter.number]
        plugin = "jq"
        query = '.n|tonumber'
        [sink.out]
        plugin = "stdout"
        "#
    ))
    .start();
    running.wait_for(&format!("listening on {listen}"));
    for number in 0..150 {
        assert_eq!(post(listen, r#"{"n":"x"}"#).0, 202);
        if number == 149 {
            assert_eq!(post(listen, r#"{"n":"7"}"#).0, 202);
        }
    }
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert_eq!(ended.lines(), ["7"]);
    assert!(ended.stderr.contains("did not keep"), "{}", ended.stderr);
    assert!(ended.stderr.contains("100 dead letters"), "{}", ended.stderr);
}

#[test]
fn a_pipeline_that_waits_for_a_restart_is_not_alive() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    std::fs::write(&input, "x\n".repeat(150)).unwrap();
    let mut running = Tidegate::pipeline(&format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{}"
        follow = true
        [filter.number]
        plugin = "jq"
        query = 'tonumber'
        [sink.out]
        plugin = "blackhole"
        "#,
        input.display()
    ))
    .arg("--admin")
    .arg("127.0.0.1:0")
    .start();
    let admin = running.address("admin listening on");
    let mut answer = http(admin, "GET /healthz", "", b"");
    until("it is blocked", || {
        answer = http(admin, "GET /healthz", "", b"");
        answer.status == 503
    });
    assert!(answer.body.contains("`number` is blocked: too many dead letters"), "{}", answer.body);
    assert_eq!(http(admin, "GET /readyz", "", b"").status, 503);
    running.signal("TERM");
    let ended = running.end().expect(3);
    assert!(ended.stderr.contains("not delivered"), "{ended:?}");
}

#[test]
fn output_of_a_command_before_its_failure_is_delivered() {
    for (filter, lines) in
        [("", 200_000), ("[filter.f]\nplugin = \"jq\"\nquery = 'select(. > 0)'\nworkers = 3", 200_000)]
    {
        let pipeline = format!(
            "[source.seq]\nplugin = \"exec\"\nmode = \"once\"\ncommand = [\"sh\", \"-c\", \"seq {lines}; exit 3\"]\n{filter}\n\
             [sink.out]\nplugin = \"stdout\"\n"
        );
        let ended = Tidegate::pipeline(&pipeline).end().expect(1);
        assert!(ended.stderr.contains("exit status 3"), "{}", ended.stderr);
        let mut expected = 1;
        for line in ended.stdout.lines() {
            assert_eq!(line, expected.to_string());
            expected += 1;
        }
        assert_eq!(expected, lines + 1);
    }
}

/// Answers requests with this status and body, on a thread of its own.
fn serve(listener: TcpListener, status: u16, body: &'static str) {
    use std::io::{Read, Write};
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok() {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
                drop(stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()));
            }
        }
    });
}

#[test]
fn clients_do_not_see_the_reasons_of_components_that_call_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    serve(listener, 422, "the password of db7 is wrong");
    let (mut running, address) = endpoint(upstream, "", "");
    let (status, body) = post(address, r#"{"id":"inner"}"#);
    let expected = r#"{"error":"`ask` could not process it; the log of the server has the reason"}"#;
    assert_eq!((status, body.as_str()), (422, expected));
    let line = running.wait_for("rejected 1 event; the latest reason");
    assert!(line.contains("db7") && line.contains(&format!("{upstream}/inner")), "{line}");
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn clients_see_the_reasons_of_plain_filters_but_not_of_sinks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    serve(listener, 422, "the password of db7 is wrong");
    for target in [format!("http://{upstream}/inner"), format!("http://127.0.0.1:{}/inner", free_port())] {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Tidegate::pipeline(&format!(
            r#"
            [source.api]
            plugin = "http_server"
            listen = "{listen}"
            [filter.number]
            plugin = "jq"
            query = '.n | tonumber'
            [sink.out]
            plugin = "http"
            url = "{target}"
            format = "single"
            retry = {{ attempts = 2, base = "1ms" }}
            "#
        ))
        .start();
        running.wait_for(&format!("listening on {listen}"));
        let (status, body) = post(listen, r#"{"n":"7"}"#);
        assert_eq!(status, 422, "{body}");
        assert!(body.contains("`out` could not process it") && !body.contains("127.0.0.1"), "{body}");
        let line = running.wait_for("rejected 1 event; the latest reason");
        assert!(line.contains(&target), "{line}");
        let (status, body) = post(listen, r#"{"n":"x"}"#);
        assert!(status == 422 && body.contains("number"), "{body}");
        running.signal("TERM");
        running.end().expect(0);
    }
}

#[test]
fn an_endpoint_stays_unready_between_requests_while_an_upstream_server_is_down() {
    let retries = [
        ("retry = { base = \"1ms\", cap = \"1ms\" }", "300ms", 504),
        ("retry = { attempts = 2, base = \"1ms\" }", "60s", 422),
    ];
    for (retry, time_limit, expected) in retries {
        let upstream = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let call = Tidegate::pipeline(&format!(
            r#"
            [source.api]
            plugin = "http_server"
            listen = "{listen}"
            respond = "result"
            time_limit = "{time_limit}"
            [filter.ask]
            plugin = "http"
            url = "http://{upstream}/{{.id}}"
            into = "answer"
            {retry}
            [sink.answer]
            plugin = "http_response"
            "#
        ));
        let mut running = call.arg("--admin").arg("127.0.0.1:0").start();
        let admin = running.address("admin listening on");
        running.wait_for(&format!("listening on {listen}"));
        until("it is ready", || http(admin, "GET /readyz", "", b"").status == 200);
        assert_eq!(post(listen, r#"{"id":1}"#).0, expected);
        let ready = http(admin, "GET /readyz", "", b"");
        assert!(ready.status == 503 && ready.body.contains("ask"), "{retry}: {ready:?}");
        assert!(ready.body.contains("no connection"), "{retry}: {ready:?}");
        serve(TcpListener::bind(upstream).unwrap(), 200, "2");
        until("the server is asked again", || post(listen, r#"{"id":1}"#).0 == 200);
        assert_eq!(http(admin, "GET /readyz", "", b"").status, 200, "{retry}");
        running.signal("TERM");
        running.end().expect(0);
    }
}

fn check(folder: &Path, text: &str) -> (i32, String) {
    let path = folder.join("p.toml");
    std::fs::write(&path, text).unwrap();
    let ended = Tidegate::new(&["check"]).arg(path).end();
    (ended.code, ended.stdout + &ended.stderr)
}

#[test]
fn check_pairs_requests_with_answers() {
    let folder = tempfile::tempdir().unwrap();
    let source = |name: &str, respond: &str| {
        format!(
            "[source.{name}]\nplugin = \"http_server\"\nlisten = \"127.0.0.1:0\"\nrespond = \"{respond}\"\n"
        )
    };
    let answer = "[sink.answer]\nplugin = \"http_response\"\n";
    let hole = "[sink.hole]\nplugin = \"blackhole\"\n";
    let ticks = "[source.ticks]\nplugin = \"generate\"\nline = \"x\"\ninterval = \"1h\"\n";
    let both = "[sink.answer]\nplugin = \"http_response\"\nfrom = [\"api\", \"other\"]\n";
    let cases = [
        (source("api", "result") + answer, 0, ""),
        (source("api", "result") + answer + "[sink.log]\nplugin = \"blackhole\"\nfrom = \"api\"\n", 0, ""),
        (source("api", "delivered") + hole, 0, ""),
        (
            source("api", "result") + hole,
            2,
            "error[unanswered]: `api` waits for responses from a sink `http_response`",
        ),
        (
            source("api", "delivered") + answer,
            2,
            "error[nothing-to-answer]: `answer` answers requests, and `api`",
        ),
        (source("api", "accepted") + answer, 2, "error[nothing-to-answer]"),
        (ticks.to_owned() + answer, 2, "and `ticks` upstream of it waits for no response"),
        (source("api", "result") + &source("other", "delivered") + both, 2, "and `other` upstream of it"),
    ];
    for (text, code, message) in cases {
        let (found, printed) = check(folder.path(), &text);
        assert_eq!(found, code, "{text}\n{printed}");
        assert!(printed.contains(message), "{printed}");
    }
}

#[test]
fn each_pipeline_has_its_own_duration() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let short = write(
        "short.toml",
        "[source.a]\nplugin = \"generate\"\nline = \"x\"\ncount = 1\n[sink.b]\nplugin = \"blackhole\"\n",
    );
    let long = write(
        "long.toml",
        &format!(
            "[source.a]\nplugin = \"exec\"\nmode = \"once\"\ncommand = [\"sh\", \"-c\", \"until [ -e {} ]; do sleep 0.01; done; sleep 1\"]\n\
             [sink.b]\nplugin = \"blackhole\"\n",
            folder.path().join("go").display()
        ),
    );
    let started = Instant::now();
    let call = Tidegate::run(&[&short, &long]).args(["--log-format", "json", "--admin", "127.0.0.1:0"]);
    let mut running = call.start();
    let admin = running.address("admin listening on");
    until("the short pipeline is over", || {
        let body = http(admin, "GET /status", "", b"").body;
        let status: serde_json::Value = serde_json::from_str(&body).unwrap();
        let graphs = status["graphs"].as_array().unwrap();
        graphs.iter().any(|graph| graph["pipeline"] == "short" && graph["state"] == "ended")
    });
    std::fs::write(folder.path().join("go"), "").unwrap();
    let ended = running.end().expect(0);
    let seconds = |name: &str| {
        let mut lines =
            ended.stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let line = lines
            .find(|line| line.to_string().contains("elapsed_seconds") && line.to_string().contains(name));
        let line = line.unwrap_or_else(|| panic!("{}", ended.stderr));
        let found = line.get("elapsed_seconds").or_else(|| line["fields"].get("elapsed_seconds"));
        found.and_then(serde_json::Value::as_f64).unwrap()
    };
    assert!(seconds("\"long\"") >= 1.0);
    assert!(seconds("\"short\"") < seconds("\"long\"") - 0.3, "{}", ended.stderr);
    assert!(started.elapsed() < LIMIT && Duration::from_secs(1) <= started.elapsed());
}
