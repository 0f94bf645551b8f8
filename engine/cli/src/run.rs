//! `tidegate run`: starts pipelines, shows how they do, stops them when asked, and tells how they ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tidegate_config::Pipeline;
use tidegate_runtime::{Engine, Options};
use tidegate_sdk::Registry;
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::admin::Admin;
use crate::args::RunArguments;
use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::heartbeat::{self, Heartbeat};
use crate::live::{self, Live};
use crate::log;
use crate::quantity::plural;
use crate::signals::{Request, Signals};
use crate::summary::{self, DeadLetterStore};
use crate::terminal::{self, Paint};

/// How long an aborted engine may take to come to its end before the process ends without it.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// Runs the pipelines.
pub(crate) fn run(arguments: &RunArguments, registry: &Registry) -> Result<Exit, Failure> {
    let files = Files::load(&arguments.sources, registry);
    terminal::err(&files.render(Paint::for_stderr()));
    if files.tally().0 > 0 {
        terminal::err(&format!("{}; nothing was started\n", files.verdict()));
        return Ok(Exit::Wrong);
    }
    let pipelines: Vec<Pipeline> = files.pipelines().cloned().collect();
    let display = Display::choose(arguments, &pipelines);
    log::start(arguments.log_format, arguments.verbosity, &display.screen)?;
    let runtime = multi_thread()?;
    let exit = runtime.block_on(start_and_watch(arguments, pipelines, display));
    // Everything has been joined. What may be left is a thread that waits in a read that never returns, such
    // as one of standard input, and that must not keep the process.
    runtime.shutdown_background();
    exit
}

/// A tokio runtime for components.
pub(crate) fn multi_thread() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::failed(format!("threads cannot be started: {error}")))
}

async fn start_and_watch(
    arguments: &RunArguments,
    pipelines: Vec<Pipeline>,
    mut display: Display,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let stores: Vec<_> = pipelines.iter().map(DeadLetterStore::of).collect();
    let options = Options { data_dir: arguments.data_dir.resolve()?, memory: arguments.memory };
    // The address is taken first, so that a port in use is told before anything runs.
    let listener = match arguments.admin {
        Some(address) => Some(Admin::bind(address).await?),
        None => None,
    };
    let started = Instant::now();
    let engine = Engine::start(pipelines, &options).map_err(|error| Failure::failed(error.to_string()))?;
    let engine = Arc::new(engine);
    let admin = listener.map(|listener| listener.serve(Arc::clone(&engine)));
    let exit = watch(&engine, &mut signals, &mut display).await;
    let graphs = engine.status();
    display.clear();
    if !arguments.verbosity.quiet {
        let (elapsed, paint) = (started.elapsed(), Paint::for_stderr());
        let option = arguments.data_dir.as_option();
        terminal::err(&summary::summary(&graphs, &stores, elapsed, &option, paint));
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    Ok(exit.unwrap_or_else(|| Exit::of(&graphs)))
}

/// Waits until every graph is over. The exit code, unless the ends of the graphs say it.
async fn watch(engine: &Engine, signals: &mut Signals, display: &mut Display) -> Option<Exit> {
    let mut ticks = interval_at(tokio::time::Instant::now() + display.period(), display.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finished = std::pin::pin!(engine.finished());
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            () = &mut finished => return None,
            request = signals.next() => match request {
                Request::Reload => tracing::warn!("reload is not supported by this version"),
                Request::Stop if !draining => {
                    draining = true;
                    tracing::info!("draining; a second Ctrl-C stops at once");
                    engine.drain();
                }
                Request::Stop => {
                    // What is under way is counted before it is cut off.
                    let undelivered = engine.status().iter().map(|graph| graph.in_flight_events).sum();
                    engine.abort();
                    let _ = timeout(ABORT_TIME, finished).await;
                    tracing::error!("stopped at once: {} not delivered", plural(undelivered, "event"));
                    return Some(Exit::Interrupted);
                }
            },
            _ = ticks.tick() => display.show(&engine.status()),
        }
    }
}

/// What shows that something happens.
struct Display {
    /// Where the live display draws. Log lines know of it, so that both keep out of each other's way.
    screen: MultiProgress,
    view: View,
}

enum View {
    Live(Live),
    Heartbeat(Heartbeat),
    Nothing,
}

impl Display {
    fn choose(arguments: &RunArguments, pipelines: &[Pipeline]) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        // Events on the same terminal would be torn by the display.
        let mut nodes = pipelines.iter().flat_map(|one| &one.graphs).flat_map(|graph| &graph.nodes);
        let shares_terminal =
            terminal::stdout_is_terminal() && nodes.any(|node| node.plugin.name() == "stdout");
        let view = if arguments.verbosity.quiet {
            View::Nothing
        } else if terminal::stderr_is_terminal() && !shares_terminal {
            screen.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            View::Live(Live::new(&screen))
        } else {
            View::Heartbeat(Heartbeat::default())
        };
        Self { screen, view }
    }

    fn period(&self) -> Duration {
        match self.view {
            View::Live(_) => live::PERIOD,
            View::Heartbeat(_) | View::Nothing => heartbeat::PERIOD,
        }
    }

    fn show(&mut self, graphs: &[tidegate_runtime::status::GraphStatus]) {
        match &mut self.view {
            View::Live(live) => live.show(graphs),
            View::Heartbeat(heartbeat) => heartbeat.beat(graphs, heartbeat::PERIOD),
            View::Nothing => {}
        }
    }

    fn clear(&self) {
        if let View::Live(live) = &self.view {
            live.clear();
        }
    }
}
