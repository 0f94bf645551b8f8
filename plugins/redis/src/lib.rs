//! The sink `redis` writes events into streams, lists, sets, hashes, strings and channels of a Redis server. The source
//! `redis_stream` reads its streams.
//!
//! This crate never resends a command that was answered, never guesses the fate of one that was not, and never lets one
//! bad event block the others. It speaks the protocol itself (`server::connection`): a client library reports a broken
//! pipeline as a whole, and here the fate of each command counts.
//!
//! Start reading at `sink::options::Options`, the manual. `sink::plan` turns a batch into commands, `server::verdict`
//! gives each reply its meaning, and `sink::transactional` stores events and their position in one step.

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

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::source(
            "redis_stream",
            "reads a Redis stream, as one of a consumer group or by the ids of its entries",
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
