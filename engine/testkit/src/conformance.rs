//! The rules of every plugin, as functions for tests: one for each kind of plugin.
//!
//! ```no_run
//! # let plugin: tidegate_sdk::Plugin = unimplemented!();
//! use serde_json::json;
//! tidegate_testkit::conformance::filter(&plugin, &json!({ "key": ".id" }), &[b"{\"id\":1}", b"{\"id\":2}"]);
//! ```
//!
//! Each first checks the manual ([`plugin`]), then runs the plugin on the given samples and on garbage. The first
//! broken rule panics with its name, as in ``filter `upper` breaks the rule "..."``.

mod domain;
mod filters;
mod manual;
mod sinks;
mod sources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_sdk::{Batch, Kind, Plugin};

pub use domain::domain;
pub use filters::{async_filter, filter};
pub use manual::{plugin, sample_options};
pub use sinks::sink;
pub use sources::source;

/// Time limit of a call of a plugin that has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The rules of one plugin.
#[derive(Clone, Copy)]
struct Rules<'a> {
    kind: Kind,
    name: &'a str,
}

impl<'a> Rules<'a> {
    fn of(plugin: &'a Plugin) -> Self {
        Self { kind: plugin.kind(), name: plugin.name() }
    }

    /// Panics unless the rule is kept.
    #[track_caller]
    fn keeps(self, rule: &str, kept: bool, details: impl fmt::Display) {
        assert!(kept, "{} `{}` breaks the rule \"{rule}\": {details}", self.kind, self.name);
    }

    /// The result of `work`, which must not panic.
    fn no_panic<T>(self, what: &str, work: impl FnOnce() -> T) -> T {
        match std::panic::catch_unwind(AssertUnwindSafe(work)) {
            Ok(value) => value,
            Err(panic) => self.panicked(what, &*panic),
        }
    }

    /// The result of `work`, which must end in time and not panic.
    async fn ends<T>(self, what: &str, work: impl Future<Output = T>) -> T {
        match tokio::time::timeout(PATIENCE, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(value)) => value,
            Ok(Err(panic)) => self.panicked(what, &*panic),
            Err(_) => panic!(
                "{} `{}` breaks the rule \"every call ends in time\": {what} took over {PATIENCE:?}",
                self.kind, self.name
            ),
        }
    }

    fn panicked(self, what: &str, panic: &(dyn std::any::Any + Send)) -> ! {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        panic!("{} `{}` breaks the rule \"no event makes it panic\": {what}: {text}", self.kind, self.name)
    }
}

/// Malformed payloads, at which no plugin may fail.
fn garbage() -> Vec<Vec<u8>> {
    vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"\0".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"{\"a\": \"\xc3\x28\"}".to_vec(),
        b"[".repeat(1 << 20),
        br#"{"a": "\ud800"}"#.to_vec(),
        b"{\"a\": 1e400, \"a\": -0, \"b\": 18446744073709551616}".to_vec(),
        b"null".to_vec(),
        b"{\"a\": 1} trailing".to_vec(),
        b"line\nbreak\r\n".to_vec(),
        "\u{feff}{}".into(),
    ]
}

/// A batch as the second, third ... of a source called `test`, with a key and a time on each event.
fn numbered<P: AsRef<[u8]>>(payloads: &[P], sequence: u64) -> Batch {
    let mut builder = Batch::builder();
    for (index, payload) in payloads.iter().enumerate() {
        builder.push_copy(payload.as_ref());
        builder.key(format!("key {index}").as_bytes());
        builder.timestamp(1_700_000_000_000_000_000 + index as i64);
    }
    builder.finish().stamped(&Arc::from("test"), sequence)
}

/// Batches that differ in every property of a batch.
fn batches<P: AsRef<[u8]>>(samples: &[P]) -> Vec<Batch> {
    let garbage = garbage();
    let none: [&[u8]; 0] = [];
    let mut batches = vec![
        numbered(&none, 0),
        numbered(samples, 1),
        Batch::concat(&[numbered(samples, 2), numbered(&none, 3), numbered(samples, 4)]),
        numbered(&garbage, 5),
    ];
    batches.extend(garbage.iter().zip(6..).map(|(payload, sequence)| numbered(&[payload], sequence)));
    // After garbage, the plugin still works.
    batches.push(numbered(samples, 6 + garbage.len() as u64));
    // As after an upstream filter: fewer events, whose indices have gaps.
    let whole = numbered(samples, 7 + garbage.len() as u64);
    batches.push(whole.select((0..whole.len()).step_by(2)));
    batches
}
