//! `tidegate schema` and `tidegate graph`: what other programs draw or read.

use crate::args::{GraphArguments, GraphFormat, Libraries};
use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::libraries::Plugins;
use crate::terminal::{self, Paint};

/// Prints the JSON Schema of pipeline files, with the plugins of these libraries.
pub(crate) fn schema(libraries: &Libraries, plugins: &Plugins) -> Result<Exit, Failure> {
    let plugins = plugins.with(libraries)?;
    terminal::out(&format!("{:#}\n", tidegate_config::editor_schema(&plugins.registry)))?;
    Ok(Exit::Done)
}

/// Prints the graph of each pipeline.
pub(crate) fn graph(arguments: &GraphArguments, plugins: &Plugins) -> Result<Exit, Failure> {
    let files = Files::load(&arguments.sources, plugins, None);
    terminal::err(&files.render(Paint::for_stderr()));
    if files.tally().0 > 0 {
        return Ok(Exit::Wrong);
    }
    for pipeline in files.pipelines() {
        let text = match arguments.format {
            GraphFormat::Mermaid => tidegate_config::mermaid(pipeline),
            GraphFormat::Dot => tidegate_config::graphviz(pipeline),
        };
        terminal::out(&format!("{}\n", text.trim_end()))?;
    }
    Ok(Exit::Done)
}
