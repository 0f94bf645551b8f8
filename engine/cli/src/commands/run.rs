//! `tidegate run`: starts pipelines, displays progress, stops them on request, and prints a summary.

pub(crate) mod admin;
pub(crate) mod arguments;
mod changes;
pub(crate) mod display;
pub(crate) mod health;
pub(crate) mod reload;
pub(crate) mod reloads;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod sample_status;
pub(crate) mod signals;
pub(crate) mod summary;
pub(crate) mod watch;

use std::sync::Arc;

use tidegate_config::Pipeline;
use tidegate_runtime::{Engine, Options};
use tidegate_sdk::{Hosts, Tasks};

use crate::exit::{Exit, Failure};
use crate::files::{Files, warn_of_orphaned_positions};
use crate::guarantees;
use crate::options::LogFormat;
use crate::registry::Plugins;
use crate::terminal::log;
use crate::terminal::{self, Paint};
use crate::threads::multi_thread;
use admin::Admin;
use arguments::RunArguments;
use changes::{Changes, Snapshot};
use display::Display;
use reload::{Origin, Reloadable};
use signals::{Request, Signals};
use summary::{DeadLetterStore, summary};
use watch::{Pipelines, Until, watch};

/// Runs the pipelines.
pub(crate) fn run(arguments: &RunArguments, plugins: &Plugins) -> Result<Exit, Failure> {
    // Taken before the files are read, so that a change after that is noticed.
    let snapshot = arguments.watch.then(|| Snapshot::take(&arguments.sources.paths));
    if arguments.watch {
        // A change of a pipeline file does not repair a library that the command line names.
        plugins.with(&arguments.sources.libraries)?;
    }
    let files = load(arguments, plugins);
    if !arguments.watch && files.tally().0 > 0 {
        terminal::err(&format!("{}; nothing was started\n", files.verdict()));
        return Ok(Exit::Wrong);
    }
    log::start(arguments.log_format, arguments.verbosity)?;
    let runtime = multi_thread()?;
    let exit = runtime.block_on(async {
        let changes = snapshot.map(Changes::since);
        let mut requests = Requests { signals: Signals::listen()?, changes };
        match valid(arguments, plugins, files, &mut requests).await {
            Some(files) => start_and_watch(arguments, plugins, &files, requests).await,
            None => Ok(Exit::Wrong),
        }
    });
    // Every task was joined. A thread may be left in a read that never returns, such as one of standard input. It must
    // not keep the process.
    runtime.shutdown_background();
    exit
}

/// Reads the files and prints their problems.
fn load(arguments: &RunArguments, plugins: &Plugins) -> Files {
    let files = Files::load(&arguments.sources, plugins, arguments.admin);
    terminal::err(&files.render(Paint::for_stderr()));
    files
}

/// Waits until the files have no error. Prints their problems once per change. `None` if a stop was requested.
async fn valid(
    arguments: &RunArguments,
    plugins: &Plugins,
    mut files: Files,
    requests: &mut Requests,
) -> Option<Files> {
    let mut changed = false;
    while files.tally().0 > 0 {
        if !changed {
            let verdict = files.verdict();
            terminal::err(&format!(
                "{verdict}; nothing was started; waiting for the files to change, Ctrl-C ends the process\n"
            ));
            if requests.next().await == Request::Stop {
                return None;
            }
        }
        let (again, known) = (arguments.clone(), plugins.clone());
        let mut loading = Tasks::new().spawn_blocking(move || load(&again, &known));
        changed = false;
        files = loop {
            tokio::select! {
                loaded = &mut loading => break loaded.ok()?,
                request = requests.next() => match request {
                    Request::Stop => return None,
                    Request::Reload => changed = true,
                }
            }
        };
    }
    Some(files)
}

async fn start_and_watch(
    arguments: &RunArguments,
    plugins: &Plugins,
    files: &Files,
    mut requests: Requests,
) -> Result<Exit, Failure> {
    let pipelines: Vec<Pipeline> = files.pipelines().cloned().collect();
    let mut display = Display::choose(arguments.verbosity.quiet, &pipelines);
    let stores: Vec<_> = pipelines.iter().map(DeadLetterStore::of).collect();
    let options = Options {
        data_dir: arguments.data_dir.resolve()?,
        memory: arguments.memory,
        start_over: arguments.start_over,
    };
    // Bound first, so that a port in use is reported before a pipeline starts.
    let hosts = Hosts::new(&arguments.admin_host)
        .map_err(|name| Failure::wrong(format!("--admin-host {name} is not the name of a host")))?;
    let listener = match arguments.admin {
        Some(address) => Some(Admin::bind(address, hosts).await?),
        None => None,
    };
    guarantees::log(pipelines.iter());
    if !options.start_over {
        warn_of_orphaned_positions(&pipelines, &options.data_dir);
    }
    let engine = Engine::start(pipelines, &options).map_err(|error| Failure::failed(error.to_string()))?;
    let origin = Origin {
        sources: arguments.sources.clone(),
        admin: arguments.admin,
        data_dir: options.data_dir,
        plugins: plugins.clone(),
    };
    let running = Arc::new(Reloadable::new(engine, origin, stores));
    let admin = listener.map(|listener| listener.serve(Arc::clone(&running)));
    let request = async || requests.next().await;
    let until = if arguments.watch { Until::Stopped } else { Until::Over };
    let period = display.period();
    let exit = watch(&running, request, until, period, |graphs| display.show(graphs)).await;
    let graphs = running.status();
    display.clear();
    if arguments.verbosity.quiet || arguments.log_format == LogFormat::Json {
        report::log(&graphs);
    } else {
        let option = arguments.data_dir.as_option();
        terminal::err(&summary(&graphs, &running.stores(), &option, terminal::stderr_limit()));
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    Ok(exit.unwrap_or_else(|| Exit::of(&graphs)))
}

/// Requests to the process: signals, and changed files with `--watch`.
struct Requests {
    signals: Signals,
    changes: Option<Changes>,
}

impl Requests {
    /// Returns the next request. May be dropped at any time.
    async fn next(&mut self) -> Request {
        let changed = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = self.signals.next() => request,
            () = changed => Request::Reload,
        }
    }
}
