//! What the engine's keys on a component come to.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_sdk::{Capabilities, Kind};

use crate::component::draft::Draft;
use crate::diagnostic::Diagnostic;
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::keys::{EveryKeys, FilterKeys, SinkKeys};
use crate::topology::EngineOptions;

/// The engine's options from entries that were checked against the same structs.
pub(crate) fn engine_options(kind: Kind, own: &Table, workers: usize) -> EngineOptions {
    let json = Item { origin: Origin::File(0..0), data: Data::Table(own.clone()) }.json();
    let mut options = EngineOptions::default();
    if let Some(every) = parsed::<EveryKeys>(&json) {
        options.on_reject = every.on_reject;
    }
    match kind {
        Kind::Source => {}
        Kind::Filter => {
            if let Some(keys) = parsed::<FilterKeys>(&json) {
                options.workers = keys.workers.unwrap_or(workers);
                options.order = keys.order;
                options.retry = keys.retry;
            }
        }
        Kind::Sink => {
            if let Some(keys) = parsed::<SinkKeys>(&json) {
                options.batch = keys.batch;
                options.retry = keys.retry;
                options.concurrency = keys.concurrency;
                options.required = keys.required;
            }
        }
    }
    options
}

/// The keys that every component has, or what they are where they are not sound.
pub(crate) fn every(own: &Table) -> EveryKeys {
    let json = Item { origin: Origin::File(0..0), data: Data::Table(own.clone()) }.json();
    parsed(&json).unwrap_or_default()
}

fn parsed<T: DeserializeOwned>(json: &Value) -> Option<T> {
    T::deserialize(json).ok()
}

/// A key of the engine on a component of a kind that does not have it.
pub(crate) fn misplaced(kind: Kind, name: &str, entry: &Entry, kinds: &[Kind]) -> Diagnostic {
    let key = &entry.key;
    if key == "from" {
        let message = format!("`{name}` is a source, so nothing feeds it");
        return place(Diagnostic::error("misplaced-key", message), &entry.origin, "remove it");
    }
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind}s")).collect();
    let message = format!("`{key}` belongs to {}, and `{name}` is a {kind}", kinds.join(" and "));
    place(
        Diagnostic::error("misplaced-key", message),
        &entry.origin,
        "remove it, or move it to where it belongs",
    )
}

/// Engine keys that do nothing for this component.
pub(crate) fn idle_keys(
    capabilities: &Capabilities,
    draft: &Draft,
    own: &Table,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let name = &draft.name;
    let Capabilities { forks, waits, at_once, .. } = *capabilities;
    let (key, reason) = match (draft.kind, waits) {
        (Kind::Filter, false) if draft.engine.workers > 1 && !forks => (
            "workers",
            format!("what `{name}` does to an event depends on those before it, so it works alone"),
        ),
        (Kind::Filter, true) if draft.engine.workers > 1 && at_once > 1 => {
            ("workers", format!("`{name}` works on several batches at once without it"))
        }
        (Kind::Filter, true) if draft.engine.workers > 1 && !forks => {
            ("workers", format!("`{name}` works alone"))
        }
        (Kind::Filter, _) if draft.engine.workers == 1 && at_once == 1 && !draft.engine.order => {
            ("order", format!("`{name}` has one worker, which keeps it"))
        }
        (Kind::Sink, _) if draft.engine.concurrency > 1 && !forks => {
            ("concurrency", format!("`{name}` can only write one batch at a time"))
        }
        _ => return,
    };
    if let Some(entry) = own.get(key) {
        let diagnostic = Diagnostic::warning("idle-key", format!("`{key}` has no effect: {reason}"));
        diagnostics.push(place(diagnostic, &entry.origin, "leave it out"));
    }
}
