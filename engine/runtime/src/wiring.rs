//! From a plan to tasks: components are built, joined by edges, and started.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use tidegate_config::Delivery;
use tidegate_sdk::{Claim, Component, Cx, Replay};
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, Link};
use crate::checkpoint::Checkpoint;
use crate::claims::Claims;
use crate::edge::{EdgeReceiver, EdgeSender, edge};
use crate::failure::Failure;
use crate::graph::Spec;
use crate::graph_tasks::GraphTasks;
use crate::lane::Lane;
use crate::outlets::{Exit, Outlets};
use crate::plan::{Plan, Segment, Shape};
use crate::segment::cutter::Cutter;
use crate::segment::filters::Worker;
use crate::segment::sink::Writer;
use crate::segment::source::Reader;
use crate::segment::waiting::Waiting;
use crate::segment::{Head, crowd, filters, settle, sink};
use crate::settling::Settling;
use crate::state::States;

/// The lanes of a run.
pub(crate) type Lanes = Vec<KeptLane>;

/// A lane and where its positions are kept.
pub(crate) type KeptLane = (Arc<Lane>, Arc<Checkpoint>);

/// A run that is being put together.
pub(crate) struct Wiring<'a> {
    spec: &'a Spec,
    tasks: &'a GraphTasks,
    /// Cancelled when a batch was dropped without an answer.
    failed: &'a CancellationToken,
    /// Cancelled when nothing more will come from any source.
    idle: CancellationToken,
    sources_left: Arc<AtomicUsize>,
    claims: Option<Arc<Claims>>,
    states: Arc<States>,
    /// By name of the component: sinks that acknowledge for their sources, and these.
    settling: BTreeMap<String, Arc<Settling>>,
    /// By component; taken when it is started.
    components: Vec<Option<Component>>,
    senders: BTreeMap<usize, EdgeSender>,
    receivers: BTreeMap<usize, EdgeReceiver>,
    plan: Plan,
}

/// Builds and starts everything. The tasks run when this returns.
pub(crate) fn start(spec: &Spec, tasks: &GraphTasks, failed: &CancellationToken) -> Result<Lanes, Failure> {
    let mut wiring = Wiring::new(spec, tasks, failed)?;
    let mut lanes = Lanes::new();
    for segment in std::mem::take(&mut wiring.plan.segments) {
        lanes.extend(wiring.start(&segment));
    }
    Ok(lanes)
}

impl<'a> Wiring<'a> {
    fn new(spec: &'a Spec, tasks: &'a GraphTasks, failed: &'a CancellationToken) -> Result<Self, Failure> {
        let mut components = Vec::new();
        for node in &spec.graph.nodes {
            components.push(node.build().map_err(|error| Failure::fatal(&node.name, error))?);
        }
        let shapes: Vec<Shape> = components.iter().map(Shape::of).collect();
        let plan = Plan::new(&spec.graph, &shapes);
        let (mut senders, mut receivers) = (BTreeMap::new(), BTreeMap::new());
        for segment in &plan.segments {
            let first = segment.nodes[0];
            if shapes[first] != Shape::Source {
                let meter = &spec.meters[first];
                let (sender, receiver) = edge(Arc::clone(meter), spec.graph.nodes[first].engine.required);
                meter.set_gauge(sender.gauge());
                senders.insert(first, sender);
                receivers.insert(first, receiver);
            }
        }
        let effectively_once = spec.settings.delivery == Delivery::EffectivelyOnce;
        let claims = effectively_once.then(|| Arc::new(Claims::new(&spec.graph)));
        let settling = match &claims {
            Some(claims) => settling(spec, &components, claims)?,
            None => BTreeMap::new(),
        };
        let before = spec.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sources = shapes.iter().filter(|shape| **shape == Shape::Source).count();
        Ok(Self {
            spec,
            tasks,
            failed,
            idle: CancellationToken::new(),
            sources_left: Arc::new(AtomicUsize::new(sources)),
            claims,
            states: Arc::new(States::new(&spec.graph, &spec.saving, before)),
            settling,
            components: components.into_iter().map(Some).collect(),
            senders,
            receivers,
            plan,
        })
    }

    fn start(&mut self, segment: &Segment) -> Option<KeptLane> {
        let first = segment.nodes[0];
        let head = self.head(segment);
        if matches!(self.components[first], Some(Component::Source(_))) {
            return Some(self.start_source(head, segment));
        }
        let input = self.receivers.remove(&first)?;
        let engine = &self.spec.graph.nodes[first].engine;
        if matches!(self.components[first], Some(Component::Filter(_))) {
            let worker = Worker::Plain(self.chain(&segment.nodes));
            self.start_filters(head, worker, segment, input);
            return None;
        }
        match self.components[first].take() {
            Some(Component::AsyncFilter(filter)) => {
                let retry = engine.retry;
                let waiting = Waiting::new(&head, filter, self.chain(&segment.nodes[1..]), retry);
                if segment.at_once > 1 {
                    let how = (segment.at_once, segment.order);
                    self.tasks.spawn(crowd::run(head, waiting, how, input, self.tasks.clone()));
                    return None;
                }
                self.start_filters(head, Worker::Waiting(Box::new(waiting)), segment, input);
            }
            Some(Component::Sink(sink)) => {
                // The order of a lane is its record's; who acknowledges entry by entry needs none.
                let concurrency = if head.claims.is_some() { 1 } else { engine.concurrency };
                let forks = (1..concurrency).map_while(|_| sink.fork()).collect::<Vec<_>>();
                let claim = Claim {
                    pipeline: Arc::clone(&self.spec.id),
                    sink: head.meter.name().into(),
                    afresh: self.spec.afresh.load(Ordering::Relaxed),
                };
                let writer =
                    |sink| Writer { head: head.clone(), sink, retry: engine.retry, claim: claim.clone() };
                let mut writers = vec![writer(sink)];
                writers.extend(forks.into_iter().map(writer));
                if let Some(settling) = self.settling.get(head.meter.name()).cloned() {
                    let how = (settling, engine.batch);
                    self.tasks.spawn(settle::run(head, writers, input, how, self.tasks.clone()));
                    return None;
                }
                let cutter = Cutter::new(input, engine.batch, head.claims.is_some());
                self.tasks.spawn(sink::run(head, writers, cutter, self.tasks.clone()));
            }
            _ => {}
        }
        None
    }

