//! Pairs of sources that wait for a response and sinks that give it. One without the other is an error.

use crate::component::draft::Draft;
use crate::diagnostic::Diagnostic;
use crate::document::place;
use crate::graph::guarantee::{reach, sinks_of};
use crate::topology::{Graph, Node};

/// Reports each source whose requests no sink answers, and each sink without a request to answer. A component whose
/// capabilities are unknown counts as the right one.
pub(crate) fn unpaired(graphs: &[Graph], drafts: &[Draft]) -> Vec<Diagnostic> {
    let draft_of = |node: &Node| drafts.iter().find(|draft| draft.name == node.name);
    let is_known = |node: &Node| draft_of(node).is_some_and(|draft| draft.is_known);
    let mut found = Vec::new();
    for graph in graphs {
        for (source, reached) in reach(graph) {
            let source = &graph.nodes[source];
            if !is_known(source) {
                continue;
            }
            let sinks = sinks_of(graph, &reached).into_iter().map(|(sink, _)| &graph.nodes[sink]);
            let answering: Vec<&Node> =
                sinks.filter(|sink| sink.capabilities.answers || !is_known(sink)).collect();
            match source.capabilities.answered_by {
                Some(plugin) if answering.iter().all(|sink| sink.plugin.name() != plugin) => {
                    found.extend(draft_of(source).map(|draft| unanswered(source, plugin, draft)));
                }
                Some(_) => {}
                None => {
                    let idle = answering.into_iter().filter(|sink| is_known(sink));
                    found.extend(
                        idle.filter_map(|sink| Some(nothing_to_answer(source, sink, draft_of(sink)?))),
                    );
                }
            }
        }
    }
    found
}

fn unanswered(source: &Node, plugin: &str, draft: &Draft) -> Diagnostic {
    let name = &source.name;
    let message = format!("`{name}` waits for responses from a sink `{plugin}`, and its events reach none");
    let help = format!("let its events reach a sink with `plugin = \"{plugin}\"`");
    place(Diagnostic::error("unanswered", message), &draft.header, help)
        .note(format!("`tidegate plugins show {}` lists the other ways to respond", source.plugin.name()))
}

fn nothing_to_answer(source: &Node, sink: &Node, draft: &Draft) -> Diagnostic {
    let (name, from) = (&sink.name, &source.name);
    let message = format!("`{name}` answers requests, and `{from}` upstream of it waits for no response");
    let help = format!("it would reject every event of `{from}`");
    place(Diagnostic::error("nothing-to-answer", message), &draft.header, help)
        .note(format!("`tidegate plugins show {}` names the source that waits for it", sink.plugin.name()))
}
