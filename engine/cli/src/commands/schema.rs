//! `tidegate schema`: the JSON Schema of pipeline files, for editors.

use crate::exit::{Exit, Failure};
use crate::options::Libraries;
use crate::registry::Plugins;
use crate::terminal;

/// Prints the JSON Schema of pipeline files, with the plugins of these libraries.
pub(crate) fn schema(libraries: &Libraries, plugins: &Plugins) -> Result<Exit, Failure> {
    let plugins = plugins.with(libraries)?;
    terminal::out(&format!("{:#}\n", tidegate_config::editor_schema(&plugins.registry)))?;
    Ok(Exit::Done)
}