    fn start_source(&mut self, head: Head, segment: &Segment) -> KeptLane {
        let meter = Arc::clone(&head.meter);
        let checkpoint = Arc::new(Checkpoint::new(&self.spec.folder, meter.name()));
        meter.set_progress(Arc::clone(head.cx.progress()));
        let replay = match &self.components[segment.nodes[0]] {
            Some(Component::Source(source)) => source.replay(),
            _ => Replay::Never,
        };
        let lane = Arc::new(Lane::new(&meter, head.claims.as_ref(), replay, self.failed));
        let chain = self.chain(&segment.nodes[1..]);
        if let Some(Component::Source(source)) = self.components[segment.nodes[0]].take() {
            let reader = Reader {
                head,
                source,
                chain,
                lane: Arc::clone(&lane),
                checkpoint: Arc::clone(&checkpoint),
                budget: self.spec.budget.clone(),
                settling: self.settling.get(meter.name()).cloned(),
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
        (lane, checkpoint)
    }

    fn start_filters(&self, head: Head, worker: Worker, segment: &Segment, input: EdgeReceiver) {
        let forks: Vec<Worker> = (1..segment.workers).map_while(|_| worker.fork(&head)).collect();
        match forks.is_empty() {
            true => self.tasks.spawn(filters::run(head, worker, input)),
            false => {
                let workers = forks.into_iter().chain([worker]).collect();
                filters::run_workers(&head, workers, input, segment.order, self.tasks);
            }
        }
    }

    fn head(&self, segment: &Segment) -> Head {
        let first = segment.nodes[0];
        let settings = &self.spec.settings;
        let name = &self.spec.graph.nodes[first].name;
        let by_receipt = self.settling.contains_key(name);
        let cx = Cx::new(name, self.tasks.stopping().clone()).with_event_size(settings.event_size);
        self.spec.meters[first].set_complaint(Arc::clone(cx.complaint()));
        Head {
            node: first,
            cx: if by_receipt { cx.with_receipts() } else { cx },
            meter: Arc::clone(&self.spec.meters[first]),
            outlets: self.outlets(segment),
            idle: self.idle.clone(),
            claims: self.claims.clone().filter(|_| !by_receipt),
            states: Arc::clone(&self.states),
            tasks: self.tasks.clone(),
        }
    }

    fn outlets(&self, segment: &Segment) -> Outlets {
        let exit = |node: &usize| {
            let on_reject = self.spec.graph.nodes[*node].engine.on_reject;
            (*node, Exit { meter: Arc::clone(&self.spec.meters[*node]), on_reject })
        };
        let mut edges = HashMap::new();
        for ((node, output), targets) in &self.plan.routes {
            if segment.nodes.contains(node) {
                let senders = targets.iter().filter_map(|target| self.senders.get(target)).cloned();
                edges.insert((*node, *output), senders.collect());
            }
        }
        Outlets {
            exits: segment.nodes.iter().map(exit).collect(),
            edges,
            letterbox: self.spec.letterbox.clone(),
            hard_stop: self.tasks.hard_stop().clone(),
        }
    }

    /// The filters that are plain functions among `nodes`, which stand behind one another.
    fn chain(&mut self, nodes: &[usize]) -> Chain {
        let mut links = Vec::new();
        for node in nodes {
            if let Some(Component::Filter(filter)) = self.components[*node].take() {
                let retry = self.spec.graph.nodes[*node].engine.retry;
                links.push(Link::new(*node, filter, Arc::clone(&self.spec.meters[*node]), retry));
            }
        }
        Chain::new(links)
    }
}

/// Which sinks acknowledge for which sources: those whose input delivers again what was not acknowledged.
fn settling(
    spec: &Spec,
    components: &[Component],
    claims: &Claims,
) -> Result<BTreeMap<String, Arc<Settling>>, Failure> {
    let mut all: BTreeMap<String, Arc<Settling>> = BTreeMap::new();
    for (node, component) in spec.graph.nodes.iter().zip(components) {
        let Component::Source(source) = component else { continue };
        if source.replay() != Replay::Redelivery {
            continue;
        }
        let [sink] = claims.sinks_of(&node.name) else {
            let reason = "its entries are acknowledged by the one sink that they reach, and there is not one";
            return Err(Failure::fatal(&node.name, reason));
        };
        let settling = all.entry(sink.clone()).or_insert_with(|| Arc::new(Settling::new()));
        let settling = Arc::clone(settling);
        all.insert(node.name.clone(), settling);
    }
    Ok(all)
}
