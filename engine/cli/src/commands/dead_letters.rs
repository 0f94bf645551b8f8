//! `tidegate dead-letters`: lists, shows, replays and removes rejected events.

pub(crate) mod arguments;
mod list;
mod remove;
mod replay;
mod show;
mod stores;

use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use arguments::Action;

/// Runs an action.
pub(crate) fn dead_letters(action: &Action, plugins: &Plugins) -> Result<Exit, Failure> {
    match action {
        Action::List(arguments) => list::list(arguments),
        Action::Show { id, pipeline, data_dir } => show::show(*id, pipeline.as_deref(), data_dir),
        Action::Replay(arguments) => replay::replay(arguments, plugins),
        Action::Remove(arguments) => remove::remove(arguments),
    }
}
