//! Start of a run: builds the components, joins them by edges, and starts their tasks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_config::Delivery;
use tidegate_sdk::{Claim, Component, Cx, Replay};
use tokio_util::sync::CancellationToken;

use crate::dataflow::chain::{Chain, Link};
use crate::dataflow::context::SegmentContext;
use crate::dataflow::edge::{EdgeReceiver, EdgeSender, edge};
use crate::dataflow::failure::Failure;
use crate::dataflow::plan::{Plan, Segment, Shape};
use crate::dataflow::router::{Route, Router};
use crate::dataflow::segment::async_filter::AsyncStage;
use crate::dataflow::segment::cutter::Cutter;
use crate::dataflow::segment::sink::SinkWriter;
use crate::dataflow::segment::source::SourceReader;
use crate::dataflow::segment::workers::Worker;
use crate::dataflow::segment::{acknowledge, concurrent, sink, workers};
use crate::dataflow::spec::Spec;
use crate::dataflow::state_handoff::StateHandoff;
use crate::dataflow::tasks::GraphTasks;
use crate::delivery::ack_coordinator::AckCoordinator;
use crate::delivery::checkpoint::Checkpoint;
use crate::delivery::sink_progress::SinkProgress;
use crate::delivery::source_progress::SourceProgress;

/// A source of a run.
#[derive(Clone)]
pub(crate) struct RunningSource {
    pub(crate) progress: Arc<SourceProgress>,
    pub(crate) checkpoint: Arc<Checkpoint>,
}

/// A run that is being put together.
struct Wiring<'a> {
    spec: &'a Spec,
    tasks: &'a GraphTasks,
    /// Cancelled when every source is over and everything that they read has ended.
    idle: CancellationToken,
    sources_left: Arc<AtomicUsize>,
    sink_progress: Option<Arc<SinkProgress>>,
    state_handoff: Arc<StateHandoff>,
    /// The coordinators of sinks that acknowledge for their sources, by the name of the sink and of each source.
    coordinators: BTreeMap<String, Arc<AckCoordinator>>,
    /// True if each component is a plain filter, by index.
    is_plain_filter: Vec<bool>,
    /// The components by index, each taken when it is started.
    components: Vec<Option<Component>>,
    senders: BTreeMap<usize, EdgeSender>,
    receivers: BTreeMap<usize, EdgeReceiver>,
    plan: Plan,
}

/// Builds and starts all components. Their tasks run when this returns.
pub(crate) fn start(spec: &Spec, tasks: &GraphTasks) -> Result<Vec<RunningSource>, Failure> {
    let mut wiring = Wiring::new(spec, tasks)?;
    let mut sources = Vec::new();
    for segment in std::mem::take(&mut wiring.plan.segments) {
        sources.extend(wiring.start(&segment));
    }
    Ok(sources)
}

impl<'a> Wiring<'a> {
    fn new(spec: &'a Spec, tasks: &'a GraphTasks) -> Result<Self, Failure> {
        let mut components = Vec::new();
        for node in &spec.graph.nodes {
            components.push(node.build().map_err(|error| Failure::fatal(&node.name, error))?);
        }
        let shapes: Vec<Shape> = spec.graph.nodes.iter().map(Shape::of).collect();
        let plan = Plan::new(&spec.graph, &shapes);
        let (mut senders, mut receivers) = (BTreeMap::new(), BTreeMap::new());
        for segment in &plan.segments {
            let first = segment.nodes[0];
            if shapes[first] != Shape::Source {
                let metrics = &spec.component_metrics[first];
                let (sender, receiver) = edge(Arc::clone(metrics), spec.graph.nodes[first].engine.required);
                metrics.set_gauge(sender.gauge());
                senders.insert(first, sender);
                receivers.insert(first, receiver);
            }
        }
        let effectively_once = spec.settings.delivery == Delivery::EffectivelyOnce;
        let sink_progress = effectively_once.then(|| Arc::new(SinkProgress::new(&spec.graph)));
        let coordinators = match &sink_progress {
            Some(sink_progress) => coordinators(spec, &components, sink_progress)?,
            None => BTreeMap::new(),
        };
        let inherited = spec.inherited_states.lock().take();
        let sources = shapes.iter().filter(|shape| **shape == Shape::Source).count();
        Ok(Self {
            spec,
            tasks,
            idle: CancellationToken::new(),
            sources_left: Arc::new(AtomicUsize::new(sources)),
            sink_progress,
            state_handoff: Arc::new(StateHandoff::new(&spec.graph, &spec.state_outbox, inherited)),
            coordinators,
            is_plain_filter: shapes.iter().map(|shape| matches!(shape, Shape::Filter { .. })).collect(),
            components: components.into_iter().map(Some).collect(),
            senders,
            receivers,
            plan,
        })
    }

