//! Suggestions for names that are not known.

use std::collections::BTreeSet;

use super::{Compiler, builtins};
use crate::natives::format::Format;

/// The likeness that makes a name a suggestion, from 0 to 1.
const LIKE: f64 = 0.7;

/// The question whether one of `known` was meant, if one is like `name`.
fn did_you_mean<'a>(name: &str, sign: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let likeness =
        known.into_iter().filter(|other| *other != name).map(|other| (likeness(name, other), other));
    let (likeness, nearest) = likeness.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (likeness >= LIKE).then(|| format!("did you mean `{sign}{nearest}`?"))
}

/// The likeness of two names: 1 for the same word, 0 for words that have nothing in common.
fn likeness(left: &str, right: &str) -> f64 {
    let (left, right) = (left.to_lowercase().replace('-', "_"), right.to_lowercase());
    let edits = strsim::damerau_levenshtein(&left, &right);
    let longest = left.chars().count().max(right.chars().count()).max(1);
    // A slip in a short name counts as much as two in a long one.
    let by_edits = if edits <= 1 && longest > 2 { 0.9 } else { 1.0 - edits as f64 / longest as f64 };
    by_edits.max(strsim::jaro(&left, &right) - 0.15)
}

impl Compiler {
    /// A suggestion for the function `name` with `arity` arguments, which does not exist.
    pub(super) fn suggest_function(&self, name: &str, arity: usize) -> Option<String> {
        let builtins = builtins::names();
        let builtins = builtins.iter().filter_map(|shown| {
            let (name, arity) = shown.split_once('/')?;
            Some((name, arity.parse().ok()?))
        });
        let known: Vec<(&str, usize)> = self.scope.functions().chain(builtins).collect();
        let arities: BTreeSet<usize> =
            known.iter().filter(|(other, _)| *other == name).map(|(_, arity)| *arity).collect();
        if !arities.is_empty() {
            let counts: Vec<String> = arities.iter().map(usize::to_string).collect();
            let word = if arities == BTreeSet::from([1]) { "argument" } else { "arguments" };
            return Some(format!("`{name}` takes {} {word}", counts.join(" or ")));
        }
        // Among names that are alike, one with this number of arguments is the more likely.
        let same = known.iter().filter(|(_, count)| *count == arity).map(|(name, _)| *name);
        did_you_mean(name, "", same).or_else(|| did_you_mean(name, "", known.iter().map(|(name, _)| *name)))
    }

    pub(super) fn suggest_variable(&self, name: &str) -> Option<String> {
        did_you_mean(name, "$", self.scope.variables())
    }

    pub(super) fn suggest_label(&self, name: &str) -> Option<String> {
        did_you_mean(name, "$", self.scope.labels())
    }
}

pub(super) fn suggest_format(name: &str) -> Option<String> {
    did_you_mean(name, "@", Format::NAMES.iter().map(|(name, _)| *name))
}
