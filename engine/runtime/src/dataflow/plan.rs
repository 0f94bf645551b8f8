//! Plan of a run: cuts a graph into segments, the components that run in one task. Pure.

use std::collections::BTreeMap;

use tidegate_config::{Graph, Node, OutputName};
use tidegate_sdk::{Capabilities, Kind, Port};

/// Properties of a component that the plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Source,
    /// A plain filter, and whether it can be forked.
    Filter {
        forks: bool,
    },
    /// An async filter, whether it can be forked, and the number of events that it works on at once, in several batches.
    AsyncFilter {
        forks: bool,
        at_once: usize,
    },
    Sink,
}

/// Components that run in one task, or with workers in several tasks that do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Indices of the components, in the order in which events pass them: plain filters, downstream of a source or an async
    /// filter if there is one; or a single sink.
    pub(crate) nodes: Vec<usize>,
    /// Number of instances.
    pub(crate) workers: usize,
    /// Number of events that an async filter works on at once, in several batches.
    pub(crate) at_once: usize,
    /// True if batches leave in the order in which they came. A single instance always keeps it.
    pub(crate) order: bool,
}

/// A graph cut into segments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The segments, each after those upstream of it.
    pub(crate) segments: Vec<Segment>,
    /// The first components of the segments that each output feeds. Outputs within a segment are not in it.
    pub(crate) routes: BTreeMap<(usize, OutputName), Vec<usize>>,
}

impl Shape {
    fn at_once(self) -> usize {
        if let Self::AsyncFilter { at_once, .. } = self { at_once } else { 1 }
    }

    pub(crate) fn of(node: &Node) -> Self {
        let Capabilities { forks, waits, at_once, .. } = *node.capabilities;
        match node.kind() {
            Kind::Source => Self::Source,
            Kind::Filter if waits => Self::AsyncFilter { forks, at_once },
            Kind::Filter => Self::Filter { forks },
            Kind::Sink => Self::Sink,
        }
    }
}

impl Plan {
    /// Cuts `graph`, whose components have these shapes.
    ///
    /// A plain filter joins the segment upstream if that feeds nothing else and the filter has no other input. Workers need a
    /// segment of their own, so that batches can be distributed and put back in order.
    pub(crate) fn new(graph: &Graph, shapes: &[Shape]) -> Self {
        let mut plan = Self::default();
        let mut readers: BTreeMap<(usize, OutputName), Vec<usize>> = BTreeMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                readers.entry((input.node, input.output)).or_default().push(index);
            }
        }
        let mut segment_of = vec![0; graph.nodes.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            let (workers, at_once) = match shapes[index] {
                // It forks an instance for each batch.
                Shape::AsyncFilter { forks: true, at_once: 2.. } => (1, shapes[index].at_once()),
                Shape::Filter { forks: true } | Shape::AsyncFilter { forks: true, .. } => {
                    (node.engine.workers.max(1), 1)
                }
                _ => (1, 1),
            };
            let order = (workers == 1 && at_once == 1) || node.engine.order;
            let joined = match (shapes[index], node.inputs.as_slice()) {
                (Shape::Filter { .. }, [input]) if input.output == OutputName::Port(MAIN) => {
                    let alone = readers[&(input.node, input.output)].len() == 1;
                    let segment = segment_of[input.node];
                    let before = &plan.segments[segment];
                    let alike = (before.workers, before.order, before.at_once) == (workers, order, at_once);
                    (alone && alike).then_some(segment)
                }
                _ => None,
            };
            match joined {
                Some(segment) => {
                    plan.segments[segment].nodes.push(index);
                    segment_of[index] = segment;
                    readers.remove(&(node.inputs[0].node, node.inputs[0].output));
                }
                None => {
                    segment_of[index] = plan.segments.len();
                    plan.segments.push(Segment { nodes: vec![index], workers, at_once, order });
                }
            }
        }
        plan.routes = readers;
        plan
    }
}

