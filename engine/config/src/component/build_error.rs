//! The errors and warnings of a plugin about its options, each at its place.

use tidegate_sdk::{ConfigError, Plugin};

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::interpolate::{redact, within};
use crate::document::{Data, Item, place};

/// The component whose plugin reports errors.
pub(crate) struct Reporter<'a> {
    pub(crate) name: &'a str,
    pub(crate) plugin: &'a Plugin,
    pub(crate) options: &'a Item,
    pub(crate) source: &'a str,
}

impl Reporter<'_> {
    /// The diagnostic of an error.
    pub(crate) fn build_error(&self, error: &ConfigError) -> Diagnostic {
        let hidden = self.options.hidden();
        let message = if is_of_serde(&error.message) {
            format!("the options of `{}` do not fit together", self.name)
        } else {
            redact(&error.message, &hidden)
        };
        let item = match error.pointer.as_str() {
            "" => quoted_option(self.options, &error.message).unwrap_or(self.options),
            pointer => self.options.nearest(pointer),
        };
        let origin = match (&item.data, &error.range) {
            (Data::Text(text), Some(range)) => within(&item.origin, self.source, text.written(range.clone())),
            _ => item.origin.clone(),
        };
        let diagnostic = Diagnostic::error("bad-option", message);
        match error.help.as_deref() {
            Some(help) => place(diagnostic, &origin, redact(help, &hidden)),
            None => place(diagnostic, &origin, "")
                .note(format!("`tidegate plugins show {}` lists its options", self.plugin.name())),
        }
    }

    /// The diagnostic of a warning about an option that the plugin accepts.
    pub(crate) fn warning(&self, warning: &ConfigError) -> Diagnostic {
        let diagnostic = self.build_error(warning);
        Diagnostic { severity: Severity::Warning, code: "doubtful-option", ..diagnostic }
    }
}

/// The only option whose text the message quotes.
fn quoted_option<'i>(options: &'i Item, message: &str) -> Option<&'i Item> {
    fn texts<'i>(item: &'i Item, found: &mut Vec<&'i Item>, message: &str) {
        match &item.data {
            Data::Text(text) if !text.value.is_empty() && message.contains(&format!("`{}`", text.value)) => {
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

/// Returns true if a message comes from serde, in terms of Rust, rather than from the plugin.
fn is_of_serde(message: &str) -> bool {
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
