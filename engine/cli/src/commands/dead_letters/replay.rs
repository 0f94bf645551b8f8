//! `tidegate dead-letters replay`: runs the part of a pipeline downstream of the components that rejected events.

use std::collections::BTreeSet;
use std::sync::Arc;

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

/// Replays the chosen dead letters.
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
        return nothing_replayed(arguments, &prepared);
    }
    let display = Display::choose(arguments.verbosity.quiet, std::slice::from_ref(prepared.pipeline()));
    log::start(arguments.log_format, arguments.verbosity)?;
    let runtime = multi_thread()?;
    let exit = runtime.block_on(start_and_watch(arguments, prepared, &options, display));
    runtime.shutdown_background();
    exit
}

/// Explains why there is nothing to replay. Only `--all` without any dead letter succeeds.
fn nothing_replayed(arguments: &Replay, prepared: &replay::Replay) -> Result<Exit, Failure> {
    let id = &prepared.pipeline().id;
    if !prepared.unreplayable().is_empty() {
        return Err(Failure::wrong(format!("nothing was replayed: no chosen dead letter of `{id}` can be")));
    }
    if arguments.all && !arguments.filters.any() {
        terminal::err(&format!("nothing was replayed: there are no dead letters of `{id}`\n"));
        return Ok(Exit::Done);
    }
    Err(Failure::wrong(format!("nothing was replayed: no dead letter of `{id}` matches")))
}

/// Returns the pipeline of this id, or the only one.
fn pipeline(files: &Files, id: Option<&str>) -> Result<Pipeline, Failure> {
    let mut candidates: Vec<&Pipeline> =
        files.pipelines().filter(|pipeline| id.is_none_or(|id| pipeline.id == id)).collect();
    match (candidates.pop(), id) {
        (Some(only), _) if candidates.is_empty() => Ok(only.clone()),
        (None, Some(id)) => Err(Failure::wrong(format!("no pipeline file there has the id `{id}`"))),
        _ => Err(Failure::wrong("there are several pipelines; choose one with --pipeline ID")),
    }
}

/// Chooses the dead letters, and reports those that cannot be replayed.
fn prepare(
    arguments: &Replay,
    ids: &[u64],
    pipeline: Pipeline,
    options: &Options,
) -> Result<replay::Replay, Failure> {
    let mut seen = BTreeSet::new();
    let choose = |one: &DeadLetter| {
        let named = ids.is_empty() || ids.contains(&one.id);
        if named {
            seen.insert(one.id);
        }
        named && arguments.filters.matches(one)
    };
    let prepared = replay::Replay::prepare(pipeline, options, choose)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let unknown: Vec<u64> = ids.iter().copied().filter(|id| !seen.contains(id)).collect();
    if !unknown.is_empty() {
        return Err(Failure::wrong(missing(&unknown)));
    }
    let reports: Vec<String> = prepared
        .unreplayable()
        .iter()
        .map(|(id, reason)| format!("dead letter {id} cannot be replayed: {reason}"))
        .collect();
    if let (Some(first), false) = (reports.first(), ids.is_empty()) {
        // The user has named it, so it is not left out.
        return Err(Failure::wrong(first.clone()));
    }
    reports.iter().for_each(|report| terminal::err(&format!("{report}\n")));
    Ok(prepared)
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
    let engine = Arc::new(engine);
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
        Ok(tally) if !arguments.verbosity.quiet => terminal::err(&outcome(&name, tally)),
        Ok(_) => {}
        Err(error) => {
            return Err(Failure::failed(format!(
                "some delivered dead letters could not be removed, so they are still listed: {error}"
            )));
        }
    }
    Ok(exit.unwrap_or_else(|| Exit::of(&graphs)))
}

/// Engine of a replay. It has no pipeline files to reload.
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

fn outcome(pipeline: &str, tally: ReplayCounts) -> String {
    let delivered = plural(tally.delivered, "dead letter");
    let rejected = match tally.rejected {
        0 => String::new(),
        rejected => format!("; {rejected} rejected again and kept"),
    };
    format!("\n{delivered} of {pipeline} delivered and removed{rejected}\n")
}
