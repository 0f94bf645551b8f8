//! Readiness of every plugin.

use tidegate_servers::redis::Redis;

use crate::harness::{Tidegate, free_port, http, until};

/// Kind, name and options of each plugin. `{redis}`, `{port}` and `{folder}` are placeholders.
const PLUGINS: &[(&str, &str, &str)] = &[
    ("source", "exec", "command = [\"sh\", \"-c\", \"echo 1; exec sleep 600\"]\nmode = \"keep_running\""),
    ("source", "file", "path = \"{folder}/in\"\nfollow = true"),
    ("source", "generate", "line = \"1\"\ninterval = \"1h\""),
    ("source", "http_poll", "url = \"http://127.0.0.1:{port}/poll\"\ninterval = \"1h\""),
    ("source", "http_server", "listen = \"127.0.0.1:0\""),
    ("source", "redis_stream", "url = \"{redis}\"\nstream = \"s\"\ngroup = \"g\""),
    ("source", "stdin", ""),
    ("filter", "dedupe", ""),
    ("filter", "exec", "command = [\"cat\"]"),
    ("filter", "http", "url = \"http://127.0.0.1:{port}/ask\"\nreplace = true"),
    ("filter", "jq", "query = \".\""),
    ("filter", "parse", "format = \"logfmt\""),
    ("filter", "route", "routes = { all = \"true\" }"),
    ("filter", "sample", "one_in = 2"),
    ("filter", "throttle", "events = 1000"),
    ("sink", "blackhole", ""),
    ("sink", "file", "path = \"{folder}/out\""),
    ("sink", "http", "url = \"http://127.0.0.1:{port}/send\""),
    ("sink", "http_response", ""),
    ("sink", "metric", "name = \"events_seen_total\""),
    ("sink", "redis", "url = \"{redis}\"\ncommand = \"rpush\"\nkey = \"list\""),
    ("sink", "stdout", ""),
];

/// A pipeline of this plugin and others that are known to become ready.
fn pipeline(kind: &str, plugin: &str, options: &str) -> String {
    let respond = if plugin == "http_response" { "respond = \"result\"" } else { "" };
    let quiet = format!("[source.in]\nplugin = \"http_server\"\nlisten = \"127.0.0.1:0\"\n{respond}\n");
    let tested = format!("[{kind}.tested]\nplugin = \"{plugin}\"\n{options}\n");
    let hole = "[sink.hole]\nplugin = \"blackhole\"\n";
    match kind {
        "source" => tested + hole,
        // With a source, downstream of a fan-out, and with workers.
        "filter" => {
            let more = ["fan", "many"].map(|name| {
                let workers = if name == "many" { "workers = 2\n" } else { "" };
                format!("[filter.{name}]\nplugin = \"{plugin}\"\nfrom = \"in\"\n{workers}{options}\n")
            });
            let from = "from = [\"tested\", \"fan\", \"many\"]\n";
            let alone = tested.replace("plugin =", "from = \"single\"\nplugin =");
            let single = quiet.replace("source.in", "source.single");
            quiet + &single + &alone + &more.concat() + hole + from
        }
        _ => quiet + &tested,
    }
}

#[test]
fn every_plugin_becomes_ready() {
    let listed = Tidegate::new(&["plugins"]).end().expect(0);
    let rows = listed.lines().into_iter().skip(1).map_while(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    let known: Vec<(String, String)> = rows.collect();
    assert!(known.len() > 20, "{listed:?}");
    for (kind, name) in &known {
        assert!(PLUGINS.iter().any(|(k, n, _)| k == kind && n == name), "{kind} {name} is not in the table");
    }
    let redis = Redis::start();
    // Another pipeline is the server of the HTTP plugins.
    let port = free_port();
    let server = format!(
        "[source.s]\nplugin = \"http_server\"\nlisten = \"127.0.0.1:{port}\"\npath = \"/*\"\nmethods = [\"GET\", \"POST\"]\n\
         respond = \"result\"\nanswer_as = \"array\"\n[sink.r]\nplugin = \"http_response\"\n"
    );
    let upstream = Tidegate::pipeline(&server).start();
    upstream.wait_for(&format!("listening on 127.0.0.1:{port}"));
    for (kind, plugin, options) in PLUGINS {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in"), "1\n").unwrap();
        let options = options
            .replace("{folder}", &folder.path().display().to_string())
            .replace("{port}", &port.to_string())
            .replace("{redis}", redis.url().as_ref());
        let mut running = Tidegate::pipeline(&pipeline(kind, plugin, &options))
            .arg("--admin")
            .arg("127.0.0.1:0")
            .start_open();
        let admin = running.address("admin listening on");
        let mut last = String::new();
        until(&format!("{kind} {plugin} is ready"), || {
            let answer = http(admin, "GET /readyz", "", b"");
            if answer.body != last {
                last = answer.body.clone();
                eprintln!("{kind} {plugin}: {last}");
            }
            answer.status == 200
        });
        running.signal("TERM");
        running.end().expect(0);
    }
}