/// The main output of a component.
pub(crate) const MAIN: Port = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_config::{EngineOptions, Input, Node};
    use tidegate_sdk::{Batch, ConfigError, Error, Filter, Output, Plugin};

    const FORKS: Shape = Shape::Filter { forks: true };
    const ALONE: Shape = Shape::Filter { forks: false };

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct NoOptions {}

    struct Nothing;

    impl Filter for Nothing {
        fn process(&mut self, _: &Batch, _: &mut Output) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A graph of components, each with the indices of those whose main output feeds it.
    fn graph(nodes: &[(Shape, usize, &[usize])]) -> (Graph, Vec<Shape>) {
        let plugin = Plugin::filter("x", "", "", |_: NoOptions| Ok::<_, ConfigError>(Nothing));
        let node = |(index, (_, workers, inputs)): (usize, &(Shape, usize, &[usize]))| Node {
            name: index.to_string(),
            plugin: plugin.clone(),
            options: serde_json::Value::Null,
            inputs: inputs.iter().map(|node| Input { node: *node, output: OutputName::Port(MAIN) }).collect(),
            outputs: Vec::new(),
            engine: EngineOptions { workers: *workers, ..EngineOptions::default() },
            capabilities: std::sync::Arc::default(),
        };
        let graph = Graph { nodes: nodes.iter().enumerate().map(node).collect() };
        (graph, nodes.iter().map(|(shape, _, _)| *shape).collect())
    }

    fn plan(nodes: &[(Shape, usize, &[usize])]) -> Plan {
        let (graph, shapes) = graph(nodes);
        Plan::new(&graph, &shapes)
    }

    fn segments(plan: &Plan) -> Vec<(&[usize], usize)> {
        plan.segments.iter().map(|segment| (segment.nodes.as_slice(), segment.workers)).collect()
    }

    #[test]
    fn straight_pipeline_is_two_segments() {
        let nodes: [(Shape, usize, &[usize]); 4] =
            [(Shape::Source, 1, &[]), (FORKS, 1, &[0]), (ALONE, 1, &[1]), (Shape::Sink, 1, &[2])];
        let plan = plan(&nodes);
        assert_eq!(segments(&plan), [([0, 1, 2].as_slice(), 1), (&[3], 1)]);
        assert_eq!(plan.routes, [((2, OutputName::Port(MAIN)), vec![3])].into());
    }

    #[test]
    fn workers_and_async_filters_begin_a_segment() {
        let nodes: [(Shape, usize, &[usize]); 6] = [
            (Shape::Source, 1, &[]),
            (FORKS, 4, &[0]),
            (FORKS, 4, &[1]),
            (ALONE, 4, &[2]),
            (Shape::AsyncFilter { forks: false, at_once: 1 }, 4, &[3]),
            (Shape::Sink, 1, &[4]),
        ];
        let plan = plan(&nodes);
        assert_eq!(segments(&plan), [([0].as_slice(), 1), (&[1, 2], 4), (&[3], 1), (&[4], 1), (&[5], 1)]);
    }

    #[test]
    fn workers_with_order_are_in_another_segment_than_those_without() {
        let nodes: [(Shape, usize, &[usize]); 5] = [
            (Shape::Source, 1, &[]),
            (FORKS, 2, &[0]),
            (FORKS, 2, &[1]),
            (FORKS, 2, &[2]),
            (Shape::Sink, 1, &[3]),
        ];
        let (mut graph, shapes) = graph(&nodes);
        graph.nodes[2].engine.order = false;
        graph.nodes[3].engine.order = false;
        graph.nodes[4].engine.order = false;
        let plan = Plan::new(&graph, &shapes);
        assert_eq!(segments(&plan), [([0].as_slice(), 1), (&[1], 2), (&[2, 3], 2), (&[4], 1)]);
        let order: Vec<bool> = plan.segments.iter().map(|segment| segment.order).collect();
        assert_eq!(order, [true, true, false, true], "one worker keeps the order in any case");
    }

    #[test]
    fn fan_out_and_fan_in_have_edges() {
        let nodes: [(Shape, usize, &[usize]); 5] = [
            (Shape::Source, 1, &[]),
            (ALONE, 1, &[0]),
            (ALONE, 1, &[0]),
            (ALONE, 1, &[1, 2]),
            (Shape::Sink, 1, &[3]),
        ];
        let plan = plan(&nodes);
        assert_eq!(plan.segments.len(), 5);
        assert_eq!(plan.routes[&(0, OutputName::Port(MAIN))], [1, 2]);
        assert_eq!(plan.routes[&(1, OutputName::Port(MAIN))], [3]);
    }
}
