//! How filters will do what they are asked, in their own words.

use tidegate_config::Pipeline;

use crate::terminal::table::Align::Left;
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::{Paint, harmless};

/// What one filter says about itself.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// The component's name.
    pub(crate) component: String,
    /// The plugin's name.
    pub(crate) plugin: String,
    /// How it will do what its options ask for.
    pub(crate) told: String,
}

/// What the filters of these pipelines say about themselves: those that have something to say.
pub(crate) fn explain_all<'a>(pipelines: impl Iterator<Item = &'a Pipeline>) -> Vec<Explanation> {
    let mut explanations = Vec::new();
    for pipeline in pipelines {
        for node in pipeline.graphs.iter().flat_map(|graph| &graph.nodes) {
            if let Some(told) = node.capabilities.explain.clone() {
                explanations.push(Explanation {
                    pipeline: pipeline.name.clone(),
                    component: node.name.clone(),
                    plugin: node.plugin.name().to_owned(),
                    told,
                });
            }
        }
    }
    explanations
}

/// All of them as a table; empty if there is none.
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
            harmless(&one.told).into(),
        ]);
    }
    format!("{}\n", table.render("", paint))
}
