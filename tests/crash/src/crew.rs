//! The engines of a lane: one, or several that share a stream.

use anyhow::{Context, Result};

use crate::engine::{Engine, Run};
use crate::world::World;

/// The runs of a lane's engines, of which there is at least one.
#[derive(Debug)]
pub(crate) struct Crew {
    engines: Vec<Engine>,
    runs: Vec<Run>,
}

impl Crew {
    /// Starts as many engines as the lane has, each with a state of its own.
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

    /// One that runs already, of an engine of its own.
    pub(crate) fn of(engine: Engine, run: Run) -> Self {
        Self { engines: vec![engine], runs: vec![run] }
    }

    /// One of the runs, by chance.
    pub(crate) fn choose(&self, world: &mut World) -> usize {
        world.chance.within(0..self.runs.len() as u64) as usize
    }

    /// This run.
    pub(crate) fn run(&self, worker: usize) -> &Run {
        &self.runs[worker]
    }

    /// The ids of the processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.runs.iter().map(Run::id).collect()
    }

    /// Kills this run and starts it again.
    ///
    /// # Errors
    /// If it has ended by itself, or cannot be started.
    pub(crate) fn kill(&mut self, world: &World, worker: usize) -> Result<()> {
        let last = self.runs.len() - 1;
        self.runs.swap(worker, last);
        self.engines.swap(worker, last);
        let run = self.runs.pop().context("a crew has at least one run")?;
        world.kill(run)?;
        self.runs.push(self.engines[last].start()?);
        Ok(())
    }

    /// The runs, to be ended.
    pub(crate) fn into_runs(self) -> Vec<Run> {
        self.runs
    }
}
