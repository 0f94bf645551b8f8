//! Replaying: letters back into the pipeline, where they were refused.

mod ledger;
mod source;
mod subgraph;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_config::{DeadLetterOptions, Delivery, Pipeline};
use tidegate_sdk::{Kind, Size};

use crate::dataflow::dead_letter_writer::Relabel;
use crate::dead_letters::index::DeadLetterIndex;
use crate::dead_letters::letter::DeadLetter;
use crate::dead_letters::store::{FILE_SIZE, SharedStore, Store, folder};
use crate::storage::lock::{self, Busy};
use crate::supervise::engine::Engine;
use crate::supervise::options::Options;
use crate::supervise::pipeline_dir::PipelineDir;
use crate::supervise::start_error::StartError;
use ledger::ReplayLedger;

pub use ledger::ReplayCounts;

/// A replay that is prepared: the pipeline's state is held, and the letters are chosen.
pub struct Replay {
    pipeline: Pipeline,
    lock: File,
    ledger: Arc<ReplayLedger>,
    store: SharedStore,
    chosen: u64,
    unreplayable: BTreeMap<u64, String>,
}

/// What to do when the replay is over.
pub struct RunningReplay {
    ledger: Arc<ReplayLedger>,
    store: SharedStore,
}

impl Replay {
    /// Chooses letters of a pipeline that does not run.
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
        let lock = lock::hold(&place).map_err(|busy| match busy {
            Busy::Held { .. } => {
                problem(format!("{busy}; stop it first: a replay needs its state for itself"))
            }
            Busy::Failed(_) => problem(busy.to_string()),
        })?;
        let unreadable =
            |error: std::io::Error| problem(format!("the dead letters in {}: {error}", place.display()));
        let place = folder(&options.data_dir, &pipeline.id);
        let letters = DeadLetterIndex::open(&place).map_err(unreadable)?;
        let (mut replayed, mut unreplayable) = (Vec::new(), BTreeMap::new());
        let sort = |letter: DeadLetter| {
            if choose(&letter) {
                match refusal(&pipeline, &letter) {
                    Some(reason) => drop(unreplayable.insert(letter.id, reason)),
                    None => replayed.push((letter.id, letter.component)),
                }
            }
            Ok(())
        };
        letters.each(sort).map_err(unreadable)?;
        // Each letter may come to stand there twice until what is stale is cleared away.
        let size = match pipeline.settings.dead_letters.size.bytes() {
            0 => Size(0),
            limit => Size(limit.saturating_mul(2).saturating_add(FILE_SIZE)),
        };
        let store = Arc::new(Mutex::new(Store::open(place.clone(), size).map_err(unreadable)?));
        let chosen = replayed.len() as u64;
        let ledger = ReplayLedger::new(letters, Arc::clone(&store), &replayed);
        let pipeline = part(pipeline, &ledger, &replayed);
        Ok(Self { pipeline, lock, ledger, store, chosen, unreplayable })
    }

    /// How many letters will be replayed.
    pub fn chosen(&self) -> u64 {
        self.chosen
    }

    /// The letters that were chosen and cannot be replayed, with the reason.
    pub fn unreplayable(&self) -> &BTreeMap<u64, String> {
        &self.unreplayable
    }

    /// The part of the pipeline that runs.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Starts it. To be called within a tokio runtime of several threads.
    pub fn start(self, options: &Options) -> (Engine, RunningReplay) {
        let replayed = RunningReplay { ledger: Arc::clone(&self.ledger), store: Arc::clone(&self.store) };
        let dir = PipelineDir::held(options.data_dir.join(&self.pipeline.id), self.lock, &self.store);
        let ledger = self.ledger;
        let relabel: Relabel = Arc::new(move |letters: &mut [DeadLetter]| ledger.recognise(letters));
        let engine = Engine::start_held(self.pipeline, dir, &relabel, options);
        (engine, replayed)
    }
}

impl RunningReplay {
    /// Writes down what has settled and was not written yet, and gives back the room of what was removed. To be
    /// called when the engine has finished and still lives. Blocks.
    ///
    /// # Errors
    /// If the store cannot be written: letters that were delivered may stand there still.
    pub fn finish(&self) -> std::io::Result<ReplayCounts> {
        self.ledger.write()?;
        self.store.lock().unwrap_or_else(PoisonError::into_inner).compact()?;
        Ok(self.ledger.counts())
    }
}

/// Why a letter cannot be replayed into this pipeline, if it cannot.
fn refusal(pipeline: &Pipeline, letter: &DeadLetter) -> Option<String> {
    if let Some(reason) = letter.unreplayable() {
        return Some(reason.to_owned());
    }
    let component = &letter.component;
    let mut nodes = pipeline.graphs.iter().flat_map(|graph| &graph.nodes);
    match nodes.find(|node| node.name == *component).map(tidegate_config::Node::kind) {
        None => Some(format!("the component that refused it, `{component}`, is not in the pipeline")),
        Some(Kind::Source) => Some(format!("`{component}`, which refused it, is a source")),
        Some(Kind::Filter | Kind::Sink) => None,
    }
}

/// What of the pipeline runs.
fn part(pipeline: Pipeline, ledger: &Arc<ReplayLedger>, replayed: &[(u64, String)]) -> Pipeline {
    let refusing: BTreeSet<String> = replayed.iter().map(|(_, component)| component.clone()).collect();
    let source = |component: &str| source::plugin(Arc::clone(ledger), component.to_owned());
    let graphs = pipeline.graphs.iter().filter_map(|graph| subgraph::behind(graph, &refusing, source));
    let mut settings = pipeline.settings.clone();
    // What is rejected again was rejected before, so it is no sign of anything new.
    settings.dead_letters = DeadLetterOptions { share: 0.0, per_minute: 0, ..settings.dead_letters };
    // Letters have no position that a sink could store with them.
    settings.delivery = Delivery::AtLeastOnce;
    Pipeline { graphs: graphs.collect(), settings, ..pipeline }
}
