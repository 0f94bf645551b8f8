use tidegate_sdk::Kind;

use super::{codes, read, rendered, text};
use crate::{OutputName, Pipeline};

/// A file in short: `source in`, `filter f from=in`, ... one component a word pair.
fn file(components: &[(&str, &str)]) -> String {
    let plugin = |kind: &str| match kind {
        "source" => "plugin = 'stdin'\n",
        "filter" => "plugin = 'jq'\nquery = '.'\n",
        "route" => "plugin = 'route'\noutputs = ['errors', 'slow']\n",
        _ => "plugin = 'blackhole'\n",
    };
    let component = |(head, rest): &(&str, &str)| {
        let (kind, name) = head.split_once(' ').unwrap();
        let table = if kind == "route" { "filter" } else { kind };
        format!("[{table}.{name}]\n{}{rest}\n", plugin(kind))
    };
    components.iter().map(component).collect()
}

fn pipeline(components: &[(&str, &str)]) -> Pipeline {
    let file = text(&file(components));
    let loaded = read(&file, &[]);
    assert_eq!(crate::render(&loaded.diagnostics, &file, false), "");
    loaded.pipeline.unwrap()
}

fn edges(pipeline: &Pipeline) -> Vec<Vec<String>> {
    let graph = |graph: &crate::Graph| {
        let edge = |node: &crate::Node| {
            let inputs: Vec<&str> =
                node.inputs.iter().map(|input| graph.nodes[input.node].name.as_str()).collect();
            format!("{}<{}", node.name, inputs.join("+"))
        };
        graph.nodes.iter().map(edge).collect()
    };
    pipeline.graphs.iter().map(graph).collect()
}

#[test]
fn a_straight_pipeline_needs_no_from() {
    let pipeline = pipeline(&[("source in", ""), ("filter f", ""), ("sink out", "")]);
    assert_eq!(edges(&pipeline), [["in<", "f<in", "out<f"]]);
    assert_eq!(pipeline.graphs[0].nodes[1].kind(), Kind::Filter);
}

#[test]
fn graphs_that_do_not_touch_are_apart_and_in_order() {
    let pipeline = pipeline(&[
        ("sink out", "from = ['f', 'a']"),
        ("source a", ""),
        ("source b", ""),
        ("filter f", "from = 'a'"),
        ("sink other", "from = 'b'"),
    ]);
    assert_eq!(edges(&pipeline), [vec!["a<", "f<a", "out<f+a"], vec!["b<", "other<b"]]);
}

#[test]
fn disabled_components_are_passed_over() {
    let off = "enabled = false\nno_such_option = '${NO_SUCH_VARIABLE}'";
    let chain = pipeline(&[("source in", ""), ("filter f", off), ("sink x", off), ("sink out", "")]);
    assert_eq!(edges(&chain), [["in<", "out<in"]]);
    assert_eq!(
        codes(&file(&[
            ("source in", ""),
            ("filter f", off),
            ("sink out", "from = 'f'"),
            ("sink x", "from = 'in'")
        ])),
        ["unknown-from 11:8"]
    );
    assert_eq!(codes(&file(&[("source in", "enabled = false"), ("sink out", "")])), ["no-source 1:1"]);
}

#[test]
fn named_outputs_and_rejected_events_are_read() {
    let parts = [
        ("source in", ""),
        ("route r", ""),
        ("sink main", ""),
        ("sink errors", "from = ['r.errors', 'r.rejected', 'main.rejected']"),
    ];
    let source = file(&parts);
    let loaded = read(&text(&source), &[]);
    assert_eq!(codes(&source), ["unused-output 4:1"]);
    let pipeline = loaded.pipeline.unwrap();
    let nodes = &pipeline.graphs[0].nodes;
    assert_eq!(nodes[1].outputs, ["errors", "slow"]);
    let outputs: Vec<OutputName> = nodes[3].inputs.iter().map(|input| input.output).collect();
    assert_eq!(outputs, [OutputName::Port(1), OutputName::Rejected, OutputName::Rejected]);
    assert_eq!(
        codes(&file(&[parts[0], parts[1], parts[2], ("sink e", "from = ['r.errrors', 'r.slow']")]))[1],
        "unknown-from 13:9"
    );
    let only_rejected = file(&[("source in", ""), ("sink e", "from = 'in.rejected'")]);
    assert_eq!(codes(&only_rejected), ["unused-output 1:1"]);
}

#[test]
fn cycles_are_reported_whole_and_once() {
    let source = file(&[
        ("source in", ""),
        ("filter a", "from = ['in', 'c']"),
        ("filter b", ""),
        ("filter c", ""),
        ("sink out", ""),
        ("filter self", "from = 'self'"),
    ]);
    let shown = rendered(&source, &[]);
    assert!(shown.contains("`a` is its own upstream: a -> b -> c -> a"), "{shown}");
    assert!(shown.contains("`self` is its own upstream: self -> self"), "{shown}");
    assert_eq!(codes(&source).iter().filter(|one| one.starts_with("cycle")).count(), 2);
}

#[test]
fn a_long_chain_is_no_trouble() {
    let names: Vec<String> = (0..2000).map(|index| format!("filter f{index}")).collect();
    let mut parts = vec![("source in", "")];
    parts.extend(names.iter().map(|name| (name.as_str(), "")));
    parts.push(("sink out", ""));
    assert_eq!(pipeline(&parts).graphs[0].nodes.len(), 2002);
}
