//! `--admin`: metrics and health.

use serde_json::Value;

use crate::harness::{Tidegate, free_port, http, until};

#[test]
fn metrics_count_and_readiness_follows_the_components() {
    let closed = free_port();
    let pipeline = format!(
        r#"
        [source.ticks]
        plugin = "generate"
        line = "x"
        count = 1000
        [sink.well]
        plugin = "blackhole"
        [sink.ill]
        plugin = "redis"
        from = "ticks"
        url = "redis://127.0.0.1:{closed}"
        command = "rpush"
        key = "list"
        "#
    );
    let call = Tidegate::pipeline(&pipeline).arg("--admin").arg("127.0.0.1:0");
    let running = call.start();
    let address = running.address("admin listening on");
    assert_eq!(http(address, "GET /healthz", "", b"").status, 200);
    until("the sink that is well has everything", || {
        let metrics = http(address, "GET /metrics", "", b"").body;
        let line = metrics.lines().find(|line| {
            line.starts_with("tidegate_events_out_total{") && line.contains("component=\"well\"")
        });
        line.is_some_and(|line| line.ends_with(" 1000"))
    });
    let mut body = Value::Null;
    until("readiness names the sink that is ill", || {
        let ready = http(address, "GET /readyz", "", b"");
        assert_eq!(ready.status, 503, "{}", ready.body);
        body = serde_json::from_str(&ready.body).unwrap();
        body.to_string().contains("refused")
    });
    assert_eq!(http(address, "GET /elsewhere", "", b"").status, 404);
    assert_eq!(http(address, "POST /metrics", "text/plain", b"x").status, 405);
    // Every line is in the format of Prometheus: a name, labels, a number.
    for line in http(address, "GET /metrics", "", b"").body.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn all_ready_is_200() {
    let pipeline = r#"
        [source.ticks]
        plugin = "generate"
        line = "x"
        interval = "1h"
        [sink.well]
        plugin = "blackhole"
    "#;
    let mut running = Tidegate::pipeline(pipeline).arg("--admin").arg("127.0.0.1:0").start();
    let address = running.address("admin listening on");
    until("ready", || http(address, "GET /readyz", "", b"").status == 200);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn an_address_beyond_loopback_is_refused() {
    let pipeline =
        "[source.a]\nplugin = \"generate\"\nline = \"x\"\ncount = 1\n[sink.b]\nplugin = \"blackhole\"\n";
    let ended = Tidegate::pipeline(pipeline).arg("--admin").arg("0.0.0.0:0").end().expect(2);
    assert!(ended.stderr.contains("other machines"), "{}", ended.stderr);
}
