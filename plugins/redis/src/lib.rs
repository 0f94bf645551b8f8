//! Events into streams, lists, sets, hashes, strings and channels of a Redis server (the sink `redis`), and out
//! of its streams (the source `redis_stream`).
//!
//! This crate never resends a command that was answered, never guesses what became of one that was not, and
//! never lets one bad event hold up the others. It speaks the protocol itself (`server::connection`) rather than
//! through a client library, because a client answers a broken pipeline as a whole, and here the fate of each
//! command in it counts.
//!
//! Read `sink::options::Options` first: the manual. Then `server::commands::Commands`, what a batch
//! becomes, and `server::verdict::Verdict`, what the server's answer to each of them means. `sink::transactional` is
//! where events and their position become one step.

#[doc(hidden)]
pub mod fuzzing;
mod server;
mod sink;
mod source;

use tidegate_sdk::Plugin;

const SAMPLE: &str = r#"[sink.stream]
plugin = "redis"
url = "redis://127.0.0.1:6379"
command = "xadd"
key = "users:active"
maxlen = 1_000_000
"#;

const STREAM_SAMPLE: &str = r#"[source.users]
plugin = "redis_stream"
url = "redis://127.0.0.1:6379"
stream = "users:active"
group = "tidegate"
"#;

/// What this crate adds to the registry.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::source(
            "redis_stream",
            "reads a Redis stream as one of a consumer group",
            STREAM_SAMPLE,
            source::RedisStream::new,
        ),
        Plugin::sink(
            "redis",
            "writes events into a Redis stream, list, set, hash, string or channel",
            SAMPLE,
            sink::RedisSink::new,
        ),
    ]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
