//! Builds a component, or finds every problem that its plugin has with the options.
//!
//! A plugin reports all problems of one build ([`tidegate_sdk::ConfigErrors`]), but it needs options that fit its schema.
//! Options that do not fit are removed, or replaced by a sample of their schema. Both ways are tried, and a problem
//! counts if both show it: a problem that only the repair has caused is not the user's.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_sdk::{Component, ConfigError, Plugin};

use crate::check::fault::{Fault, Repaired};
use crate::document::{Data, Entry, Item};
use crate::schema::example::sample;
use crate::schema::{Form, Schema};

/// The largest number of builds of one component in each way.
const BUILDS: usize = 16;

/// The options of a component, with the faults that the schema shows.
pub(crate) struct Options {
    pub(crate) item: Item,
    pub(crate) faults: Vec<Fault>,
    /// Options that were found in a table below the component.
    pub(crate) swallowed: Vec<Entry>,
}

/// The result of a build.
pub(crate) struct Built {
    /// The component. After a repair, it stands for the one that the user means.
    pub(crate) component: Option<Component>,
    /// True if the repair may have changed what the component is able to do.
    pub(crate) may_differ: bool,
    /// True if the component was built from the options as they are.
    pub(crate) is_sound: bool,
    pub(crate) problems: Vec<ConfigError>,
    /// The options to which the pointers of the problems lead.
    pub(crate) options: Item,
}

impl Options {
    /// Builds the component.
    pub(crate) fn build(&self, plugin: &Plugin) -> Built {
        let mut first = Vec::new();
        if self.faults.is_empty() {
            match plugin.build(&self.item.json()) {
                Ok(component) => return Built::sound(component, self.item.clone()),
                Err(error) => first.extend(error.split()),
            }
        }
        let wrong: BTreeSet<String> =
            first.iter().map(|error| error.pointer.clone()).filter(|pointer| !pointer.is_empty()).collect();
        let mut removed = Trial::new(self, plugin, false, &wrong);
        let mut replaced = Trial::new(self, plugin, true, &wrong);
        let mut component = removed.run();
        component = replaced.run().or(component);
        let found = removed.problems.into_iter().filter(|problem| replaced.problems.contains(problem));
        let all: Vec<ConfigError> = first.into_iter().chain(found).collect();
        let may_differ = self.faults.iter().any(|fault| fault.repair.is_mode())
            || all.iter().any(|problem| is_mode(plugin, &problem.pointer));
        Built { component, may_differ, is_sound: false, problems: all, options: replaced.options }
    }
}

impl Built {
    fn sound(component: Component, options: Item) -> Self {
        Self { component: Some(component), may_differ: false, is_sound: true, problems: Vec::new(), options }
    }
}

/// Returns true if the option at `pointer` may select a mode of the plugin.
fn is_mode(plugin: &Plugin, pointer: &str) -> bool {
    let key = unescaped(top(pointer).trim_start_matches('/'));
    let shapes = Schema::new(plugin.schema()).shapes();
    let schema = shapes.iter().find_map(|shape| shape.get(&key));
    schema.is_none_or(|schema| {
        schema.all_words().is_some()
            || matches!(schema.form(), None | Some(Form::Boolean | Form::Table | Form::List))
    })
}

/// Builds from repaired options until no new problem is found.
struct Trial<'a> {
    plugin: &'a Plugin,
    /// Replaces optional values by samples, rather than removing them.
    samples: bool,
    options: Item,
    /// Pointers to the values that are not the user's.
    invented: Vec<String>,
    /// Pointers to the values that the plugin has rejected.
    wrong: BTreeSet<String>,
    problems: Vec<ConfigError>,
}

impl<'a> Trial<'a> {
    fn new(options: &Options, plugin: &'a Plugin, samples: bool, wrong: &BTreeSet<String>) -> Self {
        let mut repaired = Repaired::new(&options.faults, samples);
        let mut item = repaired.item(&options.item, "", true).unwrap_or_else(|| options.item.clone());
        if let Data::Table(table) = &mut item.data {
            let shapes = Schema::new(plugin.schema()).shapes();
            for entry in &options.swallowed {
                let is_own = shapes.iter().any(|shape| shape.get(&entry.key).is_some());
                if is_own && table.get(&entry.key).is_none() {
                    table.entries.push(entry.clone());
                }
            }
        }
        let invented = repaired.invented;
        Self { plugin, samples, options: item, invented, wrong: wrong.clone(), problems: Vec::new() }
    }

    fn run(&mut self) -> Option<Component> {
        for _ in 0..BUILDS {
            let error = match self.plugin.build(&self.without_wrong()) {
                Ok(component) => return Some(component),
                Err(error) => error,
            };
            let new: Vec<ConfigError> = error.split().filter(|error| self.is_new(error)).collect();
            if new.is_empty() {
                // The plugin needs a part of a table that was removed: then the table goes.
                let tables: BTreeSet<String> = self.wrong.iter().map(|one| top(one)).collect();
                if tables == self.wrong {
                    return None;
                }
                self.wrong = tables;
                continue;
            }
            self.wrong.extend(new.iter().map(|error| error.pointer.clone()));
            self.problems.extend(new);
        }
        None
    }

    /// Returns true if the error is about an option of the user that no earlier error is about.
    fn is_new(&self, error: &ConfigError) -> bool {
        let covers = |one: &String| is_within(&error.pointer, one);
        !error.pointer.is_empty()
            && self.options.at(&error.pointer).is_some()
            && !self.wrong.iter().any(covers)
            && !self.invented.iter().any(covers)
    }

    /// The options without the values that the plugin has rejected.
    fn without_wrong(&self) -> Value {
        let mut options = self.options.json();
        let shapes = Schema::new(self.plugin.schema()).shapes();
        for pointer in &self.wrong {
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
            match schema.filter(|_| is_required || self.samples).and_then(sample) {
                Some(value) => drop(table.insert(key, value)),
                None => drop(table.remove(&key)),
            }
        }
        options
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
