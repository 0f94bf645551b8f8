//! The fuzz targets: functions that are fed any bytes, and panic if a promise is broken.
//!
//! Never opens a connection, never waits, and keeps nothing from one input to the next but what is built of
//! constants. `./run` feeds them to libFuzzer; `tests/replay.rs` feeds them the inputs in `corpus/`.
//!
//! Read [`TARGETS`] first: all of them. Then `framing`, which shows what one looks like.

mod files;
mod filters;
mod framing;
mod json;
mod network;
mod pipeline;
mod state;

/// A target: its name, which is that of its file in `targets/` and of its folder in `corpus/`, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("answer", network::answer),
    ("checkpoint", state::checkpoint),
    ("csv", files::csv),
    ("dead_letter", state::dead_letter),
    ("elements", framing::elements),
    ("jq_input", filters::jq_input),
    ("jq_query", filters::jq_query),
    ("json", json::json),
    ("lines", framing::lines),
    ("packed", files::packed),
    ("parse", filters::parse),
    ("pipeline", pipeline::pipeline),
    ("redis", network::redis),
    ("request", network::request),
    ("template", json::template),
];

/// Runs one target.
///
/// # Panics
/// If there is none of this name, or a promise is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("the target is in the list");
    target(bytes);
}

/// The first byte, which chooses among a few ways, and the rest.
fn choice(bytes: &[u8]) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest))
}

/// What stands before the first line end, and what behind it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