    fn start(&mut self, segment: &Segment) -> Option<RunningSource> {
        let first = segment.nodes[0];
        let context = self.context(segment);
        if matches!(self.components[first], Some(Component::Source(_))) {
            return Some(self.start_source(context, segment));
        }
        let input = self.receivers.remove(&first)?;
        let engine = &self.spec.graph.nodes[first].engine;
        if matches!(self.components[first], Some(Component::Filter(_))) {
            let worker = Worker::Plain(self.chain(&segment.nodes));
            self.start_filters(context, worker, segment, input);
            return None;
        }
        match self.components[first].take() {
            Some(Component::AsyncFilter(filter)) => {
                let retry = engine.retry;
                let waiting = AsyncStage::new(&context, filter, self.chain(&segment.nodes[1..]), retry);
                if segment.at_once > 1 {
                    let how = (segment.at_once, segment.order);
                    self.tasks.spawn(concurrent::run(context, waiting, how, input, self.tasks.clone()));
                    return None;
                }
                self.start_filters(context, Worker::Waiting(Box::new(waiting)), segment, input);
            }
            Some(Component::Sink(sink)) => {
                // The record of a lane needs the order of its events; an acknowledged entry does not.
                let concurrency = if context.sink_progress.is_some() { 1 } else { engine.concurrency };
                let forks = (1..concurrency).map_while(|_| sink.fork()).collect::<Vec<_>>();
                let claim = Claim {
                    pipeline: Arc::clone(&self.spec.id),
                    sink: context.metrics.name().into(),
                    reset: self.spec.start_over.load(Ordering::Relaxed),
                };
                let writer = |sink| SinkWriter {
                    context: context.clone(),
                    sink,
                    retry: engine.retry,
                    claim: claim.clone(),
                };
                let mut writers = vec![writer(sink)];
                writers.extend(forks.into_iter().map(writer));
                if let Some(coordinator) = self.coordinators.get(context.metrics.name()).cloned() {
                    let how = (coordinator, engine.batch);
                    self.tasks.spawn(acknowledge::run(context, writers, input, how, self.tasks.clone()));
                    return None;
                }
                let cutter = Cutter::new(input, engine.batch, context.sink_progress.is_some());
                self.tasks.spawn(sink::run(context, writers, cutter, self.tasks.clone()));
            }
            _ => {}
        }
        None
    }

