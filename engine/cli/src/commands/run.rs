//! `tidegate run`: starts pipelines, shows how they do, stops them when asked, and tells how they ended.

pub(crate) mod admin;
pub(crate) mod arguments;
mod changes;
pub(crate) mod display;
pub(crate) mod health;
pub(crate) mod reload;
pub(crate) mod reloads;
pub(crate) mod report;
pub(crate) mod signals;
pub(crate) mod summary;
pub(crate) mod watch;

use std::sync::Arc;

use tidegate_config::Pipeline;
use tidegate_runtime::{Engine, Options};
use tidegate_sdk::Hosts;
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure};
use crate::files::{Files, leftovers};
use crate::guarantees;
use crate::options::LogFormat;
use crate::registry::Plugins;
use crate::terminal::log;
use crate::terminal::{self, Paint};
use crate::threads::multi_thread;
use admin::Admin;
use arguments::RunArguments;
use changes::Changes;
use display::Display;
use reload::Reloadable;
use signals::{Request, Signals};
use summary::DeadLetterStore;
use watch::{Pipelines, Until, watch};

/// Runs the pipelines.
pub(crate) fn run(arguments: &RunArguments, plugins: &Plugins) -> Result<Exit, Failure> {
    let runtime = multi_thread()?;
    let Some(files) = sound_files(arguments, plugins, &runtime)? else { return Ok(Exit::Wrong) };
    let pipelines: Vec<Pipeline> = files.pipelines().cloned().collect();
    let display = Display::choose(arguments.verbosity.quiet, &pipelines);
    log::start(arguments.log_format, arguments.verbosity)?;
    let exit = runtime.block_on(start_and_watch(arguments, plugins, pipelines, display));
    // Everything has been joined. What may be left is a thread that waits in a read that never returns, such
    // as one of standard input, and that must not keep the process.
    runtime.shutdown_background();
    exit
}

/// The files of the command without an error. With `--watch`, waits until they have none. `None` after an error, or if
/// the process is stopped before.
fn sound_files(
    arguments: &RunArguments,
    plugins: &Plugins,
    runtime: &Runtime,
) -> Result<Option<Files>, Failure> {
    // A change after this look is noticed.
    let mut waiting = None;
    if arguments.watch {
        let _entered = runtime.enter();
        waiting = Some((Signals::listen()?, Changes::of(&arguments.sources.paths)));
    }
    loop {
        let files = Files::load(&arguments.sources, plugins, arguments.admin);
        terminal::err(&files.render(Paint::for_stderr()));
        if files.tally().0 == 0 {
            return Ok(Some(files));
        }
        let Some((signals, changes)) = &mut waiting else {
            terminal::err(&format!("{}; nothing was started\n", files.verdict()));
            return Ok(None);
        };
        terminal::err(&format!("{}; waiting for the files to change\n", files.verdict()));
        if matches!(runtime.block_on(request(signals, Some(changes))), Request::Stop) {
            return Ok(None);
        }
    }
}

async fn start_and_watch(
    arguments: &RunArguments,
    plugins: &Plugins,
    pipelines: Vec<Pipeline>,
    mut display: Display,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let stores: Vec<_> = pipelines.iter().map(DeadLetterStore::of).collect();
    let options = Options {
        data_dir: arguments.data_dir.resolve()?,
        memory: arguments.memory,
        start_over: arguments.start_over,
    };
    // The address is taken first, so that a port in use is told before anything runs.
    let hosts = Hosts::new(&arguments.admin_host)
        .map_err(|name| Failure::wrong(format!("--admin-host {name} is not the name of a host")))?;
    let listener = match arguments.admin {
        Some(address) => Some(Admin::bind(address, hosts).await?),
        None => None,
    };
    guarantees::log(pipelines.iter());
    if !options.start_over {
        leftovers(&pipelines, &options.data_dir);
    }
    let engine = Engine::start(pipelines, &options).map_err(|error| Failure::failed(error.to_string()))?;
    let running = Reloadable::new(
        engine,
        arguments.sources.clone(),
        arguments.admin,
        plugins.clone(),
        stores,
        options.data_dir,
    );
    let running = Arc::new(running);
    let admin = listener.map(|listener| listener.serve(Arc::clone(&running)));
    let mut changes = arguments.watch.then(|| Changes::of(&arguments.sources.paths));
    let request = async || request(&mut signals, changes.as_mut()).await;
    let until = if arguments.watch { Until::Stopped } else { Until::Over };
    let period = display.period();
    let exit = watch(running.as_ref(), request, until, period, |graphs| display.show(graphs)).await;
    let graphs = running.status();
    display.clear();
    match (arguments.verbosity.quiet, arguments.log_format) {
        (true, _) | (_, LogFormat::Json) => report::log(&graphs),
        (false, LogFormat::Text) => {
            let option = arguments.data_dir.as_option();
            terminal::err(&summary::summary(&graphs, &running.stores(), &option, terminal::stderr_limit()));
        }
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    Ok(exit.unwrap_or_else(|| Exit::of(&graphs)))
}

/// The next thing that is asked of the process: by a signal, or by a pipeline file that changes.
async fn request(signals: &mut Signals, changes: Option<&mut Changes>) -> Request {
    let changed = async {
        match changes {
            Some(changes) => changes.next().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        request = signals.next() => request,
        () = changed => Request::Reload,
    }
}
