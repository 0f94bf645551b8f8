//! Explanations of filters, for `tidegate check --explain`.

use tidegate_config::Pipeline;

use crate::terminal::table::Align::Left;
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::{Paint, escape_control};

/// Explanation of one filter.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// The component's name.
    pub(crate) component: String,
    /// The plugin's name.
    pub(crate) plugin: String,
    /// Text from the plugin.
    pub(crate) explanation: String,
}

/// Collects the explanations of every filter that has one.
pub(crate) fn explain_all<'a>(pipelines: impl Iterator<Item = &'a Pipeline>) -> Vec<Explanation> {
    let mut explanations = Vec::new();
    for pipeline in pipelines {
        for node in pipeline.graphs.iter().flat_map(|graph| &graph.nodes) {
            if let Some(explanation) = node.capabilities.explain.clone() {
                explanations.push(Explanation {
                    pipeline: pipeline.name.clone(),
                    component: node.name.clone(),
                    plugin: node.plugin.name().to_owned(),
                    explanation,
                });
            }
        }
    }
    explanations
}

/// Formats explanations as a table. Empty without any.
pub(crate) fn table(explanations: &[Explanation], paint: Paint) -> String {
    if explanations.is_empty() {
        return String::new();
    }
    let columns = [("pipeline", Left), ("component", Left), ("plugin", Left), ("how it runs", Left)];
    let mut table = Table::new(&columns);
    for one in explanations {
        table.row(vec![
            one.pipeline.as_str().into(),
            Cell::new(&one.component, Tone::Strong),
            one.plugin.as_str().into(),
            escape_control(&one.explanation).into(),
        ]);
    }
    format!("{}\n", table.render("", paint))
}
