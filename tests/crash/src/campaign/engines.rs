//! The engines of a lane: one, or several that share a stream.

use anyhow::{Context, Result};

use crate::world::World;
use crate::world::engine::{Engine, Run};

/// The engines of a lane with their runs, at least one.
#[derive(Debug)]
pub(crate) struct Engines {
    engines: Vec<Engine>,
    runs: Vec<Run>,
}

impl Engines {
    /// Starts the engines of the lane, each with its own state.
    ///
    /// # Errors
    /// If one cannot be started.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let engines: Vec<Engine> = match world.trial.lane.workers() {
            1 => vec![world.engine.clone()],
            workers => (0..workers)
                .map(|worker| Engine {
                    data: world.engine.folder().join(format!("data-{worker}")),
                    ..world.engine.clone()
                })
                .collect(),
        };
        let runs = engines.iter().map(Engine::start).collect::<Result<_>>()?;
        Ok(Self { engines, runs })
    }

    /// Wraps one engine that runs already.
    pub(crate) fn of(engine: Engine, run: Run) -> Self {
        Self { engines: vec![engine], runs: vec![run] }
    }

    /// Chooses one of the runs at random.
    pub(crate) fn choose(&self, world: &mut World) -> usize {
        world.random.within(0..self.runs.len() as u64) as usize
    }

    /// The run with this index.
    pub(crate) fn run(&self, worker: usize) -> &Run {
        &self.runs[worker]
    }

    /// Process ids.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.runs.iter().map(Run::id).collect()
    }

    /// Kills a run and starts it again.
    ///
    /// # Errors
    /// If it had ended before, or cannot be started.
    pub(crate) fn kill(&mut self, world: &World, worker: usize) -> Result<()> {
        let last = self.runs.len() - 1;
        self.runs.swap(worker, last);
        self.engines.swap(worker, last);
        let run = self.runs.pop().context("there is at least one run")?;
        world.kill(run)?;
        self.runs.push(self.engines[last].start()?);
        Ok(())
    }

    /// The runs, to be drained.
    pub(crate) fn into_runs(self) -> Vec<Run> {
        self.runs
    }
}
