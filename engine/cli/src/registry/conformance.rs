//! Conformance tests of every built-in plugin.

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_sdk::{Component, Kind, Plugin};
use tidegate_servers::http::{Answer, Server};
use tidegate_servers::redis::Redis;
use tidegate_testkit::conformance;

use crate::registry::builtin;

const USERS: &str = r#"[{"id":1,"name":"Ada"},{"id":2,"name":"Grace"},{"id":3,"name":"Mary"}]"#;
const SAMPLES: [&[u8]; 3] = [br#"{"id":1,"name":"Ada"}"#, br#"{"id":2,"name":"Grace"}"#, br#"{"id":1}"#];
const LOG: &[u8] = br#"203.0.113.9 - ada [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8""#;

/// Servers and files that the plugins are tested against.
struct World {
    folder: TempDir,
    redis: Redis,
    api: Server,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            redis: Redis::start(),
            api: Server::start(|_| Answer::json(USERS)),
        };
        std::fs::write(world.path("lines"), "1\n2\n3\n4\n5\n").unwrap();
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Options to test a plugin with and, for a source, the number of its events.
    fn tries(&self, plugin: &Plugin) -> Vec<(Value, usize)> {
        let redis = self.redis.url();
        let one = |options: Value, events: usize| vec![(options, events)];
        match (plugin.kind(), plugin.name()) {
            (Kind::Source, "exec") => one(json!({ "command": ["sh", "-c", "printf '1\\n2\\n3\\n'"] }), 3),
            (Kind::Source, "file") => one(json!({ "path": self.path("lines") }), 5),
            (Kind::Source, "generate") => {
                vec![(json!({ "query": "$n", "count": 20 }), 20), (json!({ "line": "x", "count": 9 }), 9)]
            }
            (Kind::Source, "http_poll") => {
                one(json!({ "url": self.api.url("/"), "interval": "1h", "times": 1 }), 3)
            }
            (Kind::Filter, "jq") => {
                let fast = json!({ "query": "select(.id == 1) | {name}" });
                vec![(fast, 0), (json!({ "query": "., .name, (.id | tostring | ascii_downcase)" }), 0)]
            }
            (Kind::Filter, "route") => one(json!({ "routes": { "one": ".id == 1" } }), 0),
            (Kind::Filter, "parse") => vec![
                (json!({ "format": "combined" }), 0),
                (json!({ "format": "json" }), 0),
                (json!({ "format": "logfmt" }), 0),
                (json!({ "format": "syslog" }), 0),
                (json!({ "format": "csv", "columns": ["a", "b"] }), 0),
                (json!({ "format": "regex", "pattern": "^(?<all>.*)$" }), 0),
            ],
            (Kind::Filter, "dedupe") => one(json!({ "key": ".id" }), 0),
            (Kind::Filter, "throttle") => vec![
                (json!({ "events": 1_000_000, "per": "1s" }), 0),
                (json!({ "events": 1, "per": "1h", "excess": "drop" }), 0),
            ],
            (Kind::Filter, "sample") => {
                vec![(json!({ "one_in": 2 }), 0), (json!({ "one_in": 2, "key": ".id" }), 0)]
            }
            (Kind::Filter, "http") => {
                one(json!({ "url": self.api.url("/"), "replace": true, "split": true }), 0)
            }
            (Kind::Filter, "exec") => one(json!({ "command": ["cat"] }), 0),
            (Kind::Sink, "stdout") => Vec::new(),
            (Kind::Sink, "file") => one(json!({ "path": self.path("out.jsonl") }), 0),
            (Kind::Sink, "redis") => vec![
                (json!({ "url": redis, "command": "rpush", "key": "list" }), 0),
                (json!({ "url": redis, "command": "xadd", "key": "stream" }), 0),
                (json!({ "url": redis, "command": "set", "key": "user:{.id}" }), 0),
            ],
            (Kind::Sink, "http") => one(json!({ "url": self.api.url("/"), "format": "json_array" }), 0),
            (Kind::Sink, "blackhole") => one(json!({}), 0),
            (Kind::Sink, "metric") => one(json!({ "name": "events_total" }), 0),
            // Standard streams, requests and other consumers of a group drive these. Their own crates test them; here
            // only their manuals are tested.
            (_, "stdin" | "http_server" | "redis_stream" | "http_response") => Vec::new(),
            (kind, name) => panic!("the {kind} {name} is not tried: add it here"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_built_in_plugin_conforms() {
    let world = World::new();
    let samples: Vec<&[u8]> = SAMPLES.into_iter().chain([LOG]).collect();
    let registry = builtin::registry();
    for plugin in registry.iter() {
        conformance::plugin(plugin);
        for (options, events) in world.tries(plugin) {
            let built = plugin.build(&options);
            let built = built.unwrap_or_else(|error| panic!("{}: {error}", plugin.name()));
            match built {
                Component::Source(_) => conformance::source(plugin, &options, events).await,
                Component::Filter(_) => conformance::filter(plugin, &options, &samples),
                Component::AsyncFilter(_) => conformance::async_filter(plugin, &options, &samples).await,
                Component::Sink(_) => conformance::sink(plugin, &options, &SAMPLES).await,
            }
        }
    }
}
