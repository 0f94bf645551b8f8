//! `tidegate dead-letters remove`.

use std::collections::BTreeSet;

use tidegate_runtime::dead_letters;

use super::arguments::Remove;
use super::stores::{Stores, missing};
use crate::exit::{Exit, Failure};
use crate::terminal;
use crate::terminal::quantity::plural;

/// Removes the chosen dead letters. Fails if a number does not exist, after it has removed the others.
pub(super) fn remove(arguments: &Remove) -> Result<Exit, Failure> {
    let Remove { ids, all, filters, .. } = arguments;
    if ids.is_empty() && !all && !filters.any() {
        return Err(Failure::wrong(
            "choose the dead letters to remove: their numbers, --all, --component or --reason",
        ));
    }
    let data_dir = arguments.data_dir.resolve()?;
    let (pipeline, index) = Stores::open(&data_dir, arguments.pipeline.as_deref())?.only_pipeline()?;
    let known: BTreeSet<u64> = index.ids().collect();
    let unknown: Vec<u64> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
    let mut chosen = BTreeSet::new();
    let read = index.each(|one| {
        if filters.matches(&one) && (ids.is_empty() || ids.contains(&one.id)) {
            chosen.insert(one.id);
        }
        Ok(())
    });
    read.map_err(|error| {
        Failure::failed(format!("the dead letters of `{pipeline}` cannot be read: {error}"))
    })?;
    let removed = dead_letters::remove(&data_dir, &pipeline, &chosen)
        .map_err(|problem| Failure::failed(format!("pipeline `{pipeline}`: {problem}")))?;
    terminal::err(&format!("{} of {pipeline} removed\n", plural(removed, "dead letter")));
    if unknown.is_empty() { Ok(Exit::Done) } else { Err(Failure::wrong(missing(&unknown))) }
}
