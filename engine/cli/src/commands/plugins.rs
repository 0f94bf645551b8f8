//! `tidegate plugins`: lists plugins, prints manuals, tests and measures libraries.

pub(crate) mod arguments;
pub(crate) mod bench;
pub(crate) mod check;
mod child;
pub(crate) mod host;
mod show;

use tidegate_sdk::Registry;

use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use crate::terminal::table::Align::Left;
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::{self, Paint};
use arguments::{PluginsAction, PluginsArguments};

/// Lists the plugins, or runs an action.
pub(crate) fn plugins(arguments: &PluginsArguments, plugins: &Plugins) -> Result<Exit, Failure> {
    match &arguments.action {
        None => {
            let known = plugins.with(&arguments.libraries)?;
            terminal::out(&list(&known.registry, Paint::for_stdout()))?;
            Ok(Exit::Done)
        }
        Some(PluginsAction::Show { name, kind, libraries }) => {
            show::show(name, kind.map(Into::into), &plugins.with(libraries)?)
        }
        Some(PluginsAction::Check(arguments)) => check::check(arguments, plugins),
        Some(PluginsAction::Bench(arguments)) => bench::bench(arguments, plugins),
    }
}

fn list(registry: &Registry, paint: Paint) -> String {
    let mut table = Table::new(&[("kind", Left), ("plugin", Left), ("what it does", Left)]);
    for plugin in registry.iter() {
        table.row(vec![
            plugin.kind().name().into(),
            Cell::new(plugin.name(), Tone::Strong),
            plugin.summary().into(),
        ]);
    }
    let hint = "`tidegate plugins show NAME` prints the manual of a plugin, `tidegate plugins show pipeline` that of the pipeline file";
    format!("{}\n{}\n", table.render("", paint), paint.dim(hint))
}
