//! `[plugins]`: the shared libraries of a pipeline file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_sdk::{Kind, Placement, Plugin, Registry};

use crate::component::engine_keys::component_keys;
use crate::diagnostic::Diagnostic;
use crate::document::interpolate::redact;
use crate::document::{Data, Item, Table, place};
use crate::environment::Environment;
use crate::keys;

/// The plugins that the file may use. Those of its libraries replace built-in ones of the same kind and name.
pub(crate) fn registry<'a>(
    known: &'a Registry,
    libraries: &Item,
    environment: &Environment<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Cow<'a, Registry> {
    let Data::List(items) = &libraries.data else { return Cow::Borrowed(known) };
    let mut found: BTreeMap<(Kind, String), Plugin> = BTreeMap::new();
    for item in items {
        let Ok(library) = keys::Library::deserialize(item.json()) else { continue };
        let (path, sha256) = match &library {
            keys::Library::Path(path) => (path, None),
            keys::Library::Checked { path, sha256 } => (path, Some(sha256.as_str())),
        };
        let plugins = match (environment.library)(path, sha256) {
            Ok(plugins) => plugins,
            Err(refusal) => {
                let message = redact(&refusal, &item.hidden());
                diagnostics.push(place(Diagnostic::error("library", message), &item.origin, ""));
                continue;
            }
        };
        for plugin in plugins {
            let (kind, name) = (plugin.kind(), plugin.name().to_owned());
            let same = |one: &Plugin| title(one) != title(&plugin);
            if let Some(other) = found.get(&(kind, name.clone())).filter(|one| same(one)) {
                let message = format!(
                    "the {kind} `{name}` is in two libraries: {} and {}",
                    title(other),
                    title(&plugin)
                );
                let diagnostic = Diagnostic::error("library", message);
                diagnostics.push(place(diagnostic, &item.origin, "leave one of them out"));
                continue;
            }
            found.insert((kind, name), plugin);
        }
    }
    Cow::Owned(Registry::new(known.iter().cloned().chain(found.into_values())))
}

fn title(plugin: &Plugin) -> &str {
    plugin.library().map_or("the built-in plugins", |library| library.title())
}

/// The plugin with the isolation that this component asks for.
pub(crate) fn placed(plugin: &Plugin, own: &Table, diagnostics: &mut Vec<Diagnostic>) -> Plugin {
    let keys = component_keys(own);
    if plugin.library().is_some() {
        let default = plugin.placement();
        let isolation = keys.isolation.unwrap_or(default.isolation);
        let call_time = keys.call_time.unwrap_or(default.call_time);
        return plugin.clone().placed(Placement { isolation, call_time });
    }
    let elsewhere = keys.isolation.is_some_and(|isolation| isolation != Placement::default().isolation);
    if let (true, Some(entry)) = (elsewhere, own.get("isolation")) {
        let message = "a built-in plugin runs inline: other isolation is for plugins from shared libraries";
        let label = "write `isolation = \"inline\"`, or leave it out";
        diagnostics.push(place(Diagnostic::error("unsupported", message), &entry.item.origin, label));
    }
    if let Some(entry) = own.get("call_time") {
        let message = "`call_time` has no effect: it is for plugins from shared libraries";
        diagnostics.push(place(Diagnostic::warning("idle-key", message), &entry.origin, "leave it out"));
    }
    plugin.clone()
}
