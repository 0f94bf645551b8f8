//! `tidegate dead-letters replay`: a run of the part of a pipeline that stands behind where letters were refused.

use std::collections::BTreeSet;

use tidegate_config::Pipeline;
use tidegate_runtime::dead_letters::DeadLetter;
use tidegate_runtime::replay::{self, ReplayCounts};
use tidegate_runtime::status::GraphStatus;
use tidegate_runtime::{Engine, Options};

use super::arguments::Replay;
use super::stores::missing;
use crate::commands::run::display::Display;
use crate::commands::run::reloads::Reloads;
use crate::commands::run::signals::Signals;
use crate::commands::run::watch::{Pipelines, Until, watch};
use crate::commands::run::{report, summary};
use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::options::{LogFormat, Sources};
use crate::registry::Plugins;
use crate::terminal::log;
use crate::terminal::quantity::plural;
use crate::terminal::{self, Paint};
use crate::threads::multi_thread;

/// Replays the letters that are meant.
pub(super) fn replay(arguments: &Replay, plugins: &Plugins) -> Result<Exit, Failure> {
    let (ids, path) = arguments.targets()?;
    let sources = Sources { paths: vec![path], libraries: Default::default(), overrides: Vec::new() };
    let files = Files::load(&sources, plugins, None);
    terminal::err(&files.render(Paint::for_stderr()));
    if files.tally().0 > 0 {
        terminal::err(&format!("{}; nothing was started\n", files.verdict()));
        return Ok(Exit::Wrong);
    }
    let pipeline = pipeline(&files, arguments.pipeline.as_deref())?;
    let options =
        Options { data_dir: arguments.data_dir.resolve()?, memory: arguments.memory, start_over: false };
    let prepared = prepare(arguments, &ids, pipeline, &options)?;
    if prepared.chosen() == 0 {
        terminal::err("no dead letter to replay\n");
        return Ok(Exit::Done);
    }
    let display = Display::choose(arguments.verbosity.quiet, std::slice::from_ref(prepared.pipeline()));
    log::start(arguments.log_format, arguments.verbosity)?;
    let runtime = multi_thread()?;
    let exit = runtime.block_on(start_and_watch(arguments, prepared, &options, display));
    runtime.shutdown_background();
    exit
}

/// The pipeline of this id, or the only one.
fn pipeline(files: &Files, id: Option<&str>) -> Result<Pipeline, Failure> {
    let mut meant: Vec<&Pipeline> =
        files.pipelines().filter(|pipeline| id.is_none_or(|id| pipeline.id == id)).collect();
    match (meant.pop(), id) {
        (Some(only), _) if meant.is_empty() => Ok(only.clone()),
        (None, Some(id)) => Err(Failure::wrong(format!("no pipeline file there has the id `{id}`"))),
        _ => Err(Failure::wrong("there are several pipelines; say which one with --pipeline ID")),
    }
}

/// Chooses the letters, and tells of those that cannot be replayed.
fn prepare(
    arguments: &Replay,
    ids: &[u64],
    pipeline: Pipeline,
    options: &Options,
) -> Result<replay::Replay, Failure> {
    let mut seen = BTreeSet::new();
    let choose = |letter: &DeadLetter| {
        let named = ids.is_empty() || ids.contains(&letter.id);
        if named {
            seen.insert(letter.id);
        }
        named && arguments.filters.matches(letter)
    };
    let prepared = replay::Replay::prepare(pipeline, options, choose)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let unknown: Vec<u64> = ids.iter().copied().filter(|id| !seen.contains(id)).collect();
    if !unknown.is_empty() {
        return Err(missing(&unknown));
    }
    let told: Vec<String> = prepared
        .unreplayable()
        .iter()
        .map(|(id, reason)| format!("dead letter {id} cannot be replayed: {reason}"))
        .collect();
    match (told.first(), ids.is_empty()) {
        // Somebody has asked for just these, so that leaving one out in silence is not what is wanted.
        (Some(first), false) => Err(Failure::wrong(first.clone())),
        _ => {
            told.iter().for_each(|one| terminal::err(&format!("{one}\n")));
            Ok(prepared)
        }
    }
}

async fn start_and_watch(
    arguments: &Replay,
    prepared: replay::Replay,
    options: &Options,
    mut display: Display,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let name = prepared.pipeline().name.clone();
    let (engine, replayed) = prepared.start(options);
    let (request, period) = (async || signals.next().await, display.period());
    let exit = watch(&engine, request, Until::Over, period, |graphs| display.show(graphs)).await;
    let graphs = engine.status();
    display.clear();
    let finish = tokio::task::spawn_blocking(move || replayed.finish()).await;
    let finished = finish.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    if arguments.log_format == LogFormat::Json || arguments.verbosity.quiet {
        report::log(&graphs);
    } else {
        terminal::err(&summary::summary(&graphs, &[], "", terminal::stderr_limit()));
    }
    match finished {
        Ok(tally) if !arguments.verbosity.quiet => terminal::err(&told(&name, tally)),
        Ok(_) => {}
        Err(error) => {
            return Err(Failure::failed(format!(
                "the dead letters that were delivered could not all be removed, so they are still listed: {error}"
            )));
        }
    }
    Ok(exit.unwrap_or_else(|| Exit::of(&graphs)))
}

/// What replays has no file of its own to read again.
impl Pipelines for Engine {
    fn status(&self) -> Vec<GraphStatus> {
        Self::status(self)
    }

    fn drain(&self) {
        Self::drain(self);
    }

    fn abort(&self) {
        Self::abort(self);
    }

    async fn finished(&self) {
        Self::finished(self).await;
    }

    async fn reload(&self) {
        tracing::warn!("a replay cannot be reloaded");
    }

    fn reloads(&self) -> Reloads {
        Reloads::default()
    }
}

fn told(pipeline: &str, tally: ReplayCounts) -> String {
    let delivered = plural(tally.delivered, "dead letter");
    let rejected = match tally.rejected {
        0 => String::new(),
        rejected => format!("; {rejected} rejected again and kept"),
    };
    format!("\n{delivered} of {pipeline} delivered and removed{rejected}\n")
}