    fn start_source(&mut self, context: SegmentContext, segment: &Segment) -> RunningSource {
        let metrics = Arc::clone(&context.metrics);
        let checkpoint = Arc::new(Checkpoint::new(&self.spec.folder, metrics.name()));
        metrics.set_progress(Arc::clone(context.cx.progress()));
        let replay = match &self.components[segment.nodes[0]] {
            Some(Component::Source(source)) => source.replay(),
            _ => Replay::Never,
        };
        let on_failed = self.tasks.on_batch_failed();
        let progress =
            Arc::new(SourceProgress::new(&metrics, context.sink_progress.as_ref(), replay, on_failed));
        let chain = self.chain(&segment.nodes[1..]);
        if let Some(Component::Source(source)) = self.components[segment.nodes[0]].take() {
            let reader = SourceReader {
                context,
                source,
                chain,
                progress: Arc::clone(&progress),
                checkpoint: Arc::clone(&checkpoint),
                budget: self.spec.budget.clone(),
                coordinator: self.coordinators.get(metrics.name()).cloned(),
                stopping: self.tasks.stopping().clone(),
            };
            let (left, idle) = (Arc::clone(&self.sources_left), self.idle.clone());
            self.tasks.spawn(async move {
                reader.run().await?;
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    idle.cancel();
                }
                Ok(())
            });
        }
        RunningSource { progress, checkpoint }
    }

    fn start_filters(&self, context: SegmentContext, worker: Worker, segment: &Segment, input: EdgeReceiver) {
        let forks: Vec<Worker> = (1..segment.workers).map_while(|_| worker.fork(&context)).collect();
        if forks.is_empty() {
            self.tasks.spawn(workers::run(context, worker, input));
        } else {
            let workers = forks.into_iter().chain([worker]).collect();
            workers::run_workers(&context, workers, input, segment.order, self.tasks);
        }
    }

    fn context(&self, segment: &Segment) -> SegmentContext {
        let first = segment.nodes[0];
        let settings = &self.spec.settings;
        let name = &self.spec.graph.nodes[first].name;
        let sink_acknowledges = self.coordinators.contains_key(name);
        let cx = Cx::new(name, self.tasks.stopping().clone())
            .with_event_size(settings.event_size)
            .with_metrics(self.spec.component_metrics[first].user_metrics())
            .with_replaced(self.spec.state_outbox.requested());
        self.spec.component_metrics[first].set_complaint(Arc::clone(cx.complaint()));
        SegmentContext {
            node: first,
            cx: if sink_acknowledges { cx.with_acknowledging_sink() } else { cx },
            metrics: Arc::clone(&self.spec.component_metrics[first]),
            router: self.router(segment),
            idle: self.idle.clone(),
            sink_progress: self.sink_progress.clone().filter(|_| !sink_acknowledges),
            state_handoff: Arc::clone(&self.state_handoff),
            tasks: self.tasks.clone(),
        }
    }

    fn router(&self, segment: &Segment) -> Router {
        let route = |node: &usize| {
            let metrics = Arc::clone(&self.spec.component_metrics[*node]);
            let on_reject = self.spec.graph.nodes[*node].engine.on_reject;
            (*node, Route { metrics, on_reject, public_reasons: self.is_plain_filter[*node] })
        };
        let mut edges = HashMap::new();
        for ((node, output), targets) in &self.plan.routes {
            if segment.nodes.contains(node) {
                let senders = targets.iter().filter_map(|target| self.senders.get(target)).cloned();
                edges.insert((*node, *output), senders.collect());
            }
        }
        Router {
            routes: segment.nodes.iter().map(route).collect(),
            edges,
            dead_letter_writer: self.spec.dead_letter_writer.clone(),
            hard_stop: self.tasks.hard_stop().clone(),
        }
    }

    /// Takes the plain filters among `nodes`, which feed one another.
    fn chain(&mut self, nodes: &[usize]) -> Chain {
        let mut links = Vec::new();
        for node in nodes {
            if let Some(Component::Filter(filter)) = self.components[*node].take() {
                let retry = self.spec.graph.nodes[*node].engine.retry;
                links.push(Link::new(*node, filter, Arc::clone(&self.spec.component_metrics[*node]), retry));
            }
        }
        Chain::new(links)
    }
}

/// Makes a coordinator for each sink that acknowledges for its sources, which are those whose input delivers again what
/// was not acknowledged.
fn coordinators(
    spec: &Spec,
    components: &[Component],
    sink_progress: &SinkProgress,
) -> Result<BTreeMap<String, Arc<AckCoordinator>>, Failure> {
    let mut all: BTreeMap<String, Arc<AckCoordinator>> = BTreeMap::new();
    for (node, component) in spec.graph.nodes.iter().zip(components) {
        let Component::Source(source) = component else { continue };
        if source.replay() != Replay::Redelivery {
            continue;
        }
        let [sink] = sink_progress.sinks_of(&node.name) else {
            let reason = "its entries have to reach exactly one sink, which acknowledges them";
            return Err(Failure::fatal(&node.name, reason));
        };
        let coordinator = all.entry(sink.clone()).or_insert_with(|| Arc::new(AckCoordinator::new()));
        let coordinator = Arc::clone(coordinator);
        all.insert(node.name.clone(), coordinator);
    }
    Ok(all)
}
