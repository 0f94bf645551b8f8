//! Every problem that a plugin has with its options, although its build reports only the first.
//!
//! An option that is wrong is taken out or replaced by a sample of its schema, and the plugin is built again. Both ways
//! are tried, and a problem counts if it comes up in both: what only the replacement has caused is not the user's.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_sdk::{Component, ConfigError, Plugin};

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Data, Item, Table};
use crate::schema::Schema;
use crate::schema::example::sample;

/// How often a plugin is built to find one more problem.
const TRIALS: usize = 16;

/// The component, or every problem that the plugin has with these options. `broken` are the options that are known to
/// be wrong, or missing.
pub(crate) fn build(
    plugin: &Plugin,
    options: &Item,
    broken: BTreeSet<String>,
) -> Result<Component, Vec<ConfigError>> {
    let whole = options.json();
    let mut problems = Vec::new();
    let mut wrong: BTreeSet<String> = broken.into_iter().map(|key| format!("/{key}")).collect();
    if wrong.is_empty() {
        match plugin.build(&whole) {
            Ok(component) => return Ok(component),
            Err(error) => {
                let pointer = error.pointer.clone();
                problems.push(error);
                if options.pointed(&pointer).is_none() {
                    return Err(problems);
                }
                wrong.insert(pointer);
            }
        }
    }
    let removed = Trial { plugin, whole: &whole, options, replace: false }.problems(wrong.clone());
    let replaced = Trial { plugin, whole: &whole, options, replace: true }.problems(wrong);
    problems.extend(removed.into_iter().filter(|problem| replaced.contains(problem)));
    Err(problems)
}

/// The options that a schema error was reported for, and those that are missing.
pub(crate) fn broken(options: &Table, missing: &[&str], diagnostics: &[Diagnostic]) -> BTreeSet<String> {
    let errors = || diagnostics.iter().filter(|one| one.severity == Severity::Error);
    let placed_elsewhere = errors().any(|one| one.label.is_none());
    let is_wrong = |from: &crate::document::Origin| match from.range() {
        Some(range) => errors()
            .filter_map(|one| one.label.as_ref())
            .any(|label| range.start <= label.range.start && label.range.end <= range.end),
        // What came by `--set` has no place to compare.
        None => placed_elsewhere,
    };
    let wrong = options
        .entries
        .iter()
        .filter(|entry| entry.item.is_broken() || is_wrong(&entry.origin) || is_wrong(&entry.item.origin));
    wrong.map(|entry| entry.key.clone()).chain(missing.iter().map(|key| (*key).to_owned())).collect()
}

struct Trial<'a> {
    plugin: &'a Plugin,
    whole: &'a Value,
    options: &'a Item,
    /// Whether what is wrong is replaced by a sample where it may be left out.
    replace: bool,
}

impl Trial<'_> {
    /// The problems beside those at the pointers of `wrong`.
    fn problems(&self, mut wrong: BTreeSet<String>) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        for _ in 0..TRIALS {
            let Some(error) = self.plugin.build(&self.without(&wrong)).err() else { break };
            let is_known = wrong.iter().any(|one| is_within(&error.pointer, one));
            if is_known || self.options.pointed(&error.pointer).is_none() {
                // A part of a table was taken out that it cannot be without: then the table goes.
                let tables: BTreeSet<String> = wrong.iter().map(|one| top(one)).collect();
                if tables == wrong {
                    break;
                }
                wrong = tables;
                continue;
            }
            wrong.insert(error.pointer.clone());
            problems.push(error);
        }
        problems
    }

    /// The options without what is wrong.
    fn without(&self, wrong: &BTreeSet<String>) -> Value {
        let mut options = self.whole.clone();
        let shapes = Schema::new(self.plugin.schema()).shapes();
        for pointer in wrong {
            let parts = pointer.rsplit_once('/').filter(|(above, _)| !above.is_empty());
            let parent =
                parts.and_then(|(above, key)| Some((options.pointer_mut(above)?.as_object_mut()?, key)));
            if let Some((table, key)) = parent {
                table.remove(&unescaped(key));
                continue;
            }
            let key = unescaped(top(pointer).trim_start_matches('/'));
            let Some(table) = options.as_object_mut() else { continue };
            let is_required = shapes.iter().all(|shape| shape.required.contains(&key.as_str()));
            let schema = shapes.iter().find_map(|shape| shape.get(&key));
            match schema.filter(|_| is_required || self.replace).and_then(sample) {
                Some(value) => drop(table.insert(key, value)),
                None => drop(table.remove(&key)),
            }
        }
        options
    }
}

impl Item {
    /// The item that a JSON pointer names, which is not the whole.
    fn pointed(&self, pointer: &str) -> Option<&Item> {
        let mut item = self;
        let mut steps = pointer.split('/').skip(1).peekable();
        steps.peek()?;
        for step in steps {
            item = match &item.data {
                Data::Table(table) => &table.get(&unescaped(step))?.item,
                Data::List(items) => items.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(item)
    }
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The pointer to the option that this one leads into.
fn top(pointer: &str) -> String {
    pointer.split('/').nth(1).map(|key| format!("/{key}")).unwrap_or_default()
}

fn is_within(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
