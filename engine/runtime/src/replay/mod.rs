//! Replay: sends dead letters back to the components that rejected them, in a run of the downstream part of the pipeline.

mod ledger;
mod source;
mod subgraph;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_config::{DeadLetterOptions, Delivery, Pipeline};
use tidegate_sdk::{Kind, Size};

use crate::dataflow::dead_letter_writer::Relabel;
use crate::dead_letters::dead_letter::DeadLetter;
use crate::dead_letters::index::DeadLetterIndex;
use crate::dead_letters::store::{FILE_SIZE, SharedStore, Store, folder};
use crate::storage::lock::{self, LockError};
use crate::supervise::engine::Engine;
use crate::supervise::options::Options;
use crate::supervise::pipeline_dir::PipelineDir;
use crate::supervise::start_error::StartError;
use ledger::ReplayLedger;

pub use ledger::ReplayCounts;

/// A prepared replay: the pipeline's data folder is locked, and the dead letters are chosen.
pub struct Replay {
    pipeline: Pipeline,
    lock: File,
    ledger: Arc<ReplayLedger>,
    store: SharedStore,
    chosen: u64,
    unreplayable: BTreeMap<u64, String>,
}

/// A running replay, to be finished when its engine is over.
pub struct RunningReplay {
    ledger: Arc<ReplayLedger>,
    store: SharedStore,
}

impl Replay {
    /// Chooses dead letters of a pipeline that does not run.
    ///
    /// # Errors
    /// If the pipeline runs, or its dead letters cannot be read.
    pub fn prepare(
        pipeline: Pipeline,
        options: &Options,
        mut choose: impl FnMut(&DeadLetter) -> bool,
    ) -> Result<Self, StartError> {
        let problem = |message| StartError { pipeline: pipeline.name.clone(), message };
        let place = options.data_dir.join(&pipeline.id);
        let lock = lock::hold(&place).map_err(|locked| match locked {
            LockError::Held { .. } => {
                problem(format!("{locked}; stop it first: a replay needs its state for itself"))
            }
            LockError::Failed(_) => problem(locked.to_string()),
        })?;
        let unreadable =
            |error: std::io::Error| problem(format!("the dead letters in {}: {error}", place.display()));
        let place = folder(&options.data_dir, &pipeline.id);
        let dead_letters = DeadLetterIndex::open(&place).map_err(unreadable)?;
        let (mut replayed, mut unreplayable) = (Vec::new(), BTreeMap::new());
        let sort = |dead_letter: DeadLetter| {
            if choose(&dead_letter) {
                match self::unreplayable(&pipeline, &dead_letter) {
                    Some(reason) => drop(unreplayable.insert(dead_letter.id, reason)),
                    None => replayed.push((dead_letter.id, dead_letter.component)),
                }
            }
            Ok(())
        };
        dead_letters.each(sort).map_err(unreadable)?;
        // Each dead letter may be stored twice until stale lines are reclaimed.
        let size = match pipeline.settings.dead_letters.size.bytes() {
            0 => Size(0),
            limit => Size(limit.saturating_mul(2).saturating_add(FILE_SIZE)),
        };
        let store = Arc::new(Mutex::new(Store::open(place.clone(), size).map_err(unreadable)?));
        let chosen = replayed.len() as u64;
        let ledger = ReplayLedger::new(dead_letters, Arc::clone(&store), &replayed);
        let pipeline = part(pipeline, &ledger, &replayed);
        Ok(Self { pipeline, lock, ledger, store, chosen, unreplayable })
    }

    /// Number of dead letters that will be replayed.
    pub fn chosen(&self) -> u64 {
        self.chosen
    }

    /// Chosen dead letters that cannot be replayed, with the reason.
    pub fn unreplayable(&self) -> &BTreeMap<u64, String> {
        &self.unreplayable
    }

    /// The part of the pipeline that runs.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Starts the replay. Has to be called within a multi-threaded tokio runtime.
    pub fn start(self, options: &Options) -> (Engine, RunningReplay) {
        let replayed = RunningReplay { ledger: Arc::clone(&self.ledger), store: Arc::clone(&self.store) };
        let dir = PipelineDir::held(options.data_dir.join(&self.pipeline.id), self.lock, &self.store);
        let ledger = self.ledger;
        let relabel: Relabel =
            Arc::new(move |dead_letters: &mut [DeadLetter]| ledger.recognise(dead_letters));
        let engine = Engine::start_held(self.pipeline, dir, &relabel, options);
        (engine, replayed)
    }
}

impl RunningReplay {
    /// Stores the remaining outcomes, and reclaims the space of removed dead letters. Has to be called after the engine has
    /// finished, and before it is dropped. Blocks.
    ///
    /// # Errors
    /// If the store cannot be written. Delivered dead letters may still be in it.
    pub fn finish(&self) -> std::io::Result<ReplayCounts> {
        self.ledger.write()?;
        self.store.lock().compact()?;
        Ok(self.ledger.counts())
    }
}

/// Reason why a dead letter cannot be replayed into this pipeline.
fn unreplayable(pipeline: &Pipeline, dead_letter: &DeadLetter) -> Option<String> {
    if let Some(reason) = dead_letter.unreplayable() {
        return Some(reason.to_owned());
    }
    let component = &dead_letter.component;
    let mut nodes = pipeline.graphs.iter().flat_map(|graph| &graph.nodes);
    match nodes.find(|node| node.name == *component).map(tidegate_config::Node::kind) {
        None => Some(format!("the component that rejected it, `{component}`, is not in the pipeline")),
        Some(Kind::Source) => Some(format!("`{component}`, which rejected it, is a source")),
        Some(Kind::Filter | Kind::Sink) => None,
    }
}

/// The part of the pipeline that runs.
fn part(pipeline: Pipeline, ledger: &Arc<ReplayLedger>, replayed: &[(u64, String)]) -> Pipeline {
    let rejecting: BTreeSet<String> = replayed.iter().map(|(_, component)| component.clone()).collect();
    let source = |component: &str| source::plugin(Arc::clone(ledger), component.to_owned());
    let graphs = pipeline.graphs.iter().filter_map(|graph| subgraph::downstream(graph, &rejecting, source));
    let mut settings = pipeline.settings.clone();
    // These events were rejected before, so another rejection is no sign of a new fault.
    settings.dead_letters = DeadLetterOptions { share: 0.0, per_minute: 0, ..settings.dead_letters };
    // Dead letters have no position that a sink could store with them.
    settings.delivery = Delivery::AtLeastOnce;
    Pipeline { graphs: graphs.collect(), settings, ..pipeline }
}
