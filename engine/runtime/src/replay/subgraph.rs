//! Subgraph of a replay: the components that rejected events, and everything downstream of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use tidegate_config::{EngineOptions, Graph, Input, Node, OutputName};
use tidegate_sdk::Plugin;

use crate::dataflow::plan::MAIN;

/// Cuts out the components of `graph` that are in `rejecting`, with everything downstream of them, each fed by a source that
/// `source` creates for it; `None` if there is no such component.
pub(super) fn downstream(
    graph: &Graph,
    rejecting: &BTreeSet<String>,
    source: impl Fn(&str) -> Plugin,
) -> Option<Graph> {
    let mut kept = BTreeSet::new();
    // A component comes after those upstream of it, so one pass is enough.
    for (index, node) in graph.nodes.iter().enumerate() {
        if rejecting.contains(&node.name) || node.inputs.iter().any(|input| kept.contains(&input.node)) {
            kept.insert(index);
        }
    }
    let (mut nodes, mut new_index) = (Vec::new(), BTreeMap::new());
    for index in kept {
        let node = &graph.nodes[index];
        let mut inputs: Vec<Input> = node
            .inputs
            .iter()
            .filter_map(|input| Some(Input { node: *new_index.get(&input.node)?, ..*input }))
            .collect();
        if rejecting.contains(&node.name) {
            inputs.push(Input { node: nodes.len(), output: OutputName::Port(MAIN) });
            nodes.push(source_node(&node.name, source(&node.name)));
        }
        new_index.insert(index, nodes.len());
        nodes.push(Node { inputs, ..node.clone() });
    }
    (!nodes.is_empty()).then_some(Graph { nodes })
}

/// Node of a source. Its name has a dot, so it cannot be the name of another component.
fn source_node(component: &str, plugin: Plugin) -> Node {
    Node {
        name: format!("{component}.dead_letters"),
        plugin,
        options: json!({}),
        inputs: Vec::new(),
        outputs: Vec::new(),
        engine: EngineOptions::default(),
        capabilities: Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sdk::{ConfigError, Cx, Error, Source, SourceBatch, async_trait};

    use super::*;

    struct Nothing;

    #[async_trait]
    impl Source for Nothing {
        async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
            Ok(None)
        }
    }

    fn plugin(_: &str) -> Plugin {
        Plugin::source("nothing", "", "", |(): ()| Ok::<_, ConfigError>(Nothing))
    }

    fn node(name: &str, inputs: &[(usize, OutputName)]) -> Node {
        let inputs = inputs.iter().map(|(node, output)| Input { node: *node, output: *output }).collect();
        Node { name: name.to_owned(), inputs, ..source_node(name, plugin("")) }
    }

    /// The graph as text: each component with those upstream of it.
    fn described(graph: &Graph) -> Vec<String> {
        let fed = |node: &Node| {
            let inputs: Vec<&str> =
                node.inputs.iter().map(|input| graph.nodes[input.node].name.as_str()).collect();
            format!("{}: {}", node.name, inputs.join(" "))
        };
        graph.nodes.iter().map(fed).collect()
    }

    #[test]
    fn everything_downstream_of_rejecting_components_is_kept() {
        let main = OutputName::Port(MAIN);
        let nodes = vec![
            node("lines", &[]),
            node("a", &[(0, main)]),
            node("b", &[(1, main)]),
            node("aside", &[(0, main)]),
            node("out", &[(0, main), (2, main), (1, OutputName::Rejected)]),
        ];
        let graph = Graph { nodes };
        let downstream = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            downstream(&graph, &names, plugin)
        };
        assert!(downstream(&["elsewhere"]).is_none());
        assert_eq!(
            described(&downstream(&["out"]).unwrap()),
            ["out.dead_letters: ", "out: out.dead_letters"]
        );
        let two = downstream(&["a", "b"]).unwrap();
        let expected =
            ["a.dead_letters: ", "a: a.dead_letters", "b.dead_letters: ", "b: a b.dead_letters", "out: b a"];
        assert_eq!(described(&two), expected);
        assert_eq!(two.nodes[4].inputs[1].output, OutputName::Rejected);
    }
}
