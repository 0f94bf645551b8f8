//! `tidegate graph`: the graph of a pipeline, drawn in a language of other programs.

use clap::{Args, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::options::Sources;
use crate::registry::Plugins;
use crate::terminal::{self, Paint};

pub(crate) const AFTER_HELP: &str = "\
Examples:
  tidegate graph active-users.toml                to paste into Markdown
  tidegate graph active-users.toml --format dot | dot -Tsvg > graph.svg";

#[derive(Args, Debug)]
pub(crate) struct GraphArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    /// The language to draw in
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub(crate) format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, which Markdown renders
    Mermaid,
    /// The language of Graphviz
    Dot,
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
