//! `tidegate dead-letters remove`.

use std::collections::BTreeSet;

use tidegate_runtime::dead_letters;

use super::arguments::Remove;
use super::stores::{Stores, missing};
use crate::exit::{Exit, Failure};
use crate::terminal;
use crate::terminal::quantity::plural;

/// Removes the letters that are meant.
pub(super) fn remove(arguments: &Remove) -> Result<Exit, Failure> {
    let Remove { ids, all, filters, .. } = arguments;
    if ids.is_empty() && !all && !filters.any() {
        return Err(Failure::wrong(
            "say which dead letters to remove: their numbers, --all, --component or --reason",
        ));
    }
    let data_dir = arguments.data_dir.resolve()?;
    let (pipeline, letters) = Stores::open(&data_dir, arguments.pipeline.as_deref())?.only_pipeline()?;
    let known: BTreeSet<u64> = letters.ids().collect();
    let unknown: Vec<u64> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
    if !unknown.is_empty() {
        return Err(missing(&unknown));
    }
    let mut meant = BTreeSet::new();
    let read = letters.each(|letter| {
        if filters.matches(&letter) && (ids.is_empty() || ids.contains(&letter.id)) {
            meant.insert(letter.id);
        }
        Ok(())
    });
    read.map_err(|error| {
        Failure::failed(format!("the dead letters of `{pipeline}` cannot be read: {error}"))
    })?;
    let removed = dead_letters::remove(&data_dir, &pipeline, &meant)
        .map_err(|problem| Failure::failed(format!("pipeline `{pipeline}`: {problem}")))?;
    terminal::err(&format!("{} of {pipeline} removed\n", plural(removed, "dead letter")));
    Ok(Exit::Done)
}
