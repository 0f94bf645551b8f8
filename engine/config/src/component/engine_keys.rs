//! The engine's keys of a component.

use serde::Deserialize;
use serde_json::Value;
use tidegate_sdk::{Capabilities, Kind};

use crate::component::draft::Draft;
use crate::diagnostic::Diagnostic;
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::keys::{ComponentKeys, EngineOptions};

/// The engine's options from entries that were checked against their schema. `workers` is the default of a filter.
pub(crate) fn engine_options(kind: Kind, own: &Table, workers: usize) -> EngineOptions {
    let mut json = json(own);
    if kind == Kind::Filter && json.get("workers").is_none() {
        json["workers"] = workers.into();
    }
    EngineOptions::deserialize(&json).unwrap_or_default()
}

/// The keys that are used while the file is loaded, or their defaults if one is wrong.
pub(crate) fn component_keys(own: &Table) -> ComponentKeys {
    ComponentKeys::deserialize(json(own)).unwrap_or_default()
}

fn json(own: &Table) -> Value {
    Item { origin: Origin::File(0..0), data: Data::Table(own.clone()) }.json()
}

/// A key of the engine on a component of a kind that does not have it.
pub(crate) fn misplaced(kind: Kind, name: &str, entry: &Entry, kinds: &[Kind]) -> Diagnostic {
    let key = &entry.key;
    if key == "from" {
        let message = format!("`{name}` is a source, which has no upstream component");
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

/// Warns of an engine key without effect on this component.
pub(crate) fn unused_keys(
    capabilities: &Capabilities,
    draft: &Draft,
    own: &Table,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (name, engine) = (&draft.name, &draft.engine);
    let Capabilities { forks, waits, at_once, .. } = *capabilities;
    let (key, reason) = match draft.kind {
        Kind::Filter if engine.workers > 1 && waits && at_once > 1 => {
            ("workers", format!("`{name}` works on several batches at once without it"))
        }
        Kind::Filter if engine.workers > 1 && waits && !forks => {
            ("workers", format!("`{name}` cannot have several instances"))
        }
        Kind::Filter if engine.workers > 1 && !forks => (
            "workers",
            format!("the result of `{name}` for an event depends on earlier events, so it has one instance"),
        ),
        Kind::Filter if engine.workers == 1 && at_once == 1 && !engine.order => {
            ("order", format!("`{name}` has one worker, which keeps the order"))
        }
        Kind::Sink if engine.concurrency > 1 && !forks => {
            ("concurrency", format!("`{name}` can only write one batch at a time"))
        }
        _ => return,
    };
    if let Some(entry) = own.get(key) {
        let diagnostic = Diagnostic::warning("idle-key", format!("`{key}` has no effect: {reason}"));
        diagnostics.push(place(diagnostic, &entry.origin, "leave it out"));
    }
}
