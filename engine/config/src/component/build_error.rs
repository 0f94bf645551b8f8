//! What a plugin itself says against its options, at the place that it means.

use tidegate_sdk::{ConfigError, Plugin};

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::interpolate::{redact, within};
use crate::document::{Data, Item, place};

/// What the plugin itself has to say against its options.
pub(crate) fn refusal(
    error: &ConfigError,
    name: &str,
    plugin: &Plugin,
    options: &Item,
    source: &str,
) -> Diagnostic {
    let hidden = options.hidden();
    let message = match is_machine_talk(&error.message) {
        false => redact(&error.message, &hidden),
        true => format!("the options of `{name}` do not fit together"),
    };
    let item = match error.pointer.as_str() {
        "" => quoted_option(options, &error.message).unwrap_or(options),
        pointer => options.nearest(pointer),
    };
    let origin = match (&item.data, &error.range) {
        (Data::Text(prose), Some(range)) => within(&item.origin, source, prose.written(range.clone())),
        _ => item.origin.clone(),
    };
    let help = error.help.as_deref().map(|help| redact(help, &hidden)).unwrap_or_default();
    let known = error.help.is_some();
    let diagnostic = place(Diagnostic::error("bad-option", message), &origin, help);
    match known {
        true => diagnostic,
        false => diagnostic.note(format!("`tidegate plugins show {}` lists its options", plugin.name())),
    }
}

/// The warning of a plugin about an option that it accepts.
pub(crate) fn doubt(
    warning: &ConfigError,
    name: &str,
    plugin: &Plugin,
    options: &Item,
    source: &str,
) -> Diagnostic {
    let diagnostic = refusal(warning, name, plugin, options, source);
    Diagnostic { severity: Severity::Warning, code: "doubtful-option", ..diagnostic }
}

/// The one option whose text the message quotes.
fn quoted_option<'i>(options: &'i Item, message: &str) -> Option<&'i Item> {
    fn texts<'i>(item: &'i Item, found: &mut Vec<&'i Item>, message: &str) {
        match &item.data {
            Data::Text(prose)
                if !prose.value.is_empty() && message.contains(&format!("`{}`", prose.value)) =>
            {
                found.push(item);
            }
            Data::List(items) => items.iter().for_each(|inner| texts(inner, found, message)),
            Data::Table(table) => table.entries.iter().for_each(|entry| texts(&entry.item, found, message)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    texts(options, &mut found, message);
    if let [only] = found.as_slice() { Some(only) } else { None }
}

/// Whether a message is serde's own rather than the plugin's: it speaks of Rust, not of pipelines.
fn is_machine_talk(message: &str) -> bool {
    const OPENINGS: [&str; 8] = [
        "invalid type:",
        "invalid value:",
        "invalid length",
        "unknown variant",
        "unknown field",
        "missing field",
        "duplicate field",
        "data did not match any variant",
    ];
    OPENINGS.iter().any(|opening| message.starts_with(opening))
}
