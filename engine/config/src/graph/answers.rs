//! Sources that hold something open for an answer, and the sinks that give it: one without the other is refused.

use crate::component::draft::Draft;
use crate::diagnostic::Diagnostic;
use crate::document::place;
use crate::graph::guarantee::{reach, sinks_of};
use crate::topology::{Graph, Node};

/// An error for each source whose answer nothing gives, and for each sink that has nothing to answer.
pub(crate) fn unpaired(graphs: &[Graph], drafts: &[Draft]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for graph in graphs {
        for (source, reached) in reach(graph) {
            let source = &graph.nodes[source];
            let answered_by = source.capabilities.answered_by;
            let sinks = sinks_of(graph, &reached).into_iter().map(|(sink, _)| &graph.nodes[sink]);
            let answering: Vec<&Node> = sinks.filter(|sink| sink.capabilities.answers).collect();
            match answered_by {
                Some(plugin) if !answering.iter().any(|sink| sink.plugin.name() == plugin) => {
                    found.push(unanswered(source, plugin, drafts));
                }
                Some(_) => {}
                None => found.extend(answering.iter().map(|sink| idle(source, sink, drafts))),
            }
        }
    }
    found
}

fn unanswered(source: &Node, plugin: &str, drafts: &[Draft]) -> Diagnostic {
    let name = &source.name;
    let message = format!("`{name}` waits for answers from a sink `{plugin}`, and its events reach none");
    let help = format!("let its events reach a sink with `plugin = \"{plugin}\"`");
    at(source, Diagnostic::error("unanswered", message), &help, drafts)
        .note(format!("`tidegate plugins show {}` lists how else it can answer", source.plugin.name()))
}

fn idle(source: &Node, sink: &Node, drafts: &[Draft]) -> Diagnostic {
    let (name, from) = (&sink.name, &source.name);
    let message =
        format!("`{name}` answers requests, and `{from}`, whose events reach it, waits for no answer");
    let help = format!("it would reject every event of `{from}`");
    at(sink, Diagnostic::error("nothing-to-answer", message), &help, drafts)
        .note(format!("`tidegate plugins show {}` tells which source waits for it", sink.plugin.name()))
}

fn at(node: &Node, diagnostic: Diagnostic, help: &str, drafts: &[Draft]) -> Diagnostic {
    match drafts.iter().find(|draft| draft.name == node.name) {
        Some(draft) => place(diagnostic, &draft.header, help),
        None => diagnostic,
    }
}
