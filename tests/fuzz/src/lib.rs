//! Fuzz targets: functions of arbitrary bytes that panic if an invariant is violated.
//!
//! A target opens no connection, never waits, and keeps no state between inputs except values built from constants.
//! `./run` calls them from libFuzzer; `tests/replay.rs` calls them with the inputs in `corpus/`.
//!
//! Read [`TARGETS`] first, then `framing` as an example.

mod files;
mod filters;
mod framing;
mod json;
mod network;
mod pipeline;
mod state;

/// The name of a target, its file in `targets/` and its folder in `corpus/`, and its function.
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
/// If no target has this name, or an invariant is violated.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("the target is in the list");
    target(bytes);
}

/// Splits off the first byte, which chooses a variant.
fn choice(bytes: &[u8]) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest))
}

/// Splits at the first line end.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
