//! Pictures of a pipeline, as text that other programs draw.

use std::fmt::Write;

use tidegate_sdk::Kind;

use crate::topology::{Graph, Input, Node, OutputName, Pipeline};

/// The pipeline in the language of Graphviz (`tidegate graph --format dot | dot -Tsvg`).
pub fn graphviz(pipeline: &Pipeline) -> String {
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n", quoted(&pipeline.name));
    for node in nodes(pipeline) {
        let shape = match node.kind() {
            Kind::Source => "cds",
            Kind::Filter => "box",
            Kind::Sink => "cylinder",
        };
        let label = quoted(&format!("{}\n{}", node.name, node.plugin.name()));
        add(&mut text, format_args!("  {} [shape={shape}, label={label}];\n", quoted(&node.name)));
    }
    for (graph, node, input) in edges(pipeline) {
        let from = &graph.nodes[input.node];
        let style = match output(from, *input) {
            "" => String::new(),
            output => format!(" [label={}]", quoted(output)),
        };
        add(&mut text, format_args!("  {} -> {}{style};\n", quoted(&from.name), quoted(&node.name)));
    }
    text.push_str("}\n");
    text
}

/// The pipeline in the language of Mermaid, which Markdown on many sites draws.
pub fn mermaid(pipeline: &Pipeline) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let index = |name: &str| nodes(pipeline).position(|node| node.name == name).unwrap_or_default();
    for (at, node) in nodes(pipeline).enumerate() {
        let (open, close) = match node.kind() {
            Kind::Source => ("([", "])"),
            Kind::Filter => ("[", "]"),
            Kind::Sink => ("[(", ")]"),
        };
        add(&mut text, format_args!("  n{at}{open}\"{}<br/>{}\"{close}\n", node.name, node.plugin.name()));
    }
    for (graph, node, input) in edges(pipeline) {
        let from = &graph.nodes[input.node];
        let label = match output(from, *input) {
            "" => String::new(),
            output => format!("|\"{}\"|", output.replace('"', "#quot;")),
        };
        add(&mut text, format_args!("  n{} -->{label} n{}\n", index(&from.name), index(&node.name)));
    }
    text
}

fn nodes(pipeline: &Pipeline) -> impl Iterator<Item = &Node> {
    pipeline.graphs.iter().flat_map(|graph| &graph.nodes)
}

fn edges(pipeline: &Pipeline) -> impl Iterator<Item = (&Graph, &Node, &Input)> {
    pipeline.graphs.iter().flat_map(|graph| {
        graph.nodes.iter().flat_map(move |node| node.inputs.iter().map(move |input| (graph, node, input)))
    })
}

/// The name of an output, empty for the main one.
fn output(node: &Node, input: Input) -> &str {
    match input.output {
        OutputName::Rejected => "rejected",
        OutputName::Port(0) => "",
        OutputName::Port(port) => node.outputs.get(usize::from(port) - 1).map_or("", String::as_str),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("writing to a string cannot fail");
}
